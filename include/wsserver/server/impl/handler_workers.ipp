#pragma once

#include "wsserver/server/detail/handler_workers.hpp"

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include "wsserver/scheduling/detail/waiting_task.hpp"

namespace wsserver {

namespace {

/// The time in which workers may end their reactions at least.
constexpr std::chrono::milliseconds least_for_workers{100};

/// The longest interval at which the watchdog looks for overdue workers.
constexpr std::chrono::milliseconds watch_interval{1000};
/// The shortest one, for deadlines that are as short.
constexpr std::chrono::milliseconds least_interval{10};

/// One more than cores, because a handler cannot use the last worker.
std::size_t or_cores_and_one(std::size_t count) {
    return count != 0 ? count : std::max<std::size_t>(1, std::thread::hardware_concurrency()) + 1;
}

std::string what_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& why) {
        return why.what();
    } catch (...) {
        return "an exception that is not a std::exception";
    }
}

}  // namespace

WorkerPool& HandlerWorkers::pool() {
    const std::lock_guard lock(mutex_);
    return made_pool();
}

WorkerPool* HandlerWorkers::pool_unless_ended() {
    const std::lock_guard lock(mutex_);
    return ended_ && !pool_ ? nullptr : &made_pool();
}

WorkerPool& HandlerWorkers::made_pool() {
    if (!pool_) {
        pool_ = std::make_unique<WorkerPool>(
            or_cores_and_one(count_), [this](TaskName task, const std::exception_ptr& why) {
                callbacks_.log(LogLevel::error, task.text() + " threw: " + what_of(why));
            });
        if (pool_->size() > 1) pool_->queue().limit_each_group(pool_->size() - 1);
        watchdog_.start(watch_interval, [this] { return watch(); });
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

SendStatus HandlerWorkers::post(Priority priority, UniqueFunction<void()> task, std::string_view name) {
    if (gate_->is_closed()) return SendStatus::closed;
    if (!task) return SendStatus::refused;
    detail::WaitingTask waiting{tasks_};
    if (tasks_->load(std::memory_order_relaxed) > most_tasks) {
        tasks_dropped_.fetch_add(1, std::memory_order_relaxed);
        return SendStatus::dropped;
    }
    auto run = [task = std::move(task), waiting = std::move(waiting), gate = gate_]() mutable {
        waiting.end();
        const CallbackGate::Call call{*gate};
        if (call) task();
    };
    try {
        WorkerPool* const workers = pool_unless_ended();
        if (workers == nullptr) return SendStatus::closed;
        const bool is_queued = workers->queue().push(make_task(priority, TaskName{name}, std::move(run)));
        return is_queued ? SendStatus::queued : SendStatus::closed;
    } catch (const std::system_error& why) {
        log_no_worker(why);
        tasks_dropped_.fetch_add(1, std::memory_order_relaxed);
        return SendStatus::dropped;
    }
}

void HandlerWorkers::log_no_worker(const std::system_error& why) const {
    callbacks_.log(LogLevel::error,
                   std::string{"cannot start workers: "} + why.what() + "; raise the limit of threads (ulimit -u)");
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

/// Returns the time until the next look.
std::chrono::milliseconds HandlerWorkers::watch() {
    report_overdue();
    const auto now = Clock::now();
    auto interval = std::clamp(stops_->allowed() / 4, least_interval, watch_interval);
    if (const auto next = stops_->stop_overdue(now)) {
        interval = std::min(interval, std::chrono::ceil<std::chrono::milliseconds>(*next - now));
    }
    return interval;
}

void HandlerWorkers::report_overdue() {
    for (const WorkerPool::State& state : pool_->newly_overdue(stops_->allowed())) {
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
    for (const WorkerPool::State& state : pool_->states(stops_->allowed())) {
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
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;  // the watchdog starts with the pool
    }
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
    for (const WorkerPool::State& state : pool->states(stops_->allowed())) {
        if (state.busy) blocked.push_back(state.task.text());
    }
    callbacks_.log(LogLevel::error, "stopped, but a pooled handler still blocks its worker");
    return blocked;
}

}  // namespace wsserver
