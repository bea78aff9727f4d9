// The queue from which the workers take their tasks, by priority.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

#include "wsserver/scheduling/task.hpp"

namespace wsserver {

/// A list of tasks for each priority. All members may be called from any thread. The destructor drops the tasks that
/// are left; no thread may be in pop() then.
///
/// A pop takes a task of the highest priority. Every 64th pop takes one of the lowest priority that has tasks, so that
/// no priority starves. Tasks of the same name and owner are a group. Within a priority the groups take turns, and
/// tasks of one group are popped in order. So a handler with many tasks does not delay another that has few. (If more
/// than 64 groups have tasks at the same time, some share a turn.)
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

    /// The most tasks of one group that run at the same time; at least 1, without a limit at first. Counts those that
    /// pop(again, running) has returned. Must be called before the first push.
    void limit_each_group(std::size_t most_running) {
        const std::lock_guard lock(mutex_);  // workers may wait in pop() already
        most_running_ = most_running;
    }

    class Running;

    /// Adds a task. If the queue is closed, drops it and returns false.
    bool push(TaskPtr task);
    /// Adds all tasks of `batch` under one lock and empties it. If the queue is closed, drops them and returns false.
    bool push(TaskBatch& batch);

    /// Waits for a task. Null if the queue is closed and has no task to pop. Looks at no limit.
    TaskPtr pop() { return pop(nullptr); }
    /// Adds `again`, unless it is null, and pops, under one lock. Adds it even if the queue is closed.
    TaskPtr pop(TaskPtr again);
    /// Same, for a worker: the task that it popped before with `running` has ended, or `again` is that task. Waits
    /// while all tasks in the queue are over the limit of their group.
    TaskPtr pop(TaskPtr again, Running& running);
    /// Does not wait. Null if the queue is empty. Looks at no limit.
    TaskPtr try_pop();

    /// Refuses further tasks. The tasks in the queue can still be popped.
    void close();

    /// The number of tasks in the queue. Other threads may change it at any time.
    std::size_t size() const;
    /// Same, for one priority.
    std::size_t size(Priority priority) const;

    /// The tasks of one name, of all owners.
    struct Load {
        TaskName name{};          ///< that of the tasks
        std::size_t waiting = 0;  ///< in the queue
        std::size_t running = 0;  ///< popped with pop(again, running), and not ended
    };
    /// The names that have tasks now.
    std::vector<Load> loads() const;

   private:
    using Lock = std::unique_lock<std::mutex>;

    /// The tasks of one group. Groups come and go, so an idle lane is used for the next one.
    struct Lane {
        Load load;
        const void* owner = nullptr;
        TaskLists lists;

        bool is_idle() const noexcept { return load.waiting == 0 && load.running == 0; }
    };
    /// Where the next task is.
    struct Place {
        Lane* lane = nullptr;  ///< null: no task can be popped
        std::size_t priority = 0;
    };
    static constexpr std::size_t most_lanes = 64;
    static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

    void wait(Lock& lock);
    void insert(TaskPtr task) noexcept;
    Lane& lane_of(TaskName name, const void* owner) noexcept;
    Place next(std::size_t most_running) noexcept;
    Lane* next_lane(std::size_t priority, std::size_t most_running) noexcept;
    TaskPtr take(Place place) noexcept;
    void unlock_and_wake(Lock& lock) noexcept;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::array<Lane, most_lanes> lanes_;
    std::size_t lane_count_ = 0;                       ///< lanes that were ever used
    std::array<std::size_t, priority_count> sizes_{};  ///< tasks in the queue, by priority
    std::array<std::size_t, priority_count> turns_{};  ///< the lane whose turn it is, by priority
    std::size_t most_running_ = no_limit;
    std::size_t size_ = 0;
    std::uint64_t pops_ = 0;
    std::size_t waiting_ = 0;  ///< threads in pop()
    bool waking_ = false;      ///< one of them was notified and has not woken up yet
    bool closed_ = false;
};

/// What a worker runs, between two calls of PriorityTaskQueue::pop(). Must not outlive the queue.
class PriorityTaskQueue::Running {
   public:
    Running() = default;
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    friend class PriorityTaskQueue;

    Lane* lane_ = nullptr;  ///< null: nothing
};

}  // namespace wsserver
