// Many connections that send a message now and then, and the time that each message waits for its reply.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "messages.hpp"

namespace wsserver::bench {

struct QuietLoadOptions {
    std::uint16_t port = 0;
    std::string target = "/";
    bool websocket = true;  ///< false: sends the same bytes to a raw echo
    MessageKind kind{};
    std::size_t connections = 100;
    std::chrono::nanoseconds pause = std::chrono::milliseconds{20};  ///< between two messages of a connection
};

/// An open loop: messages are due at fixed times, regardless of earlier replies.
class QuietLoad {
   public:
    using Clock = std::chrono::steady_clock;

    /// Opens all connections. Throws std::runtime_error.
    explicit QuietLoad(const QuietLoadOptions& options);
    QuietLoad(const QuietLoad&) = delete;
    QuietLoad& operator=(const QuietLoad&) = delete;
    ~QuietLoad();

    /// Runs for `time` and returns the wait of each message for its reply, in microseconds. If a connection still waits
    /// for its previous reply, the wait of the next message counts from the time at which it was due. A message without
    /// a reply at the end counts with its wait so far.
    std::vector<double> run(std::chrono::milliseconds time);

   private:
    struct Connection {
        int socket;
        std::deque<Clock::time_point> waiting{};  ///< when each wait began; the first was sent, the others follow
        MessageCounter::Progress progress{};
        std::size_t bytes = 0;
    };

    void send_message(Connection& connection);
    void wait_until(Clock::time_point time);
    void receive(Connection& connection);
    std::size_t count(Connection& connection, std::string_view bytes) const;

    QuietLoadOptions options_;
    std::string frame_;
    MessageCounter counter_;
    int epoll_;
    std::vector<Connection> connections_;
    std::vector<double> waits_;
};

}  // namespace wsserver::bench
