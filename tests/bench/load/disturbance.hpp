// A connection that takes as much of the server's time as it can.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

namespace wsserver::bench {

/// What a disturbance does.
struct DisturbanceKind {
    const char* name;
    std::size_t size;      ///< payload bytes of each message
    std::size_t messages;  ///< sent at once, if the kernel takes them
    bool reads;            ///< false: it never reads a reply
    const char* subprotocol = "";
};

struct DisturbanceOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    bool websocket = true;
    std::optional<int> core{};
    DisturbanceKind kind{};
};

/// Sends as fast as the server receives, on a thread of its own with the lowest priority. Reconnects if the server
/// closes the connection.
class Disturbance {
   public:
    explicit Disturbance(const DisturbanceOptions& options);
    Disturbance(const Disturbance&) = delete;
    Disturbance& operator=(const Disturbance&) = delete;
    ~Disturbance();

    /// The bytes that the server has taken so far: the bytes of its replies, or the bytes sent if replies are not read.
    std::uint64_t taken() const noexcept { return taken_; }

   private:
    void run();
    void disturb(int socket);

    DisturbanceOptions options_;
    std::string frames_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::uint64_t> taken_ = 0;
    std::thread thread_;
};

}  // namespace wsserver::bench
