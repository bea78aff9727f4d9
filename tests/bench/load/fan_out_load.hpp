// The load for a server that sends each message to all connections: a publisher and its receivers.
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
#include "wsserver/base/descriptor.hpp"

namespace wsserver::bench {

struct FanOutLoadOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    MessageKind kind{};
    std::size_t receivers = 1;
    std::size_t in_flight = 1;   ///< publications that some receivers do not have yet
    std::size_t bystanders = 0;  ///< connections with another target, which receive nothing
    bool websocket = true;       ///< false: a raw server, without an opening handshake, passes frames on unchanged
};

/// Publishes again when all receivers have a publication. Counts deliveries. A server may also deliver to the
/// publisher: that counts, but the load does not wait for it.
class FanOutLoad final : public Load, LoadIo::Handler {
   public:
    /// Opens all connections. Throws std::runtime_error.
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
    void on_writable(std::size_t) override {}  // turn() checks for it
    void arrived(Receiver& receiver);
    void open_bystanders(std::size_t count);

    FanOutLoadOptions options_;
    std::string frames_;  ///< `in_flight` publications
    std::size_t frame_size_;
    const std::string pong_;
    MessageCounter counter_;
    std::unique_ptr<LoadIo> io_;
    std::vector<Descriptor> bystanders_;
    std::vector<Receiver> receivers_;   ///< the last one is the publisher
    std::vector<std::size_t> lacking_;  ///< for each publication in flight, the receivers that do not have it yet
    std::size_t in_flight_ = 0;
    std::size_t owed_ = 0;  ///< those of them that are not sent yet
};

}  // namespace wsserver::bench
