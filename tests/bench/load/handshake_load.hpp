// Load for a server's door: connections that open, close and begin anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "load.hpp"

namespace wsserver::bench {

struct HandshakeLoadOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    bool websocket = true;  ///< else a raw echo sends the request back, and the load leaves
    std::size_t at_a_time = 64;
};

/// Each connection: opening handshake, closing handshake that the load begins, the server's end of the stream. Counted
/// are connections that have ended.
class HandshakeLoad final : public Load {
   public:
    explicit HandshakeLoad(const HandshakeLoadOptions& options);
    ~HandshakeLoad() override;

   private:
    struct Connection {
        int socket = -1;  ///< -1: there is none
        std::string response{};
        bool closing = false;
    };

    void begin() override;
    void turn() override;
    bool under_way() const override { return open_ > 0; }
    void open(std::size_t index);
    void receive(std::size_t index);
    void on_bytes(std::size_t index, std::string_view bytes);
    void end(std::size_t index);

    HandshakeLoadOptions options_;
    std::string request_;
    int epoll_;
    std::vector<Connection> connections_;
    std::vector<std::size_t> idle_;  ///< those without a socket
    std::size_t open_ = 0;
};

}  // namespace wsserver::bench
