#pragma once

#include "wsserver/server/detail/handler_workers.hpp"

#include <algorithm>
#include <utility>

namespace wsserver {

namespace {

/// The time in which workers may end their reactions at least.
constexpr std::chrono::milliseconds least_for_workers{100};

/// The interval at which the watchdog looks for overdue workers.
constexpr std::chrono::milliseconds watch_interval{1000};

/// One more than cores, because a handler cannot use the last worker.
std::size_t or_cores_and_one(std::size_t count) {
    return count != 0 ? count : std::max<std::size_t>(1, std::thread::hardware_concurrency()) + 1;
}

}  // namespace

WorkerPool& HandlerWorkers::pool() {
    const std::lock_guard lock(mutex_);
    if (!pool_) {
        pool_ = std::make_unique<WorkerPool>(or_cores_and_one(count_));
        if (pool_->size() > 1) pool_->queue().limit_each_group(pool_->size() - 1);
        watchdog_.start(watch_interval, [this] {
            report_overdue();
            return watch_interval;
        });
    }
    return *pool_;
}

ReadyMailboxes& HandlerWorkers::ready_mailboxes(std::uint16_t reactor) {
    std::unique_ptr<ReadyMailboxes>& ready = ready_[reactor];
    if (!ready) {
        ready = std::make_unique<ReadyMailboxes>(pool().queue(), reactors_[reactor].memory(), [this, reactor] {
            reactors_[reactor].post([this, reactor] { ready_[reactor]->push(); });
        });
    }
    return *ready;
}

void HandlerWorkers::end_on_worker(std::shared_ptr<AnyHandler> handler) noexcept {
    try {
        const TaskName name{handler->name()};
        const void* const owner = handler.get();
        pool().queue().push(make_task(
            Priority::background, name, [last = std::move(handler)]() mutable { last.reset(); }, owner));
    } catch (...) {
        callbacks_.log(LogLevel::warning,
                       "no worker is available to destroy a handler: it blocks its reactor's thread");
    }
}

void HandlerWorkers::report_overdue() {
    for (const WorkerPool::State& state : pool_->newly_overdue(handler_deadline_)) {
        handlers_overdue_.fetch_add(1, std::memory_order_relaxed);
        callbacks_.log(LogLevel::warning, "handler " + state.task.text() + " has blocked a worker for " +
                                              std::to_string(state.since.count()) + " ms");
    }
}

std::size_t HandlerWorkers::freed_bytes() const noexcept {
    const std::lock_guard lock(mutex_);
    return pool_ ? pool_->freed_bytes() : 0;
}

std::vector<WorkerState> HandlerWorkers::states() const {
    std::vector<WorkerState> result;
    const std::lock_guard lock(mutex_);
    if (!pool_) return result;
    for (const WorkerPool::State& state : pool_->states(handler_deadline_)) {
        result.push_back({state.busy ? state.task.text() : std::string{}, state.since, state.overdue});
    }
    return result;
}

std::vector<HandlerLoad> HandlerWorkers::loads() const {
    std::vector<HandlerLoad> result;
    const std::lock_guard lock(mutex_);
    if (!pool_) return result;
    for (const PriorityTaskQueue::Load& load : pool_->queue().loads()) {
        result.push_back({load.name.text(), load.waiting, load.running});
    }
    return result;
}

std::vector<std::string> HandlerWorkers::stop(Clock::time_point deadline) {
    watchdog_.stop();
    WorkerPool* pool = nullptr;
    {
        // Unlocked before stop(): a reaction that stop() waits for may call states().
        const std::lock_guard lock(mutex_);
        pool = pool_.get();
    }
    std::vector<std::string> blocked;
    if (pool == nullptr) return blocked;
    // A blocked reactor may have used up the time. The workers still get a moment for what is queued.
    const auto left = std::max(deadline - Clock::now(), Clock::duration{least_for_workers});
    if (pool->stop(std::chrono::duration_cast<std::chrono::milliseconds>(left))) return blocked;
    for (const WorkerPool::State& state : pool->states(handler_deadline_)) {
        if (state.busy) blocked.push_back(state.task.text());
    }
    callbacks_.log(LogLevel::error, "stopped, but a pooled handler still blocks its worker");
    return blocked;
}

}  // namespace wsserver
