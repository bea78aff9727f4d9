// The io_uring of one thread: prepares submissions, submits them, and reads completions.
#pragma once

#include <liburing.h>

// This flag came with liburing 2.3.
#ifndef IORING_SETUP_DEFER_TASKRUN
#error "wsserver needs liburing 2.3 or newer: install it, or do without io_uring by -DWSSERVER_URING=0"
#endif

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>

#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

/// The kind of a completion. Stored in the low bits of the pointer to its target, in user_data.
enum class UringEvent : std::uint64_t { none, received, sent, accepted, timer, posted };

/// The low bits of the address of a target, which are zero.
inline constexpr std::uint64_t uring_event_bits = 7;

/// Converts a duration, or a time since the epoch of the steady clock. A negative time becomes zero.
inline __kernel_timespec kernel_time(Clock::duration time) noexcept {
    time = std::max(time, Clock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
    return {seconds.count(), std::chrono::nanoseconds{time - seconds}.count()};
}

class UringRing {
   public:
    /// Creates a ring that is not yet bound to a thread. Throws std::system_error.
    explicit UringRing(const UringSizes& sizes);
    ~UringRing();
    UringRing(const UringRing&) = delete;
    UringRing& operator=(const UringRing&) = delete;

    /// Binds the ring to the calling thread, which alone may use it from now on. Further calls do nothing.
    void bind_to_thread();

    /// The next submission, to be prepared by the caller. Valid until the next submit() or turn(); sqe() calls submit()
    /// if the queue is full.
    io_uring_sqe& sqe(UringEvent event, const void* target);
    /// A submission whose completion is ignored.
    io_uring_sqe& silent_sqe();
    /// Asks the kernel to cancel a request. It completes with ECANCELED, unless it was finished before.
    void cancel(UringEvent event, const void* target);

    /// Ignores submissions from now on. Called when its thread has ended or the ring is about to be closed.
    void shut() noexcept { shut_ = true; }
    /// Cancels all requests, so that the kernel releases their sockets and memory. Otherwise it does so only when the
    /// thread of the ring ends. Does nothing on another thread.
    void cancel_all() noexcept;
    /// Closes the ring. Only the destructor may follow.
    void close() noexcept;

    /// Grows with each submit() and turn(). While it has not changed, the caller may still change what it prepared.
    std::uint64_t submissions() const noexcept { return submissions_; }

    /// Submits all that is prepared, without waiting.
    void submit();
    enum class Wait : bool { no, yes };
    /// Submits all that is prepared and lets the kernel run deferred work. Wait::yes: waits for a completion, at most
    /// until `until`.
    void turn(Wait wait, std::optional<Clock::time_point> until);

    /// Calls f(event, target, result, flags) for each completion, but at most as often as the ring has entries, so that
    /// a steady stream of completions does not starve posted tasks. Returns the number of calls.
    template <class F>
    unsigned for_each_completion(F&& f) {
        unsigned count = 0;
        for (io_uring_cqe* next = nullptr; count < ring_.cq.ring_entries && io_uring_peek_cqe(&ring_, &next) == 0;
             ++count) {
            const io_uring_cqe completion = *next;
            io_uring_cqe_seen(&ring_, next);
            f(UringEvent{completion.user_data & uring_event_bits},
              reinterpret_cast<void*>(completion.user_data & ~uring_event_bits), completion.res, completion.flags);
        }
        return count;
    }

    io_uring& get() noexcept { return ring_; }

   private:
    int open(const UringSizes& sizes);

    io_uring ring_{};
    std::uint64_t submissions_ = 0;
    bool bound_ = false;
    bool registered_ = false;  // io_uring_register_ring_fd(3) succeeded
    std::thread::id owner_{};
    bool shut_ = false;
    bool open_ = false;
};

}  // namespace wsserver::detail
