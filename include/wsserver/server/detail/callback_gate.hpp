// Ends the callbacks of the program when the server ends, and knows which pooled on_close() reactions are due.
#pragma once

#include <atomic>
#include <mutex>
#include <set>
#include <vector>

#include "wsserver/connection/connection_info.hpp"

namespace wsserver {

/// Everything that calls the program looks at it first. A thread that is left behind in a blocked handler may return
/// after the server is gone: it finds the gate closed. Any thread may call the members.
class CallbackGate {
   public:
    bool is_open() const noexcept { return open_.load(std::memory_order_relaxed); }
    /// No callback begins after this, except on a thread that has looked at the gate just before.
    void close() noexcept { open_.store(false, std::memory_order_relaxed); }

    /// A pooled handler's on_open() is being called, so its on_close() is due.
    void open_called(ConnectionId id) {
        const std::lock_guard lock(mutex_);
        close_due_.insert(id);
    }
    void close_called(ConnectionId id) noexcept {
        const std::lock_guard lock(mutex_);
        close_due_.erase(id);
    }
    /// The connections whose pooled on_close() is due.
    std::set<ConnectionId> close_due() const {
        const std::lock_guard lock(mutex_);
        return close_due_;
    }

   private:
    std::atomic<bool> open_{true};
    mutable std::mutex mutex_;
    std::set<ConnectionId> close_due_;
};

}  // namespace wsserver
