// Where to listen and whom to connect to: the names of addresses.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// A TCP address that may still have to be resolved, or the path of a Unix socket.
struct Endpoint {
    std::string host{};  ///< a name or an address, IPv6 without brackets; empty: all addresses of this machine
    std::uint16_t port = 0;
    std::string unix_path{};  ///< not empty: a Unix socket. `@name`: one in Linux' abstract namespace, without a file

    bool is_unix() const noexcept { return !unix_path.empty(); }
    bool operator==(const Endpoint&) const = default;
};

/// Reads `HOST:PORT`, `[HOST]:PORT`, `:PORT` or `unix:PATH`. Looks nothing up.
/// An error names the text, what is wrong with it and how it ought to look.
Result<Endpoint, std::string> parse_endpoint(std::string_view text);

/// What parse_endpoint() reads: IPv6 addresses in brackets.
std::string to_string(const Endpoint& endpoint);

/// A socket's address as the kernel tells it, in numbers; IPv4 that came by an IPv6 socket as IPv4. Empty when it
/// has none of ours or no name.
Endpoint endpoint_of(const sockaddr_storage& address, socklen_t size);

/// The address that `socket` is bound to. Empty if there is none.
Endpoint local_endpoint(int socket);

/// Who is at the other end of `socket`: "127.0.0.1:5000", "[::1]:5000", "unix:PATH". A Unix client has no path of
/// its own as a rule: then it is the path by which it came. Empty when the peer is gone.
std::string peer_name(int socket);

}  // namespace wsserver
