// Builds and resolves socket addresses.
#pragma once

#include "wsserver/transport/detail/socket_address.hpp"

#include <netdb.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

namespace wsserver {

namespace {

class LookupCategory final : public std::error_category {
   public:
    const char* name() const noexcept override { return "getaddrinfo"; }
    std::string message(int code) const override { return ::gai_strerror(code); }
};

std::error_code lookup_error(int code) {
    static const LookupCategory category;
    if (code == EAI_SYSTEM) return {errno, std::system_category()};
    return {code, category};
}

Result<std::vector<SocketAddress>, std::error_code> resolve(const std::string& host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* found = nullptr;
    const int failure = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (failure != 0) return Unexpected{lookup_error(failure)};
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list{found, ::freeaddrinfo};
    std::vector<SocketAddress> addresses;
    for (const addrinfo* next = found; next != nullptr; next = next->ai_next) {
        addresses.emplace_back(next->ai_addr, next->ai_addrlen);
        addresses.back().set_port(port);
    }
    return addresses;
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length) noexcept : size(length) {
    std::memcpy(&storage, address, length);
}

void SocketAddress::set_port(std::uint16_t port) noexcept {
    if (family() == AF_INET6) {
        reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
    } else {
        reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
    }
}

std::optional<SocketAddress> unix_address(const std::string& path) {
    SocketAddress address;
    auto& local = reinterpret_cast<sockaddr_un&>(address.storage);
    if (path.empty() || path.size() >= sizeof local.sun_path) return std::nullopt;
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, path.data(), path.size());
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    if (path.front() == '@') {
        local.sun_path[0] = '\0';  // unix(7): the size gives the length of an abstract name
    } else {
        ++address.size;  // the final zero
    }
    return address;
}

std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port) {
    auto found = resolve(host, port, AI_NUMERICHOST);
    if (!found) return std::nullopt;
    return found->front();
}

Result<std::vector<SocketAddress>, std::error_code> look_up(const std::string& host, std::uint16_t port) {
    return resolve(host, port, 0);
}

SocketAddress any_address(int family, std::uint16_t port) noexcept {
    SocketAddress any;
    any.storage.ss_family = static_cast<sa_family_t>(family);
    any.size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    any.set_port(port);
    return any;
}

}  // namespace wsserver
