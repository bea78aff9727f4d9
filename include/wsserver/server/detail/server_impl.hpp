// The implementation of Server.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "wsserver/scheduling/worker_pool.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/handler_table.hpp"
#include "wsserver/server/detail/pooled_handler.hpp"
#include "wsserver/server/detail/reactor.hpp"
#include "wsserver/server/detail/server_hub.hpp"
#include "wsserver/transport/asio.hpp"
#include "wsserver/transport/uring_available.hpp"

#if WSSERVER_URING
#include "wsserver/transport/uring.hpp"
#endif

namespace wsserver {

/// Shared by the Server and its threads. So the state that a thread uses stays valid even if the thread is stuck in a
/// handler forever.
struct Server::Impl final : ReactorShared, std::enable_shared_from_this<Server::Impl> {
    Impl(boost::asio::io_context* context, ServerOptions given);
    ~Impl();

    // ReactorShared
    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub_; }
    std::variant<Acceptance, Refusal> choose(OwnedConnection& connection, const Offer& offer) override;
    std::optional<HttpResponse> answer(const HttpRequest& request) override;
    void on_ended(const ConnectionEnd& end) override;
    Admission admit() noexcept override;
    void released() noexcept override { open_.fetch_sub(1, std::memory_order_relaxed); }
    void on_stopped(std::uint16_t reactor) override;

    /// Must be called once, after a shared_ptr owns the object.
    void make_reactors();
    template <Transport T, class... Args>
    void add_reactor(Args&&... transport);
    void make_reactor(bool uring);
    bool may_use_uring();
    Result<std::string, std::string> listen(std::string_view endpoint);
    void start();
    void request_stop(std::chrono::milliseconds grace);
    void drain();
    /// Refuses new connections, also on the ports of blocked reactors. Precondition: state_mutex_ is locked.
    void stop_listening() noexcept;
    /// Waits for request_stop(), and then until its work is done or its deadline has passed.
    void wait_until_stopped();
    /// Ends all threads and connections, and then the callbacks of the program.
    StopReport finish();
    /// False if waiting is of no use: the caller's loop does not run, or this is its thread. Claims a loop that has
    /// never run.
    bool loops_run() noexcept;
    bool on_reactor_thread() const noexcept;
    /// Drops the last reference. The caller's loop may still be inside the object, so it is destroyed there.
    static void release(std::shared_ptr<Impl> impl) noexcept;

    void reconfigure(const ServerOptions& changed);
    ServerStatistics statistics() const;
    std::vector<WorkerState> workers() const;
    void accept_paused(std::error_code why);
    void log(LogLevel level, std::string_view text) const noexcept {
        if (!log_ || !hub_->gate()->is_open()) return;
        try {
            log_(level, text);
        } catch (...) {
            // There is no other place to report it.
        }
    }

    /// Calls `question` on each reactor's thread and waits for the answers. Answers of reactors that are not running or
    /// have stalled are missing.
    template <class Answer>
    std::vector<Answer> ask(const std::function<Answer(AnyReactor&)>& question);
    template <class Answer>
    std::optional<Answer> ask_one(std::uint16_t reactor, const std::function<Answer(AnyReactor&)>& question);
    /// Returns the place of the future answer, for await().
    template <class Answer>
    std::shared_ptr<std::optional<Answer>> pose(std::uint16_t reactor,
                                                const std::function<Answer(AnyReactor&)>& question);
    template <class Answer>
    std::optional<Answer> await(std::uint16_t reactor, std::optional<Answer>& answer, Clock::time_point deadline);
    /// Whether the reactor runs and owes no answer to an earlier question. Precondition: state_mutex_ is locked.
    bool may_answer(std::uint16_t reactor) const;
    std::vector<std::uint16_t> stalled_reactors() const;
    /// Calls `task` on each reactor's thread, without waiting.
    void tell_all(const std::function<void(AnyReactor&)>& task);

    /// Ends the loop of a reactor. Returns false if it had to be left behind.
    bool end_loop(std::size_t reactor);
    void leave_behind(std::size_t reactor, StopReport& report);
    std::string name_of(const AnyHandler* handler) const;

    /// Creates the pool for the first pooled connection.
    WorkerPool& worker_pool();
    /// Returns the same handler, with a deleter that destroys it on a worker instead of a reactor's thread. Its
    /// destructor may be slow, for example because it saves data or joins threads.
    std::shared_ptr<AnyHandler> ending_on_worker(std::shared_ptr<AnyHandler> handler);
    void end_on_worker(std::shared_ptr<AnyHandler> handler) noexcept;
    /// Returns the names of the handlers that still block a worker.
    std::vector<std::string> stop_workers();
    Clock::time_point stop_deadline() const;
    void watch_workers(const std::stop_token& stop);
    std::chrono::milliseconds handler_deadline() const;
    /// The reactor's thread.
    ReadyMailboxes& ready_mailboxes(std::uint16_t reactor);

    enum class State : std::uint8_t { idle, running, stopping, stopped };

    ServerOptions options_;  ///< as given to the constructor; reconfigure() changes rules_ instead
    boost::asio::io_context* const context_;
    bool loop_is_foreign_ = false;  ///< after finish(): the caller's loop may still be inside this object
    std::shared_ptr<Impl> self_;    ///< see release()
    std::shared_ptr<ServerHub> hub_;
    std::shared_ptr<Hub> any_hub_;
    HandlerTable handlers_;

    struct Rules {
        bool strict_subprotocol;
        std::vector<std::string> allowed_origins;
        std::chrono::milliseconds handler_deadline;
    };
    mutable std::shared_mutex rules_mutex_;
    Rules rules_;

    HttpAnswer http_answer_;
    std::function<void(const ConnectionEnd&)> end_;
    std::function<void(LogLevel, std::string_view)> log_;

    std::atomic<std::size_t> open_{0};
    std::size_t max_connections_;
    std::atomic<std::uint64_t> accept_pauses_{0};
    mutable std::mutex ends_mutex_;
    std::map<std::uint16_t, std::uint64_t> ends_;

    mutable std::mutex state_mutex_;
    std::condition_variable state_changed_;
    State state_ = State::idle;
    std::vector<bool> stopped_;       ///< by reactor
    std::set<std::uint16_t> silent_;  ///< stalled reactors: they have owed an answer for longer than answer_within
    Clock::time_point stop_deadline_{};
    std::mutex finish_mutex_;
    std::optional<StopReport> report_;  ///< of finish()
    std::vector<std::string> listening_;
    std::vector<ListenerShutdown> shutdowns_;  ///< one for each listening socket; each reactor has one per endpoint

    std::string why_fewer_;     ///< reactors than were asked for; empty if all were made, and after it was logged
    std::string why_no_uring_;  ///< empty if io_uring is used or was not requested, and after it was logged
    std::vector<std::unique_ptr<AnyReactor>> reactors_;
    std::vector<UniqueFunction<void(ListeningSocket)>> listen_on_;
    std::vector<std::thread> threads_;

    mutable std::mutex workers_mutex_;
    std::unique_ptr<WorkerPool> workers_;
    std::vector<std::unique_ptr<ReadyMailboxes>> ready_;  ///< by reactor, created for its first pooled connection
    std::atomic<std::uint64_t> handlers_overdue_{0};
    std::jthread watchdog_;
};

/// A turn of a reactor takes milliseconds, tens of them on a busy machine. A reactor that has not answered in this time
/// is blocked by an inline handler. wsd-ctl waits 10 s for an answer.
constexpr std::chrono::seconds answer_within{2};

template <class Answer>
std::shared_ptr<std::optional<Answer>> Server::Impl::pose(std::uint16_t reactor,
                                                          const std::function<Answer(AnyReactor&)>& question) {
    // Shared, because the answer may arrive after the caller has stopped waiting.
    auto place = std::make_shared<std::optional<Answer>>();
    AnyReactor& asked = *reactors_[reactor];
    if (asked.on_own_thread()) {
        *place = question(asked);
        return place;
    }
    {
        const std::lock_guard lock(state_mutex_);
        if (!may_answer(reactor)) return place;
    }
    asked.post([this, place, question, reactor] {
        auto answer = question(*reactors_[reactor]);
        const std::lock_guard lock(state_mutex_);
        *place = std::move(answer);
        silent_.erase(reactor);
        state_changed_.notify_all();
    });
    return place;
}

template <class Answer>
std::optional<Answer> Server::Impl::await(std::uint16_t reactor, std::optional<Answer>& answer,
                                          Clock::time_point deadline) {
    std::unique_lock lock(state_mutex_);
    const auto settled = [&] { return answer || !may_answer(reactor); };
    if (!state_changed_.wait_until(lock, deadline, settled)) {
        silent_.insert(reactor);
        lock.unlock();
        log(LogLevel::warning, "reactor " + std::to_string(reactor) + " does not answer: an inline handler blocks it");
        return std::nullopt;
    }
    return std::move(answer);
}

template <class Answer>
std::optional<Answer> Server::Impl::ask_one(std::uint16_t reactor, const std::function<Answer(AnyReactor&)>& question) {
    const auto deadline = Clock::now() + answer_within;
    return await(reactor, *pose(reactor, question), deadline);
}

template <class Answer>
std::vector<Answer> Server::Impl::ask(const std::function<Answer(AnyReactor&)>& question) {
    const auto deadline = Clock::now() + answer_within;
    const auto count = static_cast<std::uint16_t>(reactors_.size());
    std::vector<std::shared_ptr<std::optional<Answer>>> places;
    for (std::uint16_t i = 0; i < count; ++i) places.push_back(pose(i, question));
    std::vector<Answer> answers;
    for (std::uint16_t i = 0; i < count; ++i) {
        if (auto answer = await(i, *places[i], deadline)) answers.push_back(*std::move(answer));
    }
    return answers;
}

}  // namespace wsserver
