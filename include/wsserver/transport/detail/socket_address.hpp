// Addresses in the kernel's form.
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

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    SocketAddress() = default;
    SocketAddress(const sockaddr* address, socklen_t length) noexcept;

    int family() const noexcept { return storage.ss_family; }
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    /// TCP only.
    void set_port(std::uint16_t port) noexcept;
};

/// Nothing if the path is too long for the kernel.
std::optional<SocketAddress> unix_address(const std::string& path);
/// Nothing if `host` is a name: this asks nobody.
std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port);
/// What `host` stands for, at least one address. May block for as long as a name server takes.
Result<std::vector<SocketAddress>, std::error_code> look_up(const std::string& host, std::uint16_t port);
/// All addresses of one family.
SocketAddress any_address(int family, std::uint16_t port) noexcept;

}  // namespace wsserver
