// Limits how often something happens. A value: it has no clock or timer.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>

namespace wsserver {

/// A token bucket that gets `rate` tokens a second and holds those of one second. It is full at first. `rate` is an
/// argument of each call and may change between two calls; it must not be 0. A bucket that lacks the tokens of half a
/// second lacks those of half a second at the new rate, too.
class TokenBucket {
   public:
    using Clock = std::chrono::steady_clock;  ///< the same as wsserver::Clock

    /// The whole tokens that it holds: 0 to `rate`.
    std::uint32_t tokens(std::uint32_t rate, Clock::time_point now) const noexcept {
        const std::chrono::nanoseconds lacking = full_at_ - now;
        if (lacking.count() <= 0) return rate;
        if (lacking >= second) return 0;
        return static_cast<std::uint32_t>(rate * in_nanoseconds(second - lacking) / in_nanoseconds(second));
    }
    /// Takes tokens. What it does not hold is a debt, and `rate` tokens a second pay it first.
    void take(std::uint32_t count, std::uint32_t rate, Clock::time_point now) noexcept {
        assert(rate != 0);
        const std::uint64_t whole = count / rate, rest = count % rate;  // so that no product exceeds 64 bits
        const std::chrono::nanoseconds time{whole * in_nanoseconds(second) + rest * in_nanoseconds(second) / rate};
        full_at_ = std::max(full_at_, now) + time;
    }
    /// Returns tokens that were taken and not used.
    void put_back(std::uint32_t count, std::uint32_t rate) noexcept {
        assert(rate != 0);
        const std::uint64_t whole = count / rate, rest = count % rate;
        full_at_ -= std::chrono::nanoseconds{whole * in_nanoseconds(second) + rest * in_nanoseconds(second) / rate};
    }
    /// Takes a token if it holds one.
    bool try_take(std::uint32_t rate, Clock::time_point now) noexcept {
        if (tokens(rate, now) == 0) return false;
        take(1, rate, now);
        return true;
    }
    /// When it holds a token, if none is taken before; a past time if it holds one.
    Clock::time_point ready_at(std::uint32_t rate) const noexcept {
        assert(rate != 0);
        const std::uint64_t of_one = (in_nanoseconds(second) + rate - 1) / rate;
        return full_at_ - second + std::chrono::nanoseconds{of_one};
    }

    /// True if it holds all tokens, as a new one does.
    bool is_full(Clock::time_point now) const noexcept { return full_at_ <= now; }

   private:
    static constexpr std::chrono::nanoseconds second = std::chrono::seconds{1};

    static constexpr std::uint64_t in_nanoseconds(std::chrono::nanoseconds time) noexcept {
        return static_cast<std::uint64_t>(time.count());
    }

    Clock::time_point full_at_{};
};

}  // namespace wsserver
