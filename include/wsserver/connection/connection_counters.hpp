// What the connections of one thread count.
#pragma once

#include <atomic>
#include <cstdint>

namespace wsserver {

/// A number that one thread counts up and any thread reads: no locked instruction on the hot path.
class Counter {
   public:
    void add(std::uint64_t count = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    }
    std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

   private:
    std::atomic<std::uint64_t> value_{0};
};

/// What a reactor's connections count. Documented in ServerStatistics (server.hpp).
struct ConnectionCounters {
    Counter opened, refused, http_answered, turned_away;
    Counter handshake_timeouts, pong_timeouts, close_timeouts;
    Counter slow_consumers, messages_dropped, handler_exceptions;
    Counter messages_in, messages_out, bytes_in, bytes_out;
};

}  // namespace wsserver
