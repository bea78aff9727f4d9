// The threads that run what may block.
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

/// So many workers, one priority task queue. What leaves a task as an exception is counted and reported, and its
/// worker goes on. All members may be called from any thread, stop() from any but a worker.
class WorkerPool {
   public:
    /// Told of each exception that left a task, on the worker's thread.
    using Failure = std::function<void(TaskName task, std::exception_ptr exception)>;

    /// Throws std::system_error when the threads can't be had. `threads` 0: one for each core.
    explicit WorkerPool(std::size_t threads, Failure on_failure = {});
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    /// stop(), with a deadline of one second, if that hasn't happened.
    ~WorkerPool();

    PriorityTaskQueue& queue() noexcept;
    std::size_t size() const noexcept;

    struct State {
        bool busy = false;
        TaskName task{};                    ///< what it does now
        std::chrono::milliseconds since{};  ///< for how long
        bool overdue = false;               ///< longer than the deadline asked for
    };
    /// What each worker does, without stopping it.
    std::vector<State> states(std::chrono::milliseconds deadline) const;
    /// What has been going on for longer than `deadline` and was not in an earlier answer.
    std::vector<State> newly_overdue(std::chrono::milliseconds deadline);

    /// Exceptions that left a task.
    std::uint64_t failures() const noexcept;

    /// Closes the queue, lets the workers do what is in it and waits at most `deadline` for that. False if some are
    /// still at work: these threads are left behind, with all they need of this pool, and end when their task
    /// returns; tasks in the queue are then dropped, and failures are no longer reported. A second call waits for
    /// nothing and gives the same answer.
    bool stop(std::chrono::milliseconds deadline);

   private:
    struct Shared;
    class PoolWorker;

    void start(PoolWorker& worker);

    std::shared_ptr<Shared> shared_;
};

}  // namespace wsserver
