#include "wsd-ctl/bench/dialer.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

namespace wsd::ctl::bench {

namespace {

using wsserver::Descriptor;
using wsserver::Endpoint;
using wsserver::Result;
using wsserver::Unexpected;

/// Sources are 127.0.0.1 to 127.0.0.250.
constexpr std::uint32_t sources = 250;

std::error_code last_error() { return {errno, std::system_category()}; }

/// ip(7), IP_BIND_ADDRESS_NO_PORT: connect() chooses the port, which connections to several servers may share.
bool bind_to_source(int socket, std::uint32_t source) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source);
    return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// Waits until the socket is connected. Returns why it is not.
std::error_code await_connection(int socket, std::chrono::milliseconds timeout) {
    pollfd polled{socket, POLLOUT, 0};
    const auto most = static_cast<int>(std::min<std::int64_t>(timeout.count(), std::numeric_limits<int>::max()));
    const int ready = ::poll(&polled, 1, most);
    if (ready < 0) return last_error();
    if (ready == 0) return std::make_error_code(std::errc::timed_out);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
    return {error, std::system_category()};
}

}  // namespace

bool Dialer::Address::is_ipv4_loopback() const noexcept {
    if (storage.ss_family != AF_INET) return false;
    return ntohl(reinterpret_cast<const sockaddr_in&>(storage).sin_addr.s_addr) >> 24 == 127;
}

Result<std::vector<Dialer::Address>, std::string> Dialer::look_up(const Endpoint& to) {
    if (to.is_unix()) {
        Address address;
        auto& local = reinterpret_cast<sockaddr_un&>(address.storage);
        if (to.unix_path.size() >= sizeof local.sun_path) return Unexpected{std::string{"the path is too long"}};
        local.sun_family = AF_UNIX;
        std::memcpy(local.sun_path, to.unix_path.data(), to.unix_path.size());
        const bool abstract = local.sun_path[0] == '@';  // unix(7): such a name has no zero at its end
        if (abstract) local.sun_path[0] = '\0';
        address.size =
            static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + to.unix_path.size() + (abstract ? 0 : 1));
        return std::vector{address};
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failure = ::getaddrinfo(to.host.c_str(), std::to_string(to.port).c_str(), &hints, &found);
    if (failure != 0) return Unexpected{std::string{::gai_strerror(failure)}};
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list{found, ::freeaddrinfo};
    std::vector<Address> addresses;
    for (const addrinfo* next = found; next != nullptr; next = next->ai_next) {
        auto& address = addresses.emplace_back();
        std::memcpy(&address.storage, next->ai_addr, next->ai_addrlen);
        address.size = next->ai_addrlen;
    }
    return addresses;
}

Result<Dialer, Failure> Dialer::find(const Endpoint& to, std::chrono::milliseconds timeout, std::uint32_t per_address) {
    const auto addresses = look_up(to);
    if (!addresses) return Unexpected{Failure{exit_failed, addresses.error()}};
    Dialer dialer{per_address};
    std::error_code error;
    for (const Address& address : *addresses) {
        error = dialer.try_address(address, timeout / static_cast<int>(addresses->size()));
        if (!error) return dialer;
    }
    const bool silent = error == std::errc::timed_out || error == std::errc::resource_unavailable_try_again;
    return Unexpected{Failure{silent ? exit_timeout : exit_failed, error.message()}};
}

std::error_code Dialer::try_address(const Address& address, std::chrono::milliseconds timeout) {
    address_ = address;
    auto socket = dial(0);
    if (!socket) return socket.error();
    if (const auto error = await_connection(socket->get(), timeout)) return error;
    first_ = *std::move(socket);
    return {};
}

Result<Descriptor, std::error_code> Dialer::dial(std::uint32_t connection) {
    if (first_) return std::exchange(first_, {});
    const bool has_sources = address_.is_ipv4_loopback();
    for (std::uint32_t source = has_sources ? connection / per_address_ : 0;; ++source) {
        Descriptor socket{::socket(address_.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
        if (!socket) return Unexpected{last_error()};
        const auto error = connect_from(source, socket);
        if (!error) return socket;
        const bool no_port_left = error == std::errc::address_not_available;
        if (!no_port_left || !has_sources || source + 1 >= sources) return Unexpected{error};
    }
}

/// With source 0 the kernel chooses the address.
std::error_code Dialer::connect_from(std::uint32_t source, Descriptor& socket) const {
    if (address_.storage.ss_family != AF_UNIX) {
        const int on = 1;
        ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (source > 0 && !bind_to_source(socket.get(), source)) return last_error();
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_.storage), address_.size) == 0) return {};
    if (errno == EINPROGRESS || errno == EINTR) return {};
    return last_error();
}

}  // namespace wsd::ctl::bench
