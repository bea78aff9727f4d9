// Ends the callbacks of the program when the server ends, and knows which pooled on_close() reactions are due.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>

#include "wsserver/connection/connection_info.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// Each call of the program, except inline reactions, is within a Call. A thread that is left behind in a blocked
/// handler may return after the server is gone: it finds the gate closed. Inline reactions are ended by
/// ConnectionOwner::mute(). Any thread may call the members.
class CallbackGate {
   public:
    /// A call of the program, as long as the object lives. Used on one thread.
    class Call {
       public:
        /// `gate` must outlive the object.
        explicit Call(CallbackGate& gate) noexcept;
        Call(const Call&) = delete;
        Call& operator=(const Call&) = delete;
        ~Call();
        /// False if the gate is closed: the program must not be called.
        explicit operator bool() const noexcept { return entered_; }

       private:
        friend CallbackGate;
        CallbackGate& gate_;
        const Call* const outer_;
        const bool entered_;
    };

    /// No Call begins after this. Waits until those that have begun end, except those of the calling thread, but not
    /// longer than `deadline`.
    void close(Clock::time_point deadline) noexcept;
    /// How many calls of the program this thread is in.
    std::uint64_t calls_of_this_thread() const noexcept;
    /// For a Call that covers several callbacks: no further one may begin.
    bool is_closed() const noexcept { return (calls_.load(std::memory_order_relaxed) & closed) != 0; }

    /// A pooled handler's on_open() is about to be called, so its on_close() is due. Returns false if it must not be
    /// called, because take_close_due() was.
    bool open_called(ConnectionId id);
    /// The same for on_close(), which is not due any more.
    bool close_called(ConnectionId id) noexcept;
    /// The connections whose pooled on_close() is due. It will not be called.
    std::set<ConnectionId> take_close_due();

   private:
    bool enter() noexcept;
    void leave() noexcept;

    static constexpr std::uint64_t closed = 1, one_call = 2;
    std::atomic<std::uint64_t> calls_{0};  ///< `closed` or 0, and `one_call` for each Call; one step tells both
    std::mutex mutex_;
    std::condition_variable left_;
    std::set<ConnectionId> close_due_;
    bool taken_ = false;  ///< by take_close_due()
};

}  // namespace wsserver
