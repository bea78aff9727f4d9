// Parses the URL to which a client connects.
#pragma once

#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// The parts of a WebSocket URI (RFC 6455 §3).
struct Url {
    bool secure = false;      ///< whether the scheme is wss
    std::string host{};       ///< a name or an address, IPv6 without its brackets; `localhost` for a Unix socket
    std::string port{};       ///< decimal digits; the scheme's default if the URL has no port
    std::string target{};     ///< path and query as written, not percent-decoded; at least `/`
    std::string unix_path{};  ///< the socket's path; empty for TCP

    /// The value for the Host field: IPv6 in brackets, and the port unless it is the scheme's default.
    std::string host_field() const;

    bool operator==(const Url&) const = default;
};

/// Parses `ws://HOST[:PORT][/PATH][?QUERY]`, `wss://...` or `ws+unix:/SOCKET[:/PATH][?QUERY]`, where the first colon
/// after the scheme ends the socket's path. An error is one line for the user: what is wrong, and an example.
/// RFC 6455 §3; ws+unix is an extension.
Result<Url, std::string> parse_url(std::string_view text);

}  // namespace wsserver
