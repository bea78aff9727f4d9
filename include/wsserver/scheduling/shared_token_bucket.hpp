// A token bucket that several threads take from, without a lock.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "wsserver/scheduling/token_bucket.hpp"

namespace wsserver {

/// A TokenBucket without debts. Any thread may call the members. Takers that want many tokens take them at once, so
/// that they share a word of memory seldom.
class SharedTokenBucket {
   public:
    /// That of TokenBucket.
    using Clock = TokenBucket::Clock;

    /// Takes what it holds, at most `most`. Returns how many tokens that is.
    std::uint32_t take(std::uint32_t most, std::uint32_t rate, Clock::time_point now) noexcept {
        TokenBucket seen = bucket_.load(std::memory_order_relaxed);
        for (;;) {
            const std::uint32_t taken = std::min(most, seen.tokens(rate, now));
            if (taken == 0) return 0;
            TokenBucket changed = seen;
            changed.take(taken, rate, now);
            if (bucket_.compare_exchange_weak(seen, changed, std::memory_order_relaxed)) return taken;
        }
    }
    /// Returns tokens that were taken and not used.
    void put_back(std::uint32_t count, std::uint32_t rate) noexcept {
        TokenBucket seen = bucket_.load(std::memory_order_relaxed);
        TokenBucket changed = seen;
        do {
            changed = seen;
            changed.put_back(count, rate);
        } while (!bucket_.compare_exchange_weak(seen, changed, std::memory_order_relaxed));
    }
    /// When it holds a token, if none is taken before; a past time if it holds one.
    Clock::time_point ready_at(std::uint32_t rate) const noexcept {
        return bucket_.load(std::memory_order_relaxed).ready_at(rate);
    }
    /// True if it holds all tokens, as a new one does.
    bool is_full(Clock::time_point now) const noexcept { return bucket_.load(std::memory_order_relaxed).is_full(now); }

   private:
    std::atomic<TokenBucket> bucket_{};
    static_assert(std::atomic<TokenBucket>::is_always_lock_free);
};

}  // namespace wsserver
