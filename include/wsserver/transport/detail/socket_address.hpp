// Addresses in the form that system calls take.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// An address of any family.
struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    SocketAddress() = default;
    SocketAddress(const sockaddr* address, socklen_t length) noexcept;

    int family() const noexcept { return storage.ss_family; }
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    /// For IPv4 and IPv6 only.
    void set_port(std::uint16_t port) noexcept;
};

/// Nothing if the path is empty or too long for the kernel.
std::optional<SocketAddress> unix_address(const std::string& path);
/// Parses an address. Nothing if `host` is a name; does not resolve it.
std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port);
/// Resolves `host` to at least one address. Blocks until the name server answers.
Result<std::vector<SocketAddress>, std::error_code> look_up(const std::string& host, std::uint16_t port);
/// The wildcard address, which means all addresses of the family.
SocketAddress any_address(int family, std::uint16_t port) noexcept;

}  // namespace wsserver
