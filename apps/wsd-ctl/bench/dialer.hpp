// Connects sockets for a load; the transport only uses connected ones.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <system_error>
#include <vector>

#include "wsd-ctl/bench/outcome.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/transport/endpoint.hpp"

namespace wsd::ctl::bench {

/// Connects to one server, from several addresses of this machine if needed.
class Dialer {
   public:
    /// An address has 28,232 ports for connections to one server (Linux's default). connect() tries every second one
    /// first, so after half of them each further connection searches through that half. Before that, further
    /// connections come from 127.0.0.2 and so on, if the server is on this machine.
    static constexpr std::uint32_t connections_per_address = 12'000;

    /// Looks `to` up and connects to each address in turn until one accepts. That connection is the first one that
    /// dial() returns. Blocks: the look-up without a limit, connecting for at most `timeout`.
    static wsserver::Result<Dialer, Failure> find(const wsserver::Endpoint& to, std::chrono::milliseconds timeout,
                                                  std::uint32_t per_address = connections_per_address);

    /// Returns a non-blocking socket that is connected or connecting. Sent bytes wait until it is connected, and
    /// receiving reports an error. EAGAIN: the backlog of a Unix socket is full; try again soon.
    wsserver::Result<wsserver::Descriptor, std::error_code> dial(std::uint32_t connection);

   private:
    struct Address {
        sockaddr_storage storage{};
        socklen_t size = 0;
        bool is_ipv4_loopback() const noexcept;
    };

    explicit Dialer(std::uint32_t per_address) : per_address_(per_address) {}
    static wsserver::Result<std::vector<Address>, std::string> look_up(const wsserver::Endpoint& to);
    std::error_code try_address(const Address& address, std::chrono::milliseconds timeout);
    std::error_code connect_from(std::uint32_t source, wsserver::Descriptor& socket) const;

    Address address_;
    wsserver::Descriptor first_;
    std::uint32_t per_address_;
};

}  // namespace wsd::ctl::bench
