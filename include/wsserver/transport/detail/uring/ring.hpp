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
#include <deque>
#include <memory>
#include <optional>
#include <thread>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/transport/detail/uring/calls.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

/// The kind of a completion. Stored in the low bits of the pointer to its target, in user_data.
enum class UringEvent : std::uint64_t { none, received, sent, peers, timer, timer_moved, posted, closed };

/// The low bits of the address of a target, which are zero.
inline constexpr std::uint64_t uring_event_bits = 7;

inline UringEvent event_of(const io_uring_cqe& completion) noexcept {
    return UringEvent{completion.user_data & uring_event_bits};
}
inline void* target_of(const io_uring_cqe& completion) noexcept {
    return reinterpret_cast<void*>(completion.user_data & ~uring_event_bits);
}

/// Converts a duration, or a time since the epoch of the steady clock. A negative time becomes zero.
inline __kernel_timespec kernel_time(Clock::duration time) noexcept {
    time = std::max(time, Clock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
    return {seconds.count(), std::chrono::nanoseconds{time - seconds}.count()};
}

/// The kernel may refuse a call for a while (is_for_now()). Then what was prepared stays prepared, and the next call
/// submits it.
class UringRing {
   public:
    /// Creates a ring that is not yet bound to a thread. Throws std::system_error.
    explicit UringRing(const UringSizes& sizes);
    ~UringRing();
    UringRing(const UringRing&) = delete;
    UringRing& operator=(const UringRing&) = delete;

    /// Binds the ring to the calling thread, which alone may use it from now on. Further calls do nothing.
    void bind_to_thread();

    /// The next submission, to be prepared by the caller. Valid until submissions() changes: sqe() submits if the queue
    /// is full. While the kernel refuses that, it keeps further submissions in a queue of its own. Blocks only if there
    /// is no memory for these either.
    io_uring_sqe& sqe(UringEvent event, const void* target);
    /// A submission whose completion is ignored.
    io_uring_sqe& silent_sqe();
    /// Asks the kernel to cancel a request. It completes with ECANCELED, unless it was finished before.
    void cancel(UringEvent event, const void* target);
    /// Asks the kernel to close `socket`. Precondition: has_lost_completions() is false.
    void close_later(Descriptor socket);
    /// Handles the completion of UringEvent::closed: closes the socket if the kernel has refused it.
    static void closed(const void* target, int result) noexcept;

    /// Ignores submissions from now on, and drops those that the kernel has not seen; their sockets are closed if that
    /// was the request. Called when its thread has ended or the ring is about to be closed.
    void shut() noexcept;
    /// Submits what is prepared, then ends all requests, so that the kernel releases their sockets and memory.
    /// Otherwise it does so only when the thread of the ring ends. Drops their completions. Does nothing on another
    /// thread. False if some have not ended after 2 s: the kernel may still use their memory.
    [[nodiscard]] bool cancel_all() noexcept;
    /// Closes the ring. Only the destructor may follow.
    void close() noexcept;

    /// Grows with each submission. While it has not changed, the caller may still change what it prepared.
    std::uint64_t submissions() const noexcept { return submissions_; }

    enum class Wait : bool { no, yes };
    /// Submits all that is prepared and lets the kernel run deferred work. Wait::yes: waits for a completion, at most
    /// until `until`. False if the kernel refuses; completions may have arrived nevertheless.
    bool turn(Wait wait, std::optional<Clock::time_point> until);

    /// True if the kernel had no memory to keep a completion, until resume(). Meanwhile submissions are ignored, turn()
    /// does nothing and returns false, and there are no completions: their places in the shared buffers are not known.
    bool has_lost_completions() noexcept {
        // EBADR tells it, too, but later.
        if (state_ == State::open && IO_URING_READ_ONCE(*ring_.cq.koverflow) != losses_) state_ = State::lost;
        return state_ == State::lost;
    }
    /// Ends all requests without their completions, as shut() and cancel_all() do. False if some have not ended after
    /// 127 ms. Their completions may still come, so it must be called again.
    [[nodiscard]] bool abandon_requests() noexcept;
    /// Accepts submissions again. Precondition: abandon_requests() has returned true after completions were lost.
    void resume() noexcept { state_ = State::open; }

    bool has_completions() const noexcept { return io_uring_cq_ready(&ring_) > 0; }
    /// Becomes readable when completions arrive, after turn() was refused; -1 if they cannot be collected.
    int completion_event() const noexcept { return state_ == State::open && collects_ ? ring_.ring_fd : -1; }
    /// Returns 0 or an errno.
    int register_buffers(io_uring_buf_reg& buffers) noexcept { return -calls_.register_buffers(ring_, buffers); }

    /// Calls f(event, target, result, flags) for each completion, but at most as often as the ring has entries, so that
    /// a steady stream of completions does not starve posted tasks. Returns the number of calls.
    template <class F>
    unsigned for_each_completion(F&& f) {
        unsigned count = 0;
        for (io_uring_cqe* next = nullptr; count < ring_.cq.ring_entries && io_uring_peek_cqe(&ring_, &next) == 0;
             ++count) {
            if (has_lost_completions()) break;
            const io_uring_cqe completion = *next;
            io_uring_cqe_seen(&ring_, next);
            f(event_of(completion), target_of(completion), completion.res, completion.flags);
        }
        return count;
    }

    io_uring& get() noexcept { return ring_; }

   private:
    int open(const UringSizes& sizes);
    io_uring_sqe& sqe_beyond_queue();
    bool submit();
    bool submit_backlog();
    int enter(Wait wait, std::optional<Clock::time_point> until);
    bool end_requests(int most_pauses) noexcept;
    bool has_work() const noexcept;
    bool drop_completions() noexcept;
    void drop_prepared() noexcept;

    UringCalls& calls_;
    io_uring ring_{};
    std::deque<io_uring_sqe> backlog_;  // prepared after those in the full queue, which the kernel has refused
    const std::unique_ptr<io_uring_sqe> ignored_ = std::make_unique<io_uring_sqe>();  // while submissions are ignored
    unsigned losses_ = 0;   // completions that were lost before the last abandon_requests()
    bool collects_ = true;  // the last attempt to collect completions has succeeded
    std::uint64_t submissions_ = 0;
    bool bound_ = false;
    bool registered_ = false;  // io_uring_register_ring_fd(3) succeeded
    std::thread::id owner_{};
    enum class State : std::uint8_t { open, lost, shut } state_ = State::open;
    bool open_ = false;
};

}  // namespace wsserver::detail
