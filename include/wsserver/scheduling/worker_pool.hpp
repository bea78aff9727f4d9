// The threads that run tasks which may block.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "wsserver/scheduling/priority_task_queue.hpp"
#include "wsserver/scheduling/task.hpp"

namespace wsserver {

/// A fixed number of workers and one priority task queue. Exceptions from a task are counted and reported; the worker
/// continues. All members may be called from any thread, except stop() from a worker.
class WorkerPool {
   public:
    /// Receives each exception from a task, on the thread of the worker, one call at a time.
    using Failure = std::function<void(TaskName task, std::exception_ptr exception)>;

    /// Starts `threads` workers; 0 means one for each core. Throws std::system_error if a thread cannot be started.
    explicit WorkerPool(std::size_t threads, Failure on_failure = {});
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    /// Calls stop() with a deadline of one second, unless it was called before.
    ~WorkerPool();

    /// Where tasks for the workers are pushed. Valid as long as the pool. Closed after stop().
    PriorityTaskQueue& queue() noexcept;
    /// The number of workers.
    std::size_t size() const noexcept;

    /// The state of one worker.
    struct State {
        bool busy = false;                  ///< a task is running
        TaskName task{};                    ///< the current task
        std::chrono::milliseconds since{};  ///< how long it has been running
        bool overdue = false;               ///< it has been running for longer than the deadline
    };
    /// The state of each worker. Does not interrupt them.
    std::vector<State> states(std::chrono::milliseconds deadline) const;
    /// The workers whose current task has been running for longer than `deadline`. Each task is returned only once.
    std::vector<State> newly_overdue(std::chrono::milliseconds deadline);

    /// The sum of Worker::freed_bytes() of all workers.
    std::size_t freed_bytes() const noexcept;

    /// The number of exceptions from tasks so far.
    std::uint64_t failures() const noexcept;

    /// Closes the queue, lets the workers run the tasks in it and waits for them, at most for `deadline`.
    ///
    /// returns  true   all workers have ended
    ///          false  some are still busy. The tasks in the queue are dropped, and failures are no longer reported.
    ///                 The busy threads are detached and end when their tasks return. What they need of this pool
    ///                 stays valid.
    ///
    /// Further calls do not wait and return the same result.
    bool stop(std::chrono::milliseconds deadline);

   private:
    struct Shared;
    class PoolWorker;

    void start(PoolWorker& worker);

    std::shared_ptr<Shared> shared_;
};

}  // namespace wsserver
