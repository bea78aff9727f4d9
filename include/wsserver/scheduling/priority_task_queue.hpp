// The queue from which the workers take their tasks, by priority.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "wsserver/scheduling/task.hpp"

namespace wsserver {

/// A list of tasks for each priority. All members may be called from any thread. The destructor drops the tasks that
/// are left; no thread may be in pop() then.
///
/// A pop takes the oldest task of the highest priority. Every 64th pop takes one of the lowest priority that has tasks,
/// so that no priority starves.
///
/// Uses a mutex and a condition variable. Measured against a lock-free ring and against workers that spin, they cost no
/// more if tasks that arrive together are pushed together. At most one notified worker is waking up at a time; if it
/// finds more tasks than it takes, it wakes the next one. So no more workers wake up than there are tasks, and a push
/// notifies at most one.
class PriorityTaskQueue {
   public:
    PriorityTaskQueue() = default;
    PriorityTaskQueue(const PriorityTaskQueue&) = delete;
    PriorityTaskQueue& operator=(const PriorityTaskQueue&) = delete;
    ~PriorityTaskQueue() = default;

    static constexpr std::uint64_t lowest_every = 64;  ///< one pop in this many takes the lowest priority

    /// Adds a task. If the queue is closed, drops it and returns false.
    bool push(TaskPtr task);
    /// Adds all tasks of `batch` under one lock and empties it. If the queue is closed, drops them and returns false.
    bool push(TaskBatch& batch);

    /// Waits for a task. Null if the queue is closed and empty.
    TaskPtr pop() { return pop(nullptr); }
    /// Adds `again`, unless it is null, and pops, under one lock. Adds it even if the queue is closed.
    TaskPtr pop(TaskPtr again);
    /// Does not wait. Null if the queue is empty.
    TaskPtr try_pop();

    /// Refuses further tasks. The tasks in the queue can still be popped.
    void close();

    /// The number of tasks in the queue. Other threads may change it at any time.
    std::size_t size() const;
    /// Same, for one priority.
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
    bool waking_ = false;      ///< one of them was notified and has not woken up yet
    bool closed_ = false;
};

}  // namespace wsserver
