// One time at which somebody is to be called, on a UringLoop.
#pragma once

#include <utility>

#include "wsserver/base/unique_function.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver::detail {

/// Lives as long as the ring.
class UringTimer {
   public:
    UringTimer(UringRing& ring, UniqueFunction<void()> call) : ring_(ring), call_(std::move(call)) {}
    UringTimer(const UringTimer&) = delete;
    UringTimer& operator=(const UringTimer&) = delete;

    void replace_call(UniqueFunction<void()> call) { call_ = std::move(call); }
    /// Replaces the time before; time_point::max(): none.
    void set(Clock::time_point time) {
        time_ = time;
        // Armed too early is cheaper than armed again: it finds out when it is woken.
        if (time < armed_for_) arm(time);
    }
    /// The kernel's call has come.
    void expired() {
        armed_for_ = Clock::time_point::max();
        if (time_ > Clock::now()) {
            if (time_ != Clock::time_point::max()) arm(time_);
            return;
        }
        time_ = Clock::time_point::max();
        if (call_) call_();
    }

   private:
    void arm(Clock::time_point time) {
        const bool again = std::exchange(armed_for_, time) != Clock::time_point::max();
        moment_ = kernel_time(time.time_since_epoch());
        if (again) {
            // If it is too late for that, the call is on its way and sees to the rest.
            io_uring_prep_timeout_update(&ring_.silent_sqe(), &moment_, name(), IORING_TIMEOUT_ABS);
        } else {
            io_uring_prep_timeout(&ring_.sqe(UringEvent::timer, this), &moment_, 0, IORING_TIMEOUT_ABS);
        }
    }
    std::uint64_t name() const noexcept {
        return reinterpret_cast<std::uint64_t>(this) | static_cast<std::uint64_t>(UringEvent::timer);
    }

    UringRing& ring_;
    UniqueFunction<void()> call_;
    Clock::time_point time_ = Clock::time_point::max();
    Clock::time_point armed_for_ = Clock::time_point::max();
    __kernel_timespec moment_{};  // read when the orders are handed over
};

}  // namespace wsserver::detail
