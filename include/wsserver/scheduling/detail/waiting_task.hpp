// Counts the tasks that wait for a worker, so that they have a bound.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace wsserver::detail {

/// Counts a task from when it is made until it runs or is dropped, perhaps after its maker is gone. Used by one
/// thread at a time; the count may be shared by all.
class WaitingTask {
   public:
    /// `count` is not null.
    explicit WaitingTask(std::shared_ptr<std::atomic<std::size_t>> count) noexcept : count_(std::move(count)) {
        count_->fetch_add(1, std::memory_order_relaxed);
    }
    WaitingTask(WaitingTask&&) noexcept = default;
    WaitingTask& operator=(WaitingTask&&) = delete;
    ~WaitingTask() { end(); }

    /// It does not wait any more.
    void end() noexcept {
        if (const auto count = std::exchange(count_, nullptr)) count->fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    std::shared_ptr<std::atomic<std::size_t>> count_;
};

}  // namespace wsserver::detail
