// Decides how much one thread receives from clients that share rates with those of other threads.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "wsserver/connection/connection_counters.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/scheduling/shared_token_bucket.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// The part of one thread in shared rates. It takes tokens of a hundredth of a second at a time, and those that a read
/// needs besides, so its messages rarely touch memory that other threads write.
class SharedPace {
   public:
    /// messages, bytes  what all threads share
    /// rates            those of the owner; may change between two calls
    /// pauses           counts pauses of reading
    /// All must outlive the object.
    SharedPace(SharedTokenBucket& messages, SharedTokenBucket& bytes, const ReceiveRates& rates,
               Counter& pauses) noexcept
        : messages_{messages}, bytes_{bytes}, rates_(rates), pauses_(pauses) {}

    /// How many messages and control frames may be handled now.
    std::uint32_t messages_allowed(Clock::time_point now) noexcept {
        if (rates_.messages == 0) return std::numeric_limits<std::uint32_t>::max();
        return messages_.at_least(1, narrowed(rates_.messages), now);
    }
    /// How many of `bytes` may be handled now. Other than by ReceivePace, no more than that.
    std::size_t bytes_allowed(std::size_t bytes, Clock::time_point now) noexcept {
        if (rates_.bytes == 0) return bytes;
        return std::min<std::size_t>(bytes, bytes_.at_least(narrowed(bytes), narrowed(rates_.bytes), now));
    }
    /// `messages` and `bytes` were handled, at most what was allowed.
    void handled(std::size_t messages, std::size_t bytes) noexcept {
        messages_.use(messages);
        bytes_.use(bytes);
    }
    /// Until when reading must pause; a past time if it need not.
    Clock::time_point paused_until(Clock::time_point now) noexcept {
        auto until = Clock::time_point::min();
        if (rates_.messages != 0) until = messages_.ready_at(narrowed(rates_.messages), now);
        if (rates_.bytes != 0) until = std::max(until, bytes_.ready_at(narrowed(rates_.bytes), now));
        return until;
    }
    /// Reading pauses for one of its connections.
    void count_pause() noexcept { pauses_.add(); }
    /// Its last connection has ended: returns the tokens that are left.
    void put_back() noexcept {
        messages_.put_back(narrowed(rates_.messages));
        bytes_.put_back(narrowed(rates_.bytes));
    }

    /// How long reading pauses at least. Connections that wait for the same tokens look at different times, so that
    /// each gets its part, and seldom, so that many of them cost little. `number` is different for each connection and
    /// time.
    static constexpr Clock::duration pause(std::uint64_t number) noexcept {
        constexpr auto least = std::chrono::milliseconds{125};
        const std::uint64_t spread = number * 0x9E3779B97F4A7C15;  // 2^64 / golden ratio
        return least + least * static_cast<int>(spread >> 48) / 0x10000;
    }

   private:
    static std::uint32_t narrowed(std::size_t count) noexcept {
        return static_cast<std::uint32_t>(std::min<std::size_t>(count, std::numeric_limits<std::uint32_t>::max()));
    }

    /// A bucket that is shared, and the tokens that this thread has taken from it.
    struct Tokens {
        std::uint32_t at_least(std::uint32_t wanted, std::uint32_t rate, Clock::time_point now) noexcept {
            wanted = std::min(wanted, rate);
            if (kept < wanted) kept += shared.take(std::max(rate / 100, wanted - kept), rate, now);
            return kept;
        }
        void use(std::size_t count) noexcept { kept -= static_cast<std::uint32_t>(std::min<std::size_t>(kept, count)); }
        Clock::time_point ready_at(std::uint32_t rate, Clock::time_point now) noexcept {
            return at_least(1, rate, now) != 0 ? Clock::time_point::min() : shared.ready_at(rate);
        }
        void put_back(std::uint32_t rate) noexcept {
            if (kept != 0 && rate != 0) shared.put_back(kept, rate);
            kept = 0;
        }

        SharedTokenBucket& shared;
        std::uint32_t kept = 0;
    };

    Tokens messages_;
    Tokens bytes_;
    const ReceiveRates& rates_;
    Counter& pauses_;
};

}  // namespace wsserver
