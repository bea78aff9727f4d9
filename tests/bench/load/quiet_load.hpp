// Many connections that seldom say something, and how long each waits for its reply.
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
    bool websocket = true;  ///< else the same bytes go to a raw echo
    MessageKind kind{};
    std::size_t connections = 100;
    std::chrono::nanoseconds pause = std::chrono::milliseconds{20};  ///< from one message of a connection to its next
};

/// An open loop: each message has its time, whatever became of those before it.
class QuietLoad {
   public:
    using Clock = std::chrono::steady_clock;

    /// Connects all. Throws std::runtime_error.
    explicit QuietLoad(const QuietLoadOptions& options);
    QuietLoad(const QuietLoad&) = delete;
    QuietLoad& operator=(const QuietLoad&) = delete;
    ~QuietLoad();

    /// Microseconds that each message waited for its reply. A message whose connection still waits for the reply
    /// before it waits from the time at which it should have been sent. Those without a reply at the end count with
    /// what they have waited.
    std::vector<double> run(std::chrono::milliseconds time);

   private:
    struct Connection {
        int socket;
        std::deque<Clock::time_point> waiting{};  ///< since when; the first has been sent, the others are to follow
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
