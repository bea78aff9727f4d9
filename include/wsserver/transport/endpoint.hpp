// The addresses to listen on and to connect to, and their text.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// A TCP address, resolved or not, or the path of a Unix socket.
struct Endpoint {
    std::string host{};       ///< a name or an address, IPv6 without brackets; empty: all addresses of this machine
    std::uint16_t port = 0;   ///< TCP only; 0 when listening: the system chooses one
    std::string unix_path{};  ///< not empty: a Unix socket; `@name` is in Linux' abstract namespace and has no file

    /// Whether it is the path of a Unix socket. `host` and `port` are not used then.
    bool is_unix() const noexcept { return !unix_path.empty(); }
    bool operator==(const Endpoint&) const = default;
};

/// Parses `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `unix:PATH`. Does not resolve the host.
///
/// returns  Endpoint  the port is 0 to 65535
///          error     quotes `text`, says what is wrong with it and which forms are valid
Result<Endpoint, std::string> parse_endpoint(std::string_view text);

/// The text that parse_endpoint() reads, with IPv6 addresses in brackets.
std::string to_string(const Endpoint& endpoint);

/// The address that the kernel returned, in numbers. An IPv4 address mapped to IPv6 becomes IPv4. Empty if the family
/// is not IPv4, IPv6 or Unix, or if a Unix socket has no name.
///
/// size     of `address`, in bytes, as the system call set it
Endpoint endpoint_of(const sockaddr_storage& address, socklen_t size);

/// The address that `socket` is bound to. Empty if there is none.
Endpoint local_endpoint(int socket);

/// The address of the peer of `socket`: "127.0.0.1:5000", "[::1]:5000", "unix:PATH". A Unix client usually has no path;
/// then it is the path that it connected to. Empty if the peer is gone.
std::string peer_name(int socket);

/// Whether `peer`, as peer_name() writes it, is a client of this machine over TCP: in 127.0.0.0/8 or [::1].
bool is_loopback_peer(std::string_view peer) noexcept;

}  // namespace wsserver
