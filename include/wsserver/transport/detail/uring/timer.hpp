// A timer on a UringLoop: one time, one call.
#pragma once

#include <utility>

#include "wsserver/base/unique_function.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver::detail {

/// Must live as long as the ring.
class UringTimer {
   public:
    UringTimer(UringRing& ring, UniqueFunction<void()> call) : ring_(ring), call_(std::move(call)) {}
    UringTimer(const UringTimer&) = delete;
    UringTimer& operator=(const UringTimer&) = delete;

    void replace_call(UniqueFunction<void()> call) { call_ = std::move(call); }
    /// Sets the time, which replaces the previous one. time_point::max(): no call.
    void set(Clock::time_point time) {
        time_ = time;
        // A timer that is armed too early stays as it is, which is cheaper: expired() arms it again.
        if (time < armed_for_) arm(time);
    }
    /// Handles the completion of the timeout request.
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
            // If the timeout has already expired, this fails, and expired() arms it again.
            io_uring_prep_timeout_update(&ring_.silent_sqe(), &moment_, user_data(), IORING_TIMEOUT_ABS);
        } else {
            io_uring_prep_timeout(&ring_.sqe(UringEvent::timer, this), &moment_, 0, IORING_TIMEOUT_ABS);
        }
    }
    std::uint64_t user_data() const noexcept {
        return reinterpret_cast<std::uint64_t>(this) | static_cast<std::uint64_t>(UringEvent::timer);
    }

    UringRing& ring_;
    UniqueFunction<void()> call_;
    Clock::time_point time_ = Clock::time_point::max();
    Clock::time_point armed_for_ = Clock::time_point::max();
    __kernel_timespec moment_{};  // the kernel reads it when the request is submitted
};

}  // namespace wsserver::detail
