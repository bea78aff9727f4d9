// One connection that takes of a server what it can get.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

namespace wsserver::bench {

struct DisturbanceKind {
    const char* name;
    std::size_t size;      ///< payload bytes of each message
    std::size_t messages;  ///< handed to the kernel at once, if it takes them
    bool reads;            ///< else it never takes a reply
};

struct DisturbanceOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    bool websocket = true;
    std::optional<int> core{};
    DisturbanceKind kind{};
};

/// Sends as fast as the server takes it, on a thread of its own that makes way for all others. Connects anew if the
/// server closes the connection.
class Disturbance {
   public:
    explicit Disturbance(const DisturbanceOptions& options);
    Disturbance(const Disturbance&) = delete;
    Disturbance& operator=(const Disturbance&) = delete;
    ~Disturbance();

    /// ByteVector that the server has taken so far: told by its replies, or if they aren't read by what could be sent.
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
