// What a pooled handler has sent and its reactor has not confirmed.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "wsserver/connection/inbox.hpp"

namespace wsserver {

/// Bounds what a handler that asks for space has in the inbox of its reactor and in the send queue. It asks for
/// receipts, whose number is that of the bytes that it has sent so far. The reactor confirms one when it has executed
/// what was sent before and when little of that waits. One worker at a time uses the first part.
class SendWindow {
   public:
    /// A message of `bytes` was put into the inbox.
    void sent(std::size_t bytes) noexcept { sent_ += bytes + sizeof(InboxItem); }
    /// The number for a receipt now.
    std::uint64_t last_sent() const noexcept { return sent_; }
    /// Bytes that were sent and not confirmed.
    std::size_t unconfirmed() const noexcept {
        return static_cast<std::size_t>(sent_ - confirmed_.load(std::memory_order_relaxed));
    }
    /// True if more may be sent.
    bool has_space() const noexcept { return unconfirmed() <= size_.load(std::memory_order_relaxed); }
    /// The same. If it is false, the next confirm() that makes space returns true.
    bool has_space_or_waits() {
        if (has_space()) return true;
        const std::lock_guard lock(mutex_);
        return has_space() || !(waits_ = true);
    }
    /// True if half of the window was sent since the last receipt that was asked for.
    bool should_ask() const noexcept {
        const std::uint64_t after = std::max(asked_, confirmed_.load(std::memory_order_relaxed));
        return sent_ - after > size_.load(std::memory_order_relaxed) / 2;
    }
    /// A receipt for last_sent() was asked for.
    void asked() noexcept { asked_ = sent_; }
    /// It may have been lost.
    void ask_again() noexcept { asked_ = 0; }
    /// Waits until has_space() or is_closed(), but not longer than `at_most`. Returns false if neither is true.
    bool wait(std::chrono::milliseconds at_most) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, at_most, [this] { return has_space() || is_closed(); });
    }

    // The reactor.

    /// What was sent up to `number` has left, or little of it waits. `size` is that of the window from now on. Returns
    /// true if the handler waits, and there is space now.
    bool confirm(std::uint64_t number, std::size_t size) {
        const std::lock_guard lock(mutex_);
        confirmed_.store(std::max(number, confirmed_.load(std::memory_order_relaxed)), std::memory_order_relaxed);
        size_.store(size, std::memory_order_relaxed);
        changed_.notify_all();
        return std::exchange(waits_, false);
    }
    /// Nothing more can be sent.
    void close() noexcept {
        const std::lock_guard lock(mutex_);
        closed_.store(true, std::memory_order_relaxed);
        changed_.notify_all();
    }
    /// Any thread.
    bool is_closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

   private:
    std::uint64_t sent_ = 0;   ///< by the worker
    std::uint64_t asked_ = 0;  ///< by the worker: the number of the last receipt that it asked for
    std::atomic<std::uint64_t> confirmed_{0};
    std::atomic<std::size_t> size_{std::size_t{64} << 10};  ///< until the first receipt tells it
    std::atomic<bool> closed_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    bool waits_ = false;  ///< the handler waits for on_drained()
};

}  // namespace wsserver
