// Tasks by priority, for the workers to take. Knows no connection.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "wsserver/scheduling/task.hpp"

namespace wsserver {

/// One container for each priority. The highest goes first, in order of arrival; every 64th pop takes the lowest
/// that isn't empty, so that nothing starves.
///
/// A mutex and a condition variable: measured against a lock-free ring and against workers that spin, they cost
/// no more, provided that what arrives together is pushed together. At most one worker is on its way at a time;
/// when it arrives and finds more than it takes, it wakes the next. So no more wake than there is work, and the
/// pusher pays for one.
class PriorityTaskQueue {
   public:
    PriorityTaskQueue() = default;
    PriorityTaskQueue(const PriorityTaskQueue&) = delete;
    PriorityTaskQueue& operator=(const PriorityTaskQueue&) = delete;
    /// Drops what is left. Precondition: nobody waits in pop().
    ~PriorityTaskQueue() = default;

    static constexpr std::uint64_t lowest_every = 64;

    /// False if the queue is closed: the task is dropped.
    bool push(TaskPtr task);
    /// Under one lock; `batch` is empty afterwards. False if the queue is closed: the tasks are dropped.
    bool push(TaskBatch& batch);

    /// Waits for a task. Null when the queue is closed and empty.
    TaskPtr pop() { return pop(nullptr); }
    /// Queues `again` (unless it is null, and also if the queue is closed), then pops; under one lock.
    TaskPtr pop(TaskPtr again);
    /// Null if there is none now.
    TaskPtr try_pop();

    /// Takes no more tasks; what is in the queue can still be popped.
    void close();

    std::size_t size() const;
    std::size_t size(Priority priority) const;

   private:
    using Lock = std::unique_lock<std::mutex>;

    void insert(TaskPtr task) noexcept;
    TaskPtr take() noexcept;
    void unlock_and_wake(Lock& lock) noexcept;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    TaskLists lists_;
    std::size_t size_ = 0;
    std::uint64_t pops_ = 0;
    std::size_t waiting_ = 0;  ///< threads in pop()
    bool waking_ = false;      ///< one of them has been notified and isn't here yet
    bool closed_ = false;
};

}  // namespace wsserver
