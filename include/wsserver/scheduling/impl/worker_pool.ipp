// Starts, watches and stops the threads of a WorkerPool.
#pragma once

#include "wsserver/scheduling/worker_pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "wsserver/scheduling/detail/signals_blocked.hpp"

namespace wsserver {

/// What the workers need. The threads share it, because a detached one may outlive the pool.
struct WorkerPool::Shared {
    PriorityTaskQueue queue;
    std::vector<std::unique_ptr<PoolWorker>> workers;
    std::atomic<std::uint64_t> failures{0};
    std::atomic<bool> abandoned{false};  ///< workers take no more tasks

    std::mutex mutex;
    std::condition_variable changed;  ///< a worker has ended

    std::mutex stop_mutex;
    std::optional<bool> stopped;  ///< the result of stop()

    std::mutex failure_mutex;
    Failure on_failure;

    void report(TaskName task, const std::exception_ptr& exception) noexcept;
    void work(PoolWorker& worker);
    bool wait_for_workers(std::chrono::milliseconds deadline);
    void abandon_workers();
};

class WorkerPool::PoolWorker final : public Worker {
   public:
    explicit PoolWorker(Shared& shared) noexcept : shared_(shared) {}

    void failed(TaskName task, std::exception_ptr exception) noexcept override { shared_.report(task, exception); }

    std::thread thread;
    enum : std::uint8_t { not_started, running, ended } state = not_started;
    Clock::time_point reported{};  ///< the beginning of the last task that newly_overdue() returned

   private:
    Shared& shared_;
};

void WorkerPool::Shared::report(TaskName task, const std::exception_ptr& exception) noexcept {
    failures.fetch_add(1, std::memory_order_relaxed);
    const std::lock_guard lock(failure_mutex);
    if (!on_failure || abandoned) return;
    try {
        on_failure(task, exception);
    } catch (...) {
        failures.fetch_add(1, std::memory_order_relaxed);  // counted only: on_failure itself has failed
    }
}

void WorkerPool::Shared::work(PoolWorker& worker) {
    TaskPtr again;
    PriorityTaskQueue::Running running;
    while (!abandoned.load(std::memory_order_relaxed)) {
        TaskPtr task = queue.pop(std::move(again), running);
        if (!task) break;
        const TaskName name = task->name();
        worker.begins(name);
        try {
            Task& current = *task;
            again = current.run(std::move(task), worker);
        } catch (...) {
            worker.failed(name, std::current_exception());
        }
        worker.rests();
    }
}

WorkerPool::WorkerPool(std::size_t threads, Failure on_failure) : shared_(std::make_shared<Shared>()) {
    if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
    shared_->on_failure = std::move(on_failure);
    for (std::size_t i = 0; i < threads; ++i) shared_->workers.push_back(std::make_unique<PoolWorker>(*shared_));
    const detail::SignalsBlocked signals;
    try {
        for (const auto& worker : shared_->workers) start(*worker);
    } catch (...) {
        stop(std::chrono::hours{1});  // returns at once, because the started workers are idle
        throw;
    }
}

void WorkerPool::start(PoolWorker& worker) {
    worker.thread = std::thread([shared = shared_, &worker] {
        shared->work(worker);
        const std::lock_guard lock(shared->mutex);
        worker.state = PoolWorker::ended;
        shared->changed.notify_all();
    });
    const std::lock_guard lock(shared_->mutex);
    if (worker.state == PoolWorker::not_started) worker.state = PoolWorker::running;
}

WorkerPool::~WorkerPool() { stop(std::chrono::seconds{1}); }

PriorityTaskQueue& WorkerPool::queue() noexcept { return shared_->queue; }

std::size_t WorkerPool::size() const noexcept { return shared_->workers.size(); }

std::size_t WorkerPool::freed_bytes() const noexcept {
    std::size_t sum = 0;
    for (const auto& worker : shared_->workers) sum += worker->freed_bytes();
    return sum;
}

std::uint64_t WorkerPool::failures() const noexcept { return shared_->failures.load(std::memory_order_relaxed); }

namespace {

WorkerPool::State state_of(const Worker& worker, std::chrono::milliseconds deadline) {
    const auto doing = worker.doing();
    if (!doing) return {};
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(Worker::Clock::now() - doing->since);
    return {true, doing->task, since, since > deadline};
}

}  // namespace

std::vector<WorkerPool::State> WorkerPool::states(std::chrono::milliseconds deadline) const {
    std::vector<State> states;
    for (const auto& worker : shared_->workers) states.push_back(state_of(*worker, deadline));
    return states;
}

std::vector<WorkerPool::State> WorkerPool::newly_overdue(std::chrono::milliseconds deadline) {
    std::vector<State> found;
    const std::lock_guard lock(shared_->mutex);
    for (const auto& worker : shared_->workers) {
        const auto doing = worker->doing();
        if (!doing || doing->since == worker->reported) continue;
        const State state = state_of(*worker, deadline);
        if (!state.overdue) continue;
        worker->reported = doing->since;
        found.push_back(state);
    }
    return found;
}

bool WorkerPool::stop(std::chrono::milliseconds deadline) {
    // Longer waits overflow in some standard libraries.
    deadline = std::min<std::chrono::milliseconds>(deadline, std::chrono::hours{24 * 365});
    const std::lock_guard one_at_a_time(shared_->stop_mutex);
    if (shared_->stopped) return *shared_->stopped;
    shared_->queue.close();
    shared_->stopped = shared_->wait_for_workers(deadline);
    if (!*shared_->stopped) shared_->abandon_workers();
    for (const auto& worker : shared_->workers) {
        if (worker->thread.joinable()) worker->thread.join();
    }
    return *shared_->stopped;
}

bool WorkerPool::Shared::wait_for_workers(std::chrono::milliseconds deadline) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, deadline, [this] {
        return std::none_of(workers.begin(), workers.end(),
                            [](const auto& worker) { return worker->state == PoolWorker::running; });
    });
}

/// Detaches the threads that are still busy and drops the tasks in the queue.
void WorkerPool::Shared::abandon_workers() {
    abandoned.store(true, std::memory_order_relaxed);
    {
        const std::lock_guard lock(mutex);
        for (const auto& worker : workers) {
            if (worker->state == PoolWorker::running) worker->thread.detach();
        }
    }
    while (queue.try_pop()) {
    }
    // Does not wait for the lock: the thread that blocks may be in on_failure.
    const std::unique_lock lock(failure_mutex, std::try_to_lock);
    if (lock) on_failure = {};
}

}  // namespace wsserver
