#pragma once

#include "wsserver/server/detail/server_impl.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <ranges>
#include <utility>

#include "wsserver/scheduling/detail/signals_blocked.hpp"
#include "wsserver/server/detail/connection_options.hpp"
#include "wsserver/server/detail/pooled_handler.hpp"

namespace wsserver {

namespace {

std::size_t or_cores(std::size_t count) {
    return count != 0 ? count : std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

/// The rest is for listeners, files, and the connections that get a 503.
std::size_t nine_tenths_of_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 900;
    return static_cast<std::size_t>(limit.rlim_cur) / 10 * 9;
}

/// The number of connections over max_connections that get a 503. Further streams are closed without a response.
constexpr std::size_t extra_503_connections = 256;

/// The time after the deadline of stop() in which a thread must end. After it, a blocked thread is detached.
constexpr std::chrono::seconds left_behind_after{1};

/// The time in which workers may end their reactions at least.
constexpr std::chrono::milliseconds least_for_workers{100};

/// The interval at which the watchdog looks for overdue workers.
constexpr std::chrono::seconds watch_interval{1};

/// Enough of what a client sent to recognise it in a log line.
std::string shortened(std::string_view text) {
    constexpr std::size_t most = 100;
    return std::string{text.substr(0, most)} + (text.size() > most ? "..." : "");
}

std::string url_of(const Endpoint& endpoint) {
    if (endpoint.is_unix()) return "ws+unix:" + endpoint.unix_path;
    return "ws://" + to_string(endpoint);
}

}  // namespace

ConnectionOptions connection_options(const ServerOptions& options) {
    ConnectionOptions result;
    result.handshake = options.handshake;
    result.protocol.max_message = options.max_message;
    result.protocol.max_fragments = options.max_fragments;
    result.send_queue = {options.send_high_mark, options.send_hard_limit, options.slow_consumer};
    result.handshake_timeout = options.handshake_timeout;
    result.ping_interval = options.ping_interval;
    result.pong_timeout = options.pong_timeout;
    result.close_timeout = options.close_timeout;
    result.server_name = options.server_name;
    return result;
}

Server::Impl::Impl(boost::asio::io_context* context, ServerOptions given)
    : options_(std::move(given)),
      context_(context),
      hub_(std::make_shared<ServerHub>(connection_options(options_).protocol.fragment_size)),
      any_hub_(hub_),
      rules_{options_.strict_subprotocol, options_.allowed_origins, options_.handler_deadline},
      max_connections_(options_.max_connections != 0 ? options_.max_connections : nine_tenths_of_descriptors()) {}

Server::Impl::~Impl() {
    hub_->detach();
    reactors_.clear();  // first: their connections still use the other members
}

/// Makes as many reactors as descriptors and memory allow, at least one.
void Server::Impl::make_reactors() {
    const std::size_t count = context_ != nullptr ? 1 : or_cores(options_.io_threads);
    bool uring = context_ == nullptr && may_use_uring();
    while (reactors_.size() < count) {
        try {
            make_reactor(uring);
        } catch (const std::exception& error) {  // those of Asio have another base class
            if (uring && reactors_.empty()) {    // although the probe has succeeded
                uring = false;
                why_no_uring_ = error.what();
                continue;
            }
            if (reactors_.empty()) throw;
            why_fewer_ = std::to_string(reactors_.size()) + " of " + std::to_string(count) +
                         " io threads: " + error.what() + "; raise the limit of open files (ulimit -n)";
            break;
        }
    }
    stopped_.resize(reactors_.size());
    ready_.resize(reactors_.size());
    std::vector<AnyReactor*> attached;
    for (const auto& reactor : reactors_) attached.push_back(reactor.get());
    hub_->attach(std::move(attached));
}

void Server::Impl::make_reactor([[maybe_unused]] bool uring) {
#if WSSERVER_URING
    if (uring) return add_reactor<UringTransport>();
#endif
    if (context_ != nullptr) return add_reactor<AsioTransport>(*context_);
    add_reactor<AsioTransport>();
}

bool Server::Impl::may_use_uring() {
    if (options_.transport == TransportKind::asio) return false;
#if WSSERVER_URING
    const auto possible = UringTransport::probe();
    if (!possible) why_no_uring_ = possible.error();
    return possible.has_value();
#else
    why_no_uring_ = "this build has no io_uring";
    return false;
#endif
}

// The memory of an idle connection, without that of its transport and the texts of its handshake.
static_assert(sizeof(Connection<Role::server, AsioTransport>) <= 224);
#if WSSERVER_URING
static_assert(sizeof(Connection<Role::server, UringTransport>) <= 224);
#endif

template <Transport T, class... Args>
void Server::Impl::add_reactor(Args&&... transport) {
    auto reactor =
        std::make_unique<Reactor<T>>(static_cast<std::uint16_t>(reactors_.size()), static_cast<ReactorShared&>(*this),
                                     connection_options(options_), std::forward<Args>(transport)...);
    reactor->transport().on_accept_paused([this](std::error_code why) { accept_paused(why); });
    listen_on_.emplace_back([raw = reactor.get()](ListeningSocket socket) { raw->listen(std::move(socket)); });
    reactors_.push_back(std::move(reactor));
}

// --- ReactorShared ---

std::variant<Acceptance, Refusal> Server::Impl::choose(OwnedConnection& connection, const Offer& offer) {
    HandlerTable::Choice choice;
    {
        const std::shared_lock lock(rules_mutex_);
        if (!origin_allowed(offer, rules_.allowed_origins)) {
            return Refusal{Errc::origin_forbidden,
                           "the Origin " + shortened(offer.origin) + " is neither that of the Host " +
                               shortened(offer.request.find("Host")) + " nor in allowed_origins"};
        }
        choice = handlers_.choose(offer.subprotocols, rules_.strict_subprotocol);
    }
    if (!choice.handler) {
        std::string asked;
        for (const auto& name : offer.subprotocols) asked += (asked.empty() ? "" : ", ") + name;
        return Refusal{Errc::unknown_subprotocol, "the client asked for " + shortened(asked)};
    }
    if (choice.handler->runs() == Runs::pooled) {
        ReadyMailboxes* ready = nullptr;
        try {
            ready = &ready_mailboxes(connection.id().reactor);
        } catch (const std::system_error& no_thread) {
            log(LogLevel::error, std::string{"cannot start workers for pooled handlers: "} + no_thread.what() +
                                     "; raise the limit of threads (ulimit -u)");
            return Errc::too_many_connections;
        }
        choice.handler =
            make_pooled(std::move(choice.handler), connection, choice.subprotocol, offer.request.target, hub_, *ready);
    }
    return Acceptance{std::move(choice.handler), choice.subprotocol};
}

std::optional<HttpResponse> Server::Impl::answer(const HttpRequest& request) {
    if (!http_answer_ || !hub_->gate()->is_open()) return std::nullopt;
    try {
        return http_answer_(request);
    } catch (const std::exception& exception) {
        log(LogLevel::error, "on_http threw for " + request.target + ": " + exception.what());
    } catch (...) {
        log(LogLevel::error, "on_http threw for " + request.target + ": an exception that is not a std::exception");
    }
    return HttpResponse{500, {}, "text/plain; charset=utf-8", "the server failed to answer\n"};
}

void Server::Impl::on_ended(const ConnectionEnd& end) {
    if (end.opened) {
        const std::lock_guard lock(ends_mutex_);
        ++ends_[static_cast<std::uint16_t>(end.code)];
    }
    if (!end_ || !hub_->gate()->is_open()) return;
    try {
        end_(end);
    } catch (const std::exception& exception) {
        log(LogLevel::error, std::string{"on_end threw: "} + exception.what());
    } catch (...) {
        log(LogLevel::error, "on_end threw an exception that is not a std::exception");
    }
}

ReactorShared::Admission Server::Impl::admit() noexcept {
    const std::size_t before = open_.fetch_add(1, std::memory_order_relaxed);
    if (before < max_connections_) return Admission::welcome;
    if (before < max_connections_ + extra_503_connections) return Admission::answer_503;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return Admission::close_at_once;
}

void Server::Impl::accept_paused(std::error_code why) {
    if (why == std::errc::invalid_argument) return;  // the listener was shut; its reactor will stop listening soon
    accept_pauses_.fetch_add(1, std::memory_order_relaxed);
    log(LogLevel::warning, "accepting is paused: " + why.message() + "; raise the limit of open files (ulimit -n)");
}

// --- Start and stop ---

Result<std::string, std::string> Server::Impl::listen(std::string_view text) {
    auto endpoint = parse_endpoint(text);
    if (!endpoint) return Unexpected{endpoint.error()};
    auto listeners = open_listeners(*endpoint, reactors_.size());
    if (!listeners) return Unexpected{listeners.error()};
    const std::string url = url_of(listeners->endpoint);
    const std::lock_guard lock(state_mutex_);
    if (state_ == State::stopping || state_ == State::stopped) {
        return Unexpected{"cannot listen on " + std::string{text} + ": the server was stopped"};
    }
    listening_.push_back(url);
    for (std::size_t i = 0; i < reactors_.size(); ++i) {
        shutdowns_.emplace_back(listeners->sockets[i]);
        reactors_[i]->post(
            [&on = listen_on_[i], socket = std::move(listeners->sockets[i])]() mutable { on(std::move(socket)); });
    }
    return url;
}

void Server::Impl::start() {
    // Logged once, even if the program calls start() and then run().
    if (const std::string why = std::exchange(why_no_uring_, {}); !why.empty()) {
        // A warning only if the program asked for io_uring.
        const bool asked = options_.transport == TransportKind::uring;
        log(asked ? LogLevel::warning : LogLevel::info, "io_uring is not used: " + why + "; using asio");
    }
    if (const std::string why = std::exchange(why_fewer_, {}); !why.empty()) log(LogLevel::warning, why);
    const std::lock_guard lock(state_mutex_);
    if (state_ != State::idle) return;
    state_ = State::running;
    if (context_ != nullptr) {
        reactors_.front()->post([this] { reactors_.front()->attach(); });
        return;
    }
    const detail::SignalsBlocked signals;
    for (const auto& reactor : reactors_) {
        // The thread keeps this object alive, in case a handler never returns.
        threads_.emplace_back([self = shared_from_this(), raw = reactor.get()] { raw->run(); });
    }
}

void Server::Impl::request_stop(std::chrono::milliseconds grace) {
    const std::lock_guard lock(state_mutex_);
    // Before any reactor sends 1001: a client that receives it must not be able to reconnect to another reactor.
    stop_listening();
    if (state_ == State::idle) state_ = State::stopped;
    if (state_ == State::stopped) return;
    state_ = State::stopping;
    stop_deadline_ = later(Clock::now(), grace);
    listening_.clear();
    for (const auto& reactor : reactors_) {
        reactor->post([raw = reactor.get(), deadline = stop_deadline_] { raw->stop(deadline); });
    }
}

void Server::Impl::drain() {
    {
        const std::lock_guard lock(state_mutex_);
        stop_listening();
    }
    tell_all([](AnyReactor& reactor) { reactor.stop_listening(); });
}

void Server::Impl::stop_listening() noexcept {
    for (ListenerShutdown& listener : shutdowns_) listener.shut();
    shutdowns_.clear();
}

void Server::Impl::on_stopped(std::uint16_t reactor) {
    const std::lock_guard lock(state_mutex_);
    stopped_[reactor] = true;
    state_changed_.notify_all();
}

void Server::Impl::wait_until_stopped() {
    std::unique_lock lock(state_mutex_);
    state_changed_.wait(lock, [this] { return state_ == State::stopping || state_ == State::stopped; });
    const auto all_stopped = [this] { return std::ranges::all_of(stopped_, std::identity{}); };
    // A second request_stop() may bring the deadline nearer, so it is read again each time.
    while (state_ == State::stopping && !all_stopped() && Clock::now() < later(stop_deadline_, left_behind_after)) {
        state_changed_.wait_until(lock, later(stop_deadline_, left_behind_after));
    }
}

StopReport Server::Impl::finish() {
    const std::lock_guard finishing(finish_mutex_);
    if (report_) return *report_;
    StopReport report;
    hub_->detach();
    std::set<ConnectionId> close_due;
    for (std::size_t i = 0; i < reactors_.size(); ++i) {
        if (end_loop(i)) {
            if (ready_[i]) ready_[i]->push();  // the on_close() reactions of the terminated connections
            continue;
        }
        reactors_[i]->mute();
        for (const ConnectionId id : reactors_[i]->close_due()) close_due.insert(id);
        leave_behind(i, report);
    }
    for (auto& name : stop_workers()) report.handlers.push_back(std::move(name));
    hub_->gate()->close();
    close_due.merge(hub_->gate()->close_due());
    report.connections.assign(close_due.begin(), close_due.end());
    report_ = report;
    const std::lock_guard lock(state_mutex_);
    state_ = State::stopped;
    state_changed_.notify_all();
    return report;
}

bool Server::Impl::loops_run() noexcept {
    if (context_ == nullptr) return true;
    return !on_reactor_thread() && !reactors_.front()->claim() && !context_->stopped();
}

bool Server::Impl::end_loop(std::size_t reactor) {
    bool stopped = false;
    {
        const std::lock_guard lock(state_mutex_);
        stopped = stopped_[reactor];
    }
    if (context_ != nullptr) {
        loop_is_foreign_ = !reactors_[reactor]->on_own_thread() && !reactors_[reactor]->claim();
        if (loop_is_foreign_) return stopped;  // if it has stopped the reactor, it has ended all connections
    } else if (reactor < threads_.size()) {    // start() may have failed before it had all threads
        if (!stopped) return false;
        threads_[reactor].join();
    }
    reactors_[reactor]->attach();  // callbacks may call members that look at the thread
    reactors_[reactor]->end();
    reactors_[reactor]->detach();
    return true;
}

/// The reactor's thread is in a callback that has not returned, or the caller's loop does not run. If it continues, it
/// ends the reactor's connections without calling the program.
void Server::Impl::leave_behind(std::size_t reactor, StopReport& report) {
    AnyReactor& left = *reactors_[reactor];
    if (const AnyHandler* handler = left.running_handler()) {
        report.handlers.push_back(name_of(handler));
        log(LogLevel::error,
            "stopped, but handler " + report.handlers.back() + " still blocks reactor " + std::to_string(reactor));
    } else {
        log(LogLevel::error, "stopped, but reactor " + std::to_string(reactor) + " did not end its connections");
    }
    left.drop_inbox();
    if (reactor < threads_.size()) threads_[reactor].detach();
}

std::string Server::Impl::name_of(const AnyHandler* handler) const {
    for (const auto& [subprotocol, one] : handlers_.all()) {
        if (one.get() == handler) return std::string{one->name()};
    }
    return "(removed)";
}

void Server::Impl::release(std::shared_ptr<Impl> impl) noexcept {
    if (!impl->loop_is_foreign_) return;
    auto& context = *impl->context_;
    Impl& that = *impl;
    try {
        // Moved, so that the last reference is dropped on the loop's thread.
        auto last = std::make_unique<std::shared_ptr<Impl>>(std::move(impl));
        AsioTransport::post_to(context, [last = std::move(last)] { (*last)->reactors_.front()->end(); });
    } catch (...) {
        if (impl) that.self_ = std::move(impl);  // without memory for the task the object can only be left
    }
}

std::vector<std::string> Server::Impl::stop_workers() {
    watchdog_.request_stop();
    if (watchdog_.joinable()) watchdog_.join();
    WorkerPool* pool = nullptr;
    {
        // Unlocked before stop(): a reaction that stop() waits for may call workers().
        const std::lock_guard lock(workers_mutex_);
        pool = workers_.get();
    }
    std::vector<std::string> blocked;
    if (pool == nullptr) return blocked;
    // A blocked reactor may have used up the time. The workers still get a moment for what is queued.
    const auto left =
        std::max(later(stop_deadline(), left_behind_after) - Clock::now(), Clock::duration{least_for_workers});
    if (pool->stop(std::chrono::duration_cast<std::chrono::milliseconds>(left))) return blocked;
    for (const WorkerPool::State& state : pool->states(handler_deadline())) {
        if (state.busy) blocked.push_back(state.task.text());
    }
    log(LogLevel::error, "stopped, but a pooled handler still blocks its worker");
    return blocked;
}

Clock::time_point Server::Impl::stop_deadline() const {
    const std::lock_guard lock(state_mutex_);
    return stop_deadline_;
}

bool Server::Impl::on_reactor_thread() const noexcept {
    return std::ranges::any_of(reactors_, [](const auto& reactor) { return reactor->on_own_thread(); });
}

// --- Workers ---

WorkerPool& Server::Impl::worker_pool() {
    const std::lock_guard lock(workers_mutex_);
    if (!workers_) {
        workers_ = std::make_unique<WorkerPool>(options_.workers);
        watchdog_ = std::jthread{[this](std::stop_token stop) { watch_workers(stop); }};
    }
    return *workers_;
}

std::shared_ptr<AnyHandler> Server::Impl::ending_on_worker(std::shared_ptr<AnyHandler> handler) {
    AnyHandler* const same = handler.get();
    return {same, [impl = weak_from_this(), handler = std::move(handler)](AnyHandler*) mutable noexcept {
                const auto server = impl.lock();  // null if the server and its reactors have ended
                if (server && server->on_reactor_thread()) return server->end_on_worker(std::move(handler));
                handler.reset();
            }};
}

/// Destroys the handler on the calling thread if memory or threads run out, or if the workers have ended.
void Server::Impl::end_on_worker(std::shared_ptr<AnyHandler> handler) noexcept {
    try {
        const TaskName name{handler->name()};
        worker_pool().queue().push(
            make_task(Priority::background, name, [last = std::move(handler)]() mutable { last.reset(); }));
    } catch (...) {
        log(LogLevel::warning, "no worker is available to destroy a handler: it blocks its reactor's thread");
    }
}

void Server::Impl::watch_workers(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, stop, watch_interval, [&stop] { return stop.stop_requested(); })) {
        for (const WorkerPool::State& state : workers_->newly_overdue(handler_deadline())) {
            handlers_overdue_.fetch_add(1, std::memory_order_relaxed);
            log(LogLevel::warning, "handler " + state.task.text() + " has blocked a worker for " +
                                       std::to_string(state.since.count()) + " ms");
        }
    }
}

std::chrono::milliseconds Server::Impl::handler_deadline() const {
    const std::shared_lock lock(rules_mutex_);
    return rules_.handler_deadline;
}

std::vector<WorkerState> Server::Impl::workers() const {
    std::vector<WorkerState> result;
    const std::lock_guard lock(workers_mutex_);
    if (!workers_) return result;
    for (const WorkerPool::State& state : workers_->states(handler_deadline())) {
        result.push_back({state.busy ? state.task.text() : std::string{}, state.since, state.overdue});
    }
    return result;
}

ReadyMailboxes& Server::Impl::ready_mailboxes(std::uint16_t reactor) {
    std::unique_ptr<ReadyMailboxes>& ready = ready_[reactor];
    if (!ready) {
        ready = std::make_unique<ReadyMailboxes>(worker_pool().queue(), [this, reactor] {
            reactors_[reactor]->post([this, reactor] { ready_[reactor]->push(); });
        });
    }
    return *ready;
}

// --- Requests of the program ---

void Server::Impl::reconfigure(const ServerOptions& changed) {
    {
        const std::unique_lock lock(rules_mutex_);
        rules_ = {changed.strict_subprotocol, changed.allowed_origins, changed.handler_deadline};
    }
    tell_all([options = connection_options(changed)](AnyReactor& reactor) { reactor.set_options(options); });
}

void Server::Impl::tell_all(const std::function<void(AnyReactor&)>& task) {
    for (const auto& reactor : reactors_) {
        reactor->post([task, raw = reactor.get()] { task(*raw); });
    }
}

bool Server::Impl::may_answer(std::uint16_t reactor) const {
    const bool running = state_ == State::running || state_ == State::stopping;
    return running && !stopped_[reactor] && !silent_.contains(reactor);
}

std::vector<std::uint16_t> Server::Impl::stalled_reactors() const {
    const std::lock_guard lock(state_mutex_);
    return {silent_.begin(), silent_.end()};
}

ServerStatistics Server::Impl::statistics() const {
    ServerStatistics sum;
    sum.open = open_.load(std::memory_order_relaxed);
    sum.accept_pauses = accept_pauses_.load(std::memory_order_relaxed);
    sum.handlers_overdue = handlers_overdue_.load(std::memory_order_relaxed);
    for (const auto& reactor : reactors_) {
        const ConnectionCounters& counters = reactor->counters();
        sum.accepted += reactor->accepted();
        sum.opened += counters.opened.read();
        sum.refused += counters.refused.read();
        sum.http_answered += counters.http_answered.read();
        sum.turned_away += counters.turned_away.read();
        sum.handshake_timeouts += counters.handshake_timeouts.read();
        sum.pong_timeouts += counters.pong_timeouts.read();
        sum.close_timeouts += counters.close_timeouts.read();
        sum.slow_consumers += counters.slow_consumers.read();
        sum.messages_dropped += counters.messages_dropped.read() + reactor->dropped_items();
        sum.handler_exceptions += counters.handler_exceptions.read();
        sum.messages_in += counters.messages_in.read();
        sum.messages_out += counters.messages_out.read();
        sum.bytes_in += counters.bytes_in.read();
        sum.bytes_out += counters.bytes_out.read();
    }
    const std::lock_guard lock(ends_mutex_);
    sum.closes = ends_;
    return sum;
}

}  // namespace wsserver
