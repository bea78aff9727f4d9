// The workers of a server: they run pooled handlers, and end handlers that lose their last connection.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include "wsserver/scheduling/detail/recurring_thread.hpp"
#include "wsserver/scheduling/worker_pool.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/pooled_handler.hpp"
#include "wsserver/server/detail/program_callbacks.hpp"
#include "wsserver/server/detail/reactors.hpp"

namespace wsserver {

/// The threads start when the first task needs them. Any thread may call the members, unless they say otherwise.
class HandlerWorkers {
   public:
    HandlerWorkers(const ServerOptions& options, const Reactors& reactors, const ProgramCallbacks& callbacks,
                   const std::shared_ptr<ServerHub>& hub) noexcept
        : count_(options.workers),
          reactors_(reactors),
          callbacks_(callbacks),
          gate_(hub->gate()),
          stops_(hub->stops()) {
        set_handler_deadline(options.handler_deadline);
    }

    /// Must be called after the reactors were made, before they run.
    void make_mailboxes() { ready_.resize(reactors_.size()); }
    /// Called on the reactor's thread. Throws std::system_error if no thread can be started.
    ReadyMailboxes& ready_mailboxes(std::uint16_t reactor);
    /// Pushes the mailboxes that became ready in the last turn. Called when the reactor's thread has ended.
    void push_last(std::size_t reactor) {
        if (ready_[reactor]) ready_[reactor]->push();
    }

    /// Runs `task` on a worker, with the priority of messages. Throws std::system_error if no thread can be started.
    template <class F>
    void run(TaskName name, F&& task) {
        pool().queue().push(make_task(Priority::message, name, std::forward<F>(task)));
    }
    /// See Server::post().
    SendStatus post(Priority priority, UniqueFunction<void()> task, std::string_view name);
    std::uint64_t tasks_dropped() const noexcept { return tasks_dropped_.load(std::memory_order_relaxed); }
    /// Tells the operator that a call of run() or ready_mailboxes() has thrown `why`.
    void log_no_worker(const std::system_error& why) const;
    /// Destroys the handler on a worker; on the calling thread if memory or threads run out, or if the workers have
    /// ended.
    void end_on_worker(std::shared_ptr<AnyHandler> handler) noexcept;

    /// A reaction that takes longer is reported.
    void set_handler_deadline(std::chrono::milliseconds deadline) noexcept { stops_->allow(deadline); }
    std::uint64_t handlers_overdue() const noexcept { return handlers_overdue_.load(std::memory_order_relaxed); }
    std::vector<WorkerState> states() const;
    std::vector<HandlerLoad> loads() const;
    /// See WorkerPool.
    std::size_t freed_bytes() const noexcept;

    /// Waits until the workers have run what is queued, at most until `deadline`, but for a moment in any case. Returns
    /// the names of the handlers that still block a worker.
    std::vector<std::string> stop(Clock::time_point deadline);

   private:
    /// The most tasks of post() that wait.
    static constexpr std::size_t most_tasks = 65'536;

    WorkerPool& pool();
    /// Null if there is none and stop() was called.
    WorkerPool* pool_unless_ended();
    WorkerPool& made_pool();
    void report_overdue();
    std::chrono::milliseconds watch();

    const std::size_t count_;
    const Reactors& reactors_;
    const ProgramCallbacks& callbacks_;
    const std::shared_ptr<CallbackGate> gate_;
    const std::shared_ptr<ReactionStops> stops_;
    const std::shared_ptr<std::atomic<std::size_t>> tasks_ =
        std::make_shared<std::atomic<std::size_t>>(0);  ///< that wait
    std::atomic<std::uint64_t> tasks_dropped_{0};
    std::atomic<std::uint64_t> handlers_overdue_{0};
    mutable std::mutex mutex_;
    std::unique_ptr<WorkerPool> pool_;
    bool ended_ = false;                                  ///< stop() was called
    std::vector<std::unique_ptr<ReadyMailboxes>> ready_;  ///< by reactor, created for its first pooled connection
    detail::RecurringThread watchdog_;                    ///< last: it uses the other members
};

}  // namespace wsserver
