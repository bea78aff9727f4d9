// Finds threads that run one io_context at the same time.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace wsserver::detail {

/// Watches the calls of a caller's loop. The state of a loop has no lock, so a second thread would corrupt it: the
/// process is aborted before that. Threads that run the loop one after the other, or that do not meet here, are right:
/// each sees what the one before has done.
class OneThread {
   public:
    OneThread() = default;
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

    /// A call of the loop, for its lifetime. A call may run the loop, and so contain others.
    class Turn {
       public:
        /// Null: the loop is not watched.
        explicit Turn(OneThread* loop) noexcept : loop_(loop) {
            if (loop_ == nullptr) return;
            // Loading and storing cost less than an exchange. Two threads that begin in the same few nanoseconds are
            // found in one of their next turns.
            before_ = loop_->inside_.load(std::memory_order_acquire);
            const auto here = std::this_thread::get_id();
            if (before_ != std::thread::id{} && before_ != here) two_threads();
            loop_->inside_.store(here, std::memory_order_relaxed);
        }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (loop_ != nullptr) loop_->inside_.store(before_, std::memory_order_release);
        }

       private:
        [[noreturn]] static void two_threads() noexcept {
            std::fputs("wsserver: two threads run one io_context at the same time; run it on one thread\n", stderr);
            std::abort();
        }

        OneThread* loop_;
        std::thread::id before_{};
    };

   private:
    std::atomic<std::thread::id> inside_{};
};

}  // namespace wsserver::detail
