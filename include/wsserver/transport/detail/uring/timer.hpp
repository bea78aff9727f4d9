// A timer on a UringLoop: one time, one call.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
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
        // A timer that is armed too early stays as it is, which is cheaper: completed() arms it again.
        if (time < armed_for_) arm(time);
    }
    /// The time of the call; time_point::max(): none.
    Clock::time_point time() const noexcept { return time_; }
    /// True if the kernel has no request of this timer.
    bool is_idle() const noexcept { return armed_for_ == Clock::time_point::max() && moves_ == 0; }
    /// The requests have ended without a completion.
    void requests_lost() {
        armed_for_ = Clock::time_point::max();
        moves_ = 0;
        is_late_ = false;
        request_again();
    }
    /// Handles the completion of the timeout request. False if the kernel has refused it; then request_again() must
    /// follow.
    [[nodiscard]] bool completed(int result) {
        armed_for_ = Clock::time_point::max();
        is_late_ = false;
        const bool called = call_if_due();
        if (result != -ETIME) return false;
        if (!called) request_again();
        return true;
    }
    /// Handles the completion of a request that changes the time of the timeout. False if the kernel has refused it;
    /// then request_again() must follow.
    [[nodiscard]] bool moved(int result) noexcept {
        --moves_;
        // ENOENT, EALREADY: the timeout has expired before, so completed() arms it again.
        is_late_ = result < 0 && result != -ENOENT && result != -EALREADY && armed_for_ != Clock::time_point::max();
        return !is_late_;
    }
    /// Arms it, unless it is armed.
    void request_again() {
        // Also if there is no call: set() takes it that the timeout does not expire after armed_for_.
        if (std::exchange(is_late_, false)) return arm(std::min(time_, armed_for_));
        const bool is_armed = armed_for_ != Clock::time_point::max();
        if (!is_armed && time_ != Clock::time_point::max()) arm(time_);
    }
    /// Calls if it is time. The timeout request may be in flight: it then does no harm. Returns true if it has called.
    bool call_if_due() {
        if (time_ > Clock::now()) return false;
        time_ = Clock::time_point::max();
        if (call_) call_();
        return true;
    }

   private:
    void arm(Clock::time_point time) {
        const bool again = std::exchange(armed_for_, time) != Clock::time_point::max();
        moment_ = kernel_time(time.time_since_epoch());
        if (again) {
            ++moves_;
            io_uring_prep_timeout_update(&ring_.sqe(UringEvent::timer_moved, this), &moment_, user_data(),
                                         IORING_TIMEOUT_ABS);
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
    unsigned moves_ = 0;          // requests in flight that change the time of the timeout
    bool is_late_ = false;        // one was refused: the timeout may expire after armed_for_
    __kernel_timespec moment_{};  // the kernel reads it when the request is submitted
};

}  // namespace wsserver::detail
