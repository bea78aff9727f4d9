// Whether and when a client connects again. Reads no clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

#include "wsserver/client.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// Counts the failures in a row by the rules of Reconnect.
class Backoff {
   public:
    /// Without `rule` there are no further attempts.
    explicit Backoff(const std::optional<Reconnect>& rule) : rule_(rule) {}

    /// Forgets all failures, because the program has called connect().
    void reset() noexcept {
        failures_ = 0;
        last_wait_ = {};
    }
    /// A connection has opened.
    void opened(Clock::time_point now) noexcept { opened_ = now; }

    /// That connection has ended, or an attempt has failed.
    void ended(Clock::time_point now) noexcept {
        const auto since = std::exchange(opened_, std::nullopt);
        const bool has_lived = since && rule_ && now >= later(*since, std::max(rule_->min_uptime, last_wait_));
        failures_ = has_lived ? 0 : failures_ + 1;
    }
    /// The wait before the next attempt; nothing if there is none. For `point` see Reconnect::wait().
    std::optional<std::chrono::milliseconds> next_wait(double point) noexcept {
        if (!rule_ || (rule_->attempts != 0 && failures_ >= rule_->attempts)) return std::nullopt;
        last_wait_ = rule_->wait(failures_, point);
        return last_wait_;
    }

   private:
    const std::optional<Reconnect> rule_;
    std::size_t failures_ = 0;
    std::chrono::milliseconds last_wait_{0};
    std::optional<Clock::time_point> opened_{};  ///< of the connection that is open
};

}  // namespace wsserver
