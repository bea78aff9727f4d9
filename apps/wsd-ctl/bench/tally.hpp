// The counts of a load.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wsd-ctl/bench/histogram.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsd::ctl::bench {

struct Tally {
    using Time = wsserver::Clock::time_point;

    /// The measurement lasts from `begin` to `end`. Each is max() until it is known.
    Time begin = Time::max();
    Time end = Time::max();

    std::uint64_t messages = 0;  ///< arrived during the measurement: echoes, deliveries, finished handshakes
    std::uint64_t bytes = 0;     ///< of their payloads
    std::uint64_t wrong = 0;     ///< arrived at any time and differ from what was sent
    std::uint64_t lost = 0;      ///< never arrived
    std::uint64_t unsent = 0;    ///< were due during the measurement and never sent
    Histogram latency;           ///< of messages that were due during the measurement, whenever they arrived

    bool is_measured(Time time) const noexcept { return begin <= time && time < end; }
    void arrived(Time due, Time now, std::size_t size) noexcept {
        if (is_measured(now)) {
            ++messages;
            bytes += size;
        }
        if (is_measured(due)) latency.record(now - due);
    }
};

}  // namespace wsd::ctl::bench
