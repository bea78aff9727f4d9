// The load for an echo server: each connection keeps a fixed number of messages in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "load.hpp"
#include "load_io.hpp"
#include "messages.hpp"

namespace wsserver::bench {

struct EchoLoadOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    bool websocket = true;  ///< false: sends the same bytes to a raw echo, without an opening handshake
    MessageKind kind{};
    std::size_t connections = 1;
    std::size_t in_flight = 1;  ///< messages sent and not yet answered, on each connection
};

/// Sends a new message for each reply. Counts replies.
class EchoLoad final : public Load, LoadIo::Handler {
   public:
    /// Opens all connections. Throws std::runtime_error.
    explicit EchoLoad(const EchoLoadOptions& options);

   private:
    struct Connection {
        std::size_t in_flight = 0;  ///< messages
        std::size_t owed = 0;       ///< those of them that are not sent yet
        MessageCounter::Progress progress{};
    };

    void begin() override;
    void turn() override;
    bool under_way() const override;
    void on_bytes(std::size_t index, std::string_view bytes) override;
    void on_writable(std::size_t index) override;
    std::size_t count_bytes(Connection& connection, std::size_t bytes) const;
    void owe(std::size_t index, std::size_t messages);
    void send_owed();

    EchoLoadOptions options_;
    std::string frames_;  ///< `in_flight` messages, masked
    std::size_t frame_size_;
    MessageCounter counter_;
    std::unique_ptr<LoadIo> io_;
    std::vector<Connection> connections_;
    std::vector<std::size_t> owing_;  ///< the connections with messages to send
};

}  // namespace wsserver::bench
