// The calls of io_uring that the kernel may refuse for a while, and the pauses before they are tried again.
#pragma once

#include <liburing.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

namespace wsserver::detail {

/// The system calls of a ring after it was opened. Tests replace them to refuse some. Each returns a negative errno, or
/// what liburing returns.
class UringCalls {
   public:
    virtual ~UringCalls() = default;

    /// Submits what is prepared.
    virtual int submit(io_uring& ring) noexcept { return io_uring_submit(&ring); }
    /// Lets the kernel work on completions.
    virtual int collect(io_uring& ring) noexcept { return io_uring_get_events(&ring); }
    /// Both.
    virtual int submit_and_collect(io_uring& ring) noexcept { return io_uring_submit_and_get_events(&ring); }
    /// Submits what is prepared and waits for a completion, at most for `time`; null: without a limit.
    virtual int submit_and_wait(io_uring& ring, __kernel_timespec* time) noexcept {
        if (time == nullptr) return io_uring_submit_and_wait(&ring, 1);
        io_uring_cqe* first = nullptr;
        return io_uring_submit_and_wait_timeout(&ring, &first, 1, time, nullptr);
    }
    virtual int register_buffers(io_uring& ring, io_uring_buf_reg& buffers) noexcept {
        return io_uring_register_buf_ring(&ring, &buffers, 0);
    }
    /// Cancels requests. Returns how many were found.
    virtual int cancel(io_uring& ring, io_uring_sync_cancel_reg& which) noexcept {
        return io_uring_register_sync_cancel(&ring, &which);
    }
    /// Blocks the thread before a call is repeated.
    virtual void sleep(std::chrono::milliseconds time) noexcept { std::this_thread::sleep_for(time); }

    /// Those of the kernel, or `in_place_of_kernel`.
    static UringCalls& of_kernel() noexcept {
        static UringCalls calls;
        return in_place_of_kernel != nullptr ? *in_place_of_kernel : calls;
    }
    /// For tests of a whole server. Set before it is made; must outlive it.
    static inline UringCalls* in_place_of_kernel = nullptr;
};

/// True if the same call may succeed a little later. See io_uring_enter(2): memory is short, completions must be read
/// first, a signal has arrived, or completions were lost.
inline bool is_for_now(int error) noexcept {
    return error == ENOMEM || error == EAGAIN || error == EBUSY || error == EINTR || error == EBADR;
}

/// The pauses after calls that the kernel refuses: 1 ms, then twice as long each time, at most 100 ms.
class UringPause {
   public:
    /// The next pause.
    std::chrono::milliseconds next() noexcept { return std::exchange(next_, std::min(2 * next_, longest)); }
    /// True if the next pause is one of the longest.
    bool has_grown() const noexcept { return next_ == longest; }
    /// The kernel has not refused.
    void reset() noexcept { next_ = shortest; }

   private:
    static constexpr std::chrono::milliseconds shortest{1}, longest{100};

    std::chrono::milliseconds next_ = shortest;
};

}  // namespace wsserver::detail
