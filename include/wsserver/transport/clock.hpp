// The clock of timers and timeouts.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>

namespace wsserver {

/// The clock of all timeouts: monotonic, so that setting the time of the machine changes none of them.
using Clock = std::chrono::steady_clock;

/// `time` after `from`; `from` if `time` is negative, time_point::max() (never) if the sum is beyond the clock's range.
inline Clock::time_point later(Clock::time_point from, std::chrono::milliseconds time) noexcept {
    const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::time_point::max() - from);
    return time >= most ? Clock::time_point::max() : from + std::max(time, std::chrono::milliseconds{0});
}

/// The time of day for `transport`: its wall_time(), if its clock is virtual, else that of the system. time() only
/// reads memory on Linux.
template <class T>
std::chrono::sys_seconds wall_time(const T& transport) noexcept {
    if constexpr (requires { transport.wall_time(); }) {
        return transport.wall_time();
    } else {
        return std::chrono::sys_seconds{std::chrono::seconds{std::time(nullptr)}};
    }
}

}  // namespace wsserver
