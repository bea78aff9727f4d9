// Peers over real sockets: an echo on a transport, and a blocking client.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "support/catch.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/transport/endpoint.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver::test {

/// Sends back what it receives, without storing it.
template <class T>
class EchoUser final : public StreamUser {
   public:
    EchoUser(T& transport, typename T::Socket socket) : stream_(transport, std::move(socket)) { stream_.start(*this); }

    std::size_t turns = 0;
    std::size_t until = 0;
    bool ended = false;

    void begin(std::string_view bytes) {
        const SendPiece piece{bytes_of(bytes), {}};
        CHECK(stream_.send(std::span{&piece, 1}));
    }

   private:
    void on_bytes(MutableBytes bytes) override {
        if (++turns == until) return;
        const SendPiece piece{bytes, {}};
        if (!stream_.send(std::span{&piece, 1})) stream_.pause_receiving();
    }
    void on_sent() override { stream_.resume_receiving(); }
    void on_end(std::error_code) override { ended = true; }
    void on_released() override {}

    typename T::Stream stream_;
};

/// Connects a blocking socket to `endpoint` on loopback. Empty if it is refused.
inline Descriptor visit(const Endpoint& endpoint) {
    Descriptor socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
    return socket;
}

}  // namespace wsserver::test
