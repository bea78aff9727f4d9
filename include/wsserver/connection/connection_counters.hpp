// The counters of the connections of one thread.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <cstdint>

namespace wsserver {

/// A number that one thread increments and any thread reads. It needs no locked instruction on the hot path.
class Counter {
   public:
    /// Called by one thread only.
    void add(std::uint64_t count = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    }
    /// Called by any thread.
    std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

   private:
    std::atomic<std::uint64_t> value_{0};
};

/// The counters of an owner's connections.
struct ConnectionCounters {
    Counter opened;              ///< opening handshakes that succeeded
    Counter refused;             ///< opening handshakes that were refused
    Counter http_answered;       ///< plain requests that the program answered
    Counter http_unrouted;       ///< plain requests that no route and no program answers: 404, 405
    Counter http_timeouts;       ///< plain requests that the program did not answer, or answers not taken, in time
    Counter turned_away;         ///< requests over `max_connections`
    Counter handshake_timeouts;  ///< opening handshakes that took too long
    Counter message_timeouts;    ///< messages that did not end in time, received or sent in pieces
    Counter pong_timeouts;       ///< pings that were not answered in time
    Counter close_timeouts;      ///< Close frames that were not answered in time
    Counter slow_consumers;      ///< connections closed with 1013
    Counter rate_pauses;         ///< pauses of reading because the peer sent more than ReceiveRates
    Counter address_pauses;      ///< pauses of reading because all clients of its address sent too much
    Counter user_pauses;         ///< the same for its user
    Counter publish_pauses;      ///< pauses of reading because receivers of the peer's broadcasts lagged
    Counter memory_pauses;       ///< pauses of reading because memory was short
    Counter closed_for_memory;   ///< connections closed with 1013 or 503 because memory was short
    Counter refused_for_memory;  ///< opening handshakes answered with 503 because memory was short
    Counter joins_over_limit;    ///< joins of connections that were in max_rooms rooms
    Counter joins_dropped;       ///< joins for which there was no memory
    Counter calls_over_limit;    ///< calls of connections for which max_delayed_calls waited for their time
    Counter calls_dropped;       ///< calls for which there was no memory, or too many waited for a worker
    Counter messages_dropped;    ///< messages that the policy for slow consumers dropped
    Counter handler_exceptions;  ///< connections closed with 1011
    Counter messages_in;         ///< complete data messages received
    Counter messages_out;        ///< data messages queued or sent
    Counter bytes_in;            ///< bytes received
    Counter bytes_out;           ///< bytes sent
};

}  // namespace wsserver
