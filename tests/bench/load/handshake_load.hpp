// The load for opening handshakes: connections that open, close and open again.
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
    bool websocket = true;  ///< false: a raw echo returns the request, and the load closes the connection
    std::size_t at_a_time = 64;
};

/// On each connection: the opening handshake, the closing handshake, which the load starts, and the end of the stream
/// by the server. Counts connections that have ended.
class HandshakeLoad final : public Load {
   public:
    explicit HandshakeLoad(const HandshakeLoadOptions& options);
    ~HandshakeLoad() override;

   private:
    struct Connection {
        int socket = -1;  ///< -1: not connected
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
    std::vector<std::size_t> idle_;  ///< connections without a socket
    std::size_t open_ = 0;
};

}  // namespace wsserver::bench
