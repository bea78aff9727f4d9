// When messages are due, if they are sent at a fixed rate.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "wsserver/transport/transport.hpp"

namespace wsd::ctl::bench {

/// Messages at equal intervals. The senders take turns.
class Pace {
   public:
    using Time = wsserver::Clock::time_point;

    /// `rate`: messages a second of all senders together, greater than 0.
    Pace(double rate, std::uint32_t senders, Time start) noexcept
        : interval_(1e9 / rate), senders_(senders), start_(start) {}

    /// When a sender's message is due. Its first one has the number 0.
    Time due(std::uint32_t sender, std::uint64_t number) const noexcept { return time_of(number * senders_ + sender); }

    /// When the next message that take() has not returned is due.
    Time next_due() const noexcept { return time_of(taken_); }
    /// The sender of the next message that is due by `now`, once for each message; nothing if none is due.
    std::optional<std::uint32_t> take(Time now) noexcept {
        if (next_due() > now) return std::nullopt;
        return static_cast<std::uint32_t>(taken_++ % senders_);
    }
    /// For how many of a sender's messages take() has returned it.
    std::uint64_t taken(std::uint32_t sender) const noexcept { return (taken_ + senders_ - 1 - sender) / senders_; }

   private:
    /// Computed from the start each time, so that rounding errors do not add up.
    Time time_of(std::uint64_t count) const noexcept {
        const double since = static_cast<double>(count) * interval_;
        return start_ + std::chrono::nanoseconds{static_cast<std::int64_t>(since)};
    }

    double interval_;  ///< ns
    std::uint32_t senders_;
    Time start_;
    std::uint64_t taken_ = 0;
};

}  // namespace wsd::ctl::bench
