// Where a client connects to, as one writes it.
#pragma once

#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// A WebSocket URI taken apart (RFC 6455 §3).
struct Url {
    bool secure = false;      ///< wss
    std::string host{};       ///< a name or an address, IPv6 without its brackets; `localhost` for a Unix socket
    std::string port{};       ///< digits, also where the default was meant
    std::string target{};     ///< path and query, as written (percent-encoding is left as it is); at least `/`
    std::string unix_path{};  ///< the socket's path; empty for TCP

    /// What the Host field says: IPv6 in brackets, the port unless it is the scheme's default.
    std::string host_field() const;

    bool operator==(const Url&) const = default;
};

/// `ws://HOST[:PORT][/PATH][?QUERY]`, `wss://...`, or `ws+unix:/SOCKET[:/PATH][?QUERY]` (the first colon ends the
/// socket's path). An error says what is wrong and how it would be right.
Result<Url, std::string> parse_url(std::string_view text);

}  // namespace wsserver
