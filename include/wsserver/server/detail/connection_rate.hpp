// Limits how many clients all reactors together accept in a second.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>

#include "wsserver/scheduling/token_bucket.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// A limit, and the same number for clients over the limit that get a response. Further ones cost no more than their
/// accept. Any thread may call the members.
class ConnectionRate {
   public:
    /// `per_second` is the most clients in a second; 0: unlimited.
    explicit ConnectionRate(std::size_t per_second) noexcept { set(per_second); }

    void set(std::size_t per_second) noexcept {
        constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
        rate_.store(static_cast<std::uint32_t>(std::min(per_second, most)), std::memory_order_relaxed);
    }
    bool is_limited() const noexcept { return rate_.load(std::memory_order_relaxed) != 0; }

    enum class Place : std::uint8_t {
        within,
        over,      ///< gets a 503
        far_over,  ///< is closed
    };
    /// The place of a client that connects now. A client over the limit does not delay others.
    Place take(Clock::time_point now) noexcept {
        const std::uint32_t rate = rate_.load(std::memory_order_relaxed);
        const std::lock_guard lock(mutex_);
        if (rate == 0 || within_.try_take(rate, now)) return Place::within;
        return over_.try_take(rate, now) ? Place::over : Place::far_over;
    }

   private:
    std::atomic<std::uint32_t> rate_;
    std::mutex mutex_;
    TokenBucket within_;
    TokenBucket over_;
};

}  // namespace wsserver
