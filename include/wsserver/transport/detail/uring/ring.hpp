// One thread's io_uring: prepares what the kernel shall do, hands it over, reads what has been done.
#pragma once

#include <liburing.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>

#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

/// What a completion tells of; travels in the low bits of the pointer to whom it concerns.
enum class UringEvent : std::uint64_t { none, received, sent, accepted, timer, posted };

inline constexpr std::uint64_t uring_event_bits = 7;

/// As the kernel wants it: a length of time, or a moment of the steady clock since its beginning. Not before zero.
inline __kernel_timespec kernel_time(Clock::duration time) noexcept {
    time = std::max(time, Clock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
    return {seconds.count(), std::chrono::nanoseconds{time - seconds}.count()};
}

class UringRing {
   public:
    /// Not yet bound to a thread. Throws std::system_error.
    explicit UringRing(const UringSizes& sizes);
    ~UringRing();
    UringRing(const UringRing&) = delete;
    UringRing& operator=(const UringRing&) = delete;

    /// The calling thread is its own from now on. Again: nothing happens.
    void bind_to_thread();

    /// The next order to the kernel, empty. It stays where it is until handed over.
    io_uring_sqe& sqe(UringEvent event, const void* whom);
    /// One whose success nobody needs to hear of.
    io_uring_sqe& silent_sqe();
    /// Asks for the end of the order of that name; its completion says ECANCELED, unless it was done before.
    void cancel(UringEvent event, const void* whom);

    /// Its thread has ended, or it is about to go: orders go nowhere from now on.
    void shut() noexcept { shut_ = true; }
    /// For its own thread, which may live on: the kernel drops all orders, and with them their sockets and memory; it
    /// does so by itself only when that thread ends. Elsewhere nothing happens.
    void let_go() noexcept;
    /// No call of anything but the destructor follows.
    void close() noexcept;

    /// Grows with each handing over: what was prepared at the same number may still be changed.
    std::uint64_t submissions() const noexcept { return submissions_; }

    /// Hands all orders over without waiting.
    void submit();
    enum class Wait : bool { no, yes };
    /// Hands all orders over and lets the kernel finish what is ready; waits for a completion, at most until `until`.
    void turn(Wait wait, std::optional<Clock::time_point> until);

    /// Calls f(event, whom, result, flags) for each completion, but for no more than the ring holds: where there are
    /// always more, others get their turn, too. Returns how many there were.
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
    bool registered_ = false;
    std::thread::id owner_{};
    bool shut_ = false;
    bool open_ = false;
};

}  // namespace wsserver::detail
