// The one place of a load that connects: a transport only knows what to do with a socket.
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

class Dialer {
   public:
    /// An address has 28,232 ports of its own for connections to one server (Linux's default). connect() tries every
    /// second one first, so when half of them are taken each further connection costs a search through that half:
    /// before that the next ones come from 127.0.0.2 and so on, if the server is on this machine.
    static constexpr std::uint32_t connections_per_address = 12'000;

    /// Looks `to` up and connects to each address in turn, to find one where somebody listens; that connection is
    /// the first that dial() hands out. Blocks, besides the look-up at most `timeout`.
    static wsserver::Result<Dialer, Failure> find(const wsserver::Endpoint& to, std::chrono::milliseconds timeout,
                                                  std::uint32_t per_address = connections_per_address);

    /// A non-blocking socket, connected or on its way: what is sent waits, and an error comes to who receives.
    /// EAGAIN: a Unix socket's backlog is full, and soon it may have room again.
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
