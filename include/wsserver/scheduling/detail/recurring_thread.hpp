// A thread that does something again and again.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "wsserver/scheduling/detail/signals_blocked.hpp"

namespace wsserver::detail {

/// A thread that calls a function at intervals. A call that fails, for example without memory, is followed by the next.
class RecurringThread {
   public:
    /// Returns the time until the next call.
    using Turn = std::function<std::chrono::milliseconds()>;

    /// Starts the thread. The first call comes at once. `retry`: the interval after a call that threw a
    /// std::exception. Throws std::system_error if there is no thread, and std::bad_alloc.
    void start(std::chrono::milliseconds retry, Turn turn) {
        turn_ = std::move(turn);
        const SignalsBlocked signals;
        thread_ = std::jthread{[this, retry](const std::stop_token& stop) { run(stop, retry); }};
    }

    /// No further call comes. Waits until a call that is under way has returned, unless that call calls this.
    void stop() noexcept {
        thread_.request_stop();
        if (thread_.joinable() && thread_.get_id() != std::this_thread::get_id()) thread_.join();
    }

   private:
    // The thread allocates nothing itself: it could not report that it has no memory.
    void run(const std::stop_token& stop, std::chrono::milliseconds retry) noexcept {
        std::unique_lock lock(mutex_);
        auto interval = std::chrono::milliseconds{0};
        while (!wake_.wait_for(lock, stop, interval, [&stop] { return stop.stop_requested(); })) {
            try {
                interval = turn_();
            } catch (const std::exception&) {
                interval = retry;
            }
        }
    }

    std::mutex mutex_;
    std::condition_variable_any wake_;
    Turn turn_;
    std::jthread thread_;  ///< last: it uses the other members
};

}  // namespace wsserver::detail
