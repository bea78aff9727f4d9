// Load for a server that sends what one publishes to all: a publisher and its receivers.
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

struct FanOutLoadOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    MessageKind kind{};
    std::size_t receivers = 1;
    std::size_t in_flight = 1;  ///< publications that not all receivers have got yet
    bool websocket = true;      ///< else a raw server: no opening handshake, and frames that it passes on as they are
};

/// What all receivers have got is followed by the next publication; counted are deliveries. A server may deliver to
/// the publisher too: that counts, but nothing waits for it.
class FanOutLoad final : public Load, LoadIo::Handler {
   public:
    /// Connects all. Throws std::runtime_error.
    explicit FanOutLoad(const FanOutLoadOptions& options);

   private:
    struct Receiver {
        std::size_t got = 0;  ///< publications
        MessageCounter::Progress progress{};
    };

    void begin() override;
    void turn() override;
    bool under_way() const override { return in_flight_ > 0; }
    void on_bytes(std::size_t index, std::string_view bytes) override;
    void on_writable(std::size_t) override {}  // turn() looks
    void arrived(Receiver& receiver);

    FanOutLoadOptions options_;
    std::string frames_;  ///< `in_flight` publications
    std::size_t frame_size_;
    const std::string pong_;
    MessageCounter counter_;
    std::unique_ptr<LoadIo> io_;
    std::vector<Receiver> receivers_;   ///< and the publisher, who is the last
    std::vector<std::size_t> lacking_;  ///< receivers, for each publication in flight
    std::size_t in_flight_ = 0;
    std::size_t owed_ = 0;  ///< of them, not sent yet
};

}  // namespace wsserver::bench
