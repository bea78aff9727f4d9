// What a load counts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wsd-ctl/bench/histogram.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsd::ctl::bench {

struct Tally {
    using Time = wsserver::Clock::time_point;

    /// The measurement lasts from `begin` to `end`; neither is known before it comes.
    Time begin = Time::max();
    Time end = Time::max();

    std::uint64_t messages = 0;  ///< that arrived in the measurement: echoes, deliveries, finished handshakes
    std::uint64_t bytes = 0;     ///< of their payloads
    std::uint64_t wrong = 0;     ///< that arrived, at any time, and are not what was sent
    std::uint64_t lost = 0;      ///< that never arrived
    std::uint64_t unsent = 0;    ///< that were due in the measurement and never sent
    Histogram latency;           ///< of what was due in the measurement, whenever it arrived

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
