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
///
/// Few handlers ask. What that needs is allocated before the first receipt, so that others pay for a few words only.
class SendWindow {
   public:
    SendWindow() = default;
    SendWindow(const SendWindow&) = delete;
    SendWindow& operator=(const SendWindow&) = delete;
    ~SendWindow() { delete receipts_.load(std::memory_order_relaxed); }

    /// A message of `bytes` was put into the inbox.
    void sent(std::size_t bytes) noexcept { sent_ += bytes + sizeof(InboxItem); }
    /// The number for a receipt now.
    std::uint64_t last_sent() const noexcept { return sent_; }
    /// Bytes that were sent and not confirmed.
    std::size_t unconfirmed() const noexcept { return static_cast<std::size_t>(sent_ - confirmed()); }
    /// True if more may be sent.
    bool has_space() const noexcept { return unconfirmed() <= size(); }
    /// True if half of the window was sent since the last receipt that was asked for.
    bool should_ask() const noexcept {
        const Receipts* const receipts = receipts_.load(std::memory_order_relaxed);
        const std::uint64_t after = std::max(receipts ? receipts->asked : 0, confirmed());
        return sent_ - after > size() / 2;
    }
    /// Allocates what the members below need. Throws std::bad_alloc.
    void prepare() {
        // In one order with close(): either it finds the object, or wait() finds that it is closed.
        if (receipts_.load(std::memory_order_relaxed) == nullptr) receipts_.store(new Receipts);
    }
    /// True if more may be sent. If it is false, the next confirm() that makes space returns true.
    bool has_space_or_waits() {
        if (has_space()) return true;
        Receipts& receipts = *receipts_.load(std::memory_order_relaxed);
        const std::lock_guard lock(receipts.mutex);
        return has_space() || !(receipts.waits = true);
    }
    /// A receipt for last_sent() was asked for.
    void asked() noexcept { receipts_.load(std::memory_order_relaxed)->asked = sent_; }
    /// It may have been lost.
    void ask_again() noexcept { receipts_.load(std::memory_order_relaxed)->asked = 0; }
    /// Waits until has_space() or is_closed(), but not longer than `at_most`. Returns false if neither is true.
    bool wait(std::chrono::milliseconds at_most) {
        Receipts& receipts = *receipts_.load(std::memory_order_relaxed);
        std::unique_lock lock(receipts.mutex);
        return receipts.changed.wait_for(lock, at_most, [this] { return has_space() || is_closed(); });
    }

    // The reactor.

    /// What was sent up to `number` has left, or little of it waits. `size` is that of the window from now on. Returns
    /// true if the handler waits, and there is space now. Precondition: a receipt was asked for.
    bool confirm(std::uint64_t number, std::size_t size) {
        Receipts& receipts = *receipts_.load();
        const std::lock_guard lock(receipts.mutex);
        auto& confirmed = receipts.confirmed;
        confirmed.store(std::max(number, confirmed.load(std::memory_order_relaxed)), std::memory_order_relaxed);
        receipts.size.store(size, std::memory_order_relaxed);
        receipts.changed.notify_all();
        return std::exchange(receipts.waits, false);
    }
    /// Nothing more can be sent.
    void close() noexcept {
        closed_.store(true);
        Receipts* const receipts = receipts_.load();
        if (receipts == nullptr) return;
        const std::lock_guard lock(receipts->mutex);
        receipts->changed.notify_all();
    }
    /// Any thread.
    bool is_closed() const noexcept { return closed_.load(); }

   private:
    /// Until the first receipt tells it.
    static constexpr std::size_t first_size = std::size_t{64} << 10;

    struct Receipts {
        std::uint64_t asked = 0;  ///< by the worker: the number of the last receipt that it asked for
        std::atomic<std::uint64_t> confirmed{0};
        std::atomic<std::size_t> size{first_size};
        std::mutex mutex;
        std::condition_variable changed;
        bool waits = false;  ///< the handler waits for on_drained()
    };

    std::uint64_t confirmed() const noexcept {
        const Receipts* const receipts = receipts_.load(std::memory_order_relaxed);
        return receipts ? receipts->confirmed.load(std::memory_order_relaxed) : 0;
    }
    std::size_t size() const noexcept {
        const Receipts* const receipts = receipts_.load(std::memory_order_relaxed);
        return receipts ? receipts->size.load(std::memory_order_relaxed) : first_size;
    }

    std::uint64_t sent_ = 0;                     ///< by the worker
    std::atomic<Receipts*> receipts_ = nullptr;  ///< owned; set once, by the worker
    std::atomic<bool> closed_{false};
};

// Each pooled connection has one.
static_assert(sizeof(SendWindow) <= 24);

}  // namespace wsserver
