#pragma once

#include "wsserver/server/detail/server_impl.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <set>
#include <system_error>
#include <utility>

#include "wsserver/scheduling/detail/signals_blocked.hpp"
#include "wsserver/server/detail/memory_limit.hpp"
#include "wsserver/server/detail/reactor_options.hpp"
#include "wsserver/transport/asio.hpp"

namespace wsserver {

namespace {

/// The time after the deadline of stop() in which a thread must end. After it, a blocked thread is detached.
constexpr std::chrono::seconds left_behind_after{1};

/// The time in which callbacks that have begun may end at least.
constexpr std::chrono::milliseconds least_for_callbacks{100};

}  // namespace

ReactorOptions reactor_options(const ServerOptions& options) {
    return {.connection = options.connection,
            .memory_limit = options.memory_limit != 0 ? options.memory_limit : default_memory_limit(),
            .server_name = options.server_name,
            .per_address = options.per_address,
            .per_user = options.per_user};
}

ChooserRules chooser_rules(const ServerOptions& options) {
    return {.origins = {options.allowed_origins, options.hosts},
            .strict_subprotocol = options.strict_subprotocol,
            .kept_fields = options.kept_fields};
}

Server::Impl::Impl(boost::asio::io_context* context, ServerOptions given)
    : options_(std::move(given)),
      context_(context),
      memory_limit_(reactor_options(options_).memory_limit),
      hub_(std::make_shared<ServerHub>(ReactorOptions{}.fragment_size)),
      any_hub_(hub_),
      callbacks_(hub_->gate()),
      listeners_(reactors_, callbacks_),
      queries_(reactors_, callbacks_),
      admission_(options_, hub_, workers_, callbacks_),
      watch_(options_, reactors_, queries_, listeners_, hub_),
      workers_(options_, reactors_, callbacks_, hub_) {}

Server::Impl::~Impl() {
    hub_->detach();
    reactors_.clear();  // first: their connections still use the other members
}

void Server::Impl::make_reactors() {
    reactors_.make({*this, options_, context_, [this](std::error_code why) { listeners_.accept_paused(why); },
                    [this] {
                        callbacks_.log(LogLevel::error,
                                       "the kernel had no memory for io_uring's results: connections of a thread end");
                    },
                    [this] {
                        callbacks_.log(LogLevel::error,
                                       "the kernel did not end a request of io_uring: the memory that it uses is kept");
                    }});
    stopped_.resize(reactors_.size());
    workers_.make_mailboxes();
    hub_->attach(reactors_.all());
}

// --- Start and stop ---

void Server::Impl::start() {
    // Logged once, even if the program calls start() and then run().
    if (const std::string why = reactors_.take_why_no_uring(); !why.empty()) {
        // A warning only if the program asked for io_uring.
        const bool asked = options_.transport == TransportKind::uring;
        callbacks_.log(asked ? LogLevel::warning : LogLevel::info, "io_uring is not used: " + why + "; using asio");
    }
    if (const std::string why = reactors_.take_why_fewer(); !why.empty()) callbacks_.log(LogLevel::warning, why);
    std::unique_lock lock(state_mutex_);
    if (state_ != State::idle) return;
    state_ = State::running;
    queries_.begin();
    if (context_ != nullptr) {
        reactors_[0].post([this] { reactors_[0].attach(); });
        lock.unlock();
        return admission_.log_faults();
    }
    const detail::SignalsBlocked signals;
    const std::vector<AnyReactor*> all = reactors_.all();
    std::string why_fewer;
    try {
        why_fewer = start_threads(all);
    } catch (...) {  // not one thread: it may be tried again
        state_ = State::idle;
        queries_.end();
        throw;
    }
    const std::string why_unwatched = watch_.start();
    lock.unlock();  // the program's log function may call the server
    admission_.log_faults();
    for (std::size_t i = threads_.size(); i < all.size(); ++i) end_unused(*all[i]);
    if (!why_fewer.empty()) callbacks_.log(LogLevel::warning, why_fewer);
    if (!why_unwatched.empty()) callbacks_.log(LogLevel::warning, why_unwatched);
}

/// Returns why there are fewer than reactors; empty if all have a thread. Throws if none has.
std::string Server::Impl::start_threads(const std::vector<AnyReactor*>& reactors) {
    threads_.reserve(reactors.size());
    for (AnyReactor* reactor : reactors) {
        try {
            // The thread keeps this object alive, in case a handler never returns.
            threads_.emplace_back([self = shared_from_this(), reactor] { reactor->run(); });
        } catch (const std::system_error& no_thread) {
            if (threads_.empty()) throw;
            reactors_.keep_first(threads_.size());
            hub_->attach(reactors_.all());
            listeners_.give_to_first(threads_.size());
            return std::to_string(threads_.size()) + " of " + std::to_string(reactors.size()) +
                   " io threads: " + no_thread.what() + "; raise the limit of threads (ulimit -u)";
        }
    }
    return {};
}

/// Closes the listeners of a reactor that has no thread, on this one.
void Server::Impl::end_unused(AnyReactor& reactor) {
    reactor.post([&reactor] { reactor.stop(Clock::now()); });
    reactor.run();
    reactor.detach();
}

void Server::Impl::request_stop(std::chrono::milliseconds grace) {
    begin_stop(grace);
    hub_->stops()->stop_all();  // not under the lock: it may call the program
}

void Server::Impl::begin_stop(std::chrono::milliseconds grace) {
    const std::lock_guard lock(state_mutex_);
    // Before any reactor sends 1001: a client that receives it must not be able to reconnect to another reactor.
    listeners_.close();
    if (state_ == State::idle) state_ = State::stopped;
    if (state_ == State::stopped) return;
    state_ = State::stopping;
    stop_deadline_ = later(Clock::now(), grace);
    reactors_.tell_all([deadline = stop_deadline_](AnyReactor& reactor) { reactor.stop(deadline); });
}

void Server::Impl::on_stopped(std::uint16_t reactor) {
    const std::lock_guard lock(state_mutex_);
    stopped_[reactor] = true;
    queries_.stopped(reactor);
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
    watch_.stop();
    hub_->detach();
    std::set<ConnectionId> close_due;
    for (std::size_t i = 0; i < reactors_.size(); ++i) {
        if (end_loop(i)) {
            workers_.push_last(i);  // the on_close() reactions of the terminated connections
            continue;
        }
        reactors_[i].mute();
        for (const ConnectionId id : reactors_[i].take_close_due()) close_due.insert(id);
        leave_behind(i, report);
    }
    for (auto& name : workers_.stop(later(stop_deadline(), left_behind_after)))
        report.handlers.push_back(std::move(name));
    // A blocked handler may have used up the time. Other callbacks still get a moment.
    hub_->gate()->close(std::max(later(stop_deadline(), left_behind_after), Clock::now() + least_for_callbacks));
    close_due.merge(hub_->gate()->take_close_due());
    report.connections.assign(close_due.begin(), close_due.end());
    report_ = report;
    const std::lock_guard lock(state_mutex_);
    state_ = State::stopped;
    queries_.end();
    state_changed_.notify_all();
    return report;
}

bool Server::Impl::loops_run() noexcept {
    if (context_ == nullptr) return true;
    return !reactors_.on_own_thread() && !reactors_[0].claim() && !context_->stopped();
}

bool Server::Impl::end_loop(std::size_t reactor) {
    bool stopped = false;
    {
        const std::lock_guard lock(state_mutex_);
        stopped = stopped_[reactor];
    }
    if (context_ != nullptr) {
        loop_is_foreign_ = !reactors_[reactor].on_own_thread() && !reactors_[reactor].claim();
        if (loop_is_foreign_) return stopped;  // if it has stopped the reactor, it has ended all connections
    } else if (reactor < threads_.size()) {    // start() may have failed before it had all threads
        if (!stopped) return false;
        threads_[reactor].join();
    }
    reactors_[reactor].attach();  // callbacks may call members that look at the thread
    reactors_[reactor].end();
    reactors_[reactor].detach();
    return true;
}

/// The reactor's thread is in a callback that has not returned, or the caller's loop does not run. If it continues, it
/// ends the reactor's connections without calling the program.
void Server::Impl::leave_behind(std::size_t reactor, StopReport& report) {
    AnyReactor& left = reactors_[reactor];
    if (const AnyHandler* handler = left.running_handler()) {
        report.handlers.push_back(name_of(handler));
        callbacks_.log(LogLevel::error, "stopped, but handler " + report.handlers.back() + " still blocks reactor " +
                                            std::to_string(reactor));
    } else {
        callbacks_.log(LogLevel::error,
                       "stopped, but reactor " + std::to_string(reactor) + " did not end its connections");
    }
    left.drop_inbox();
    if (reactor < threads_.size()) threads_[reactor].detach();
}

std::string Server::Impl::name_of(const AnyHandler* handler) const {
    for (const auto& [subprotocol, one] : admission_.chooser().handlers().all()) {
        if (one.get() == handler) return std::string{one->name()};
    }
    for (const Route& route : admission_.chooser().handlers().routes()) {
        if (route.handler.get() == handler) return std::string{route.handler->name()};
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
        AsioTransport::post_to(context, [last = std::move(last)] { (*last)->reactors_[0].end(); });
    } catch (...) {
        if (impl) that.self_ = std::move(impl);  // without memory for the task the object can only be left
    }
}

Clock::time_point Server::Impl::stop_deadline() const {
    const std::lock_guard lock(state_mutex_);
    return stop_deadline_;
}

// --- Requests of the program ---

std::shared_ptr<AnyHandler> Server::Impl::ending_on_worker(std::shared_ptr<AnyHandler> handler) {
    AnyHandler* const same = handler.get();
    return {same, [impl = weak_from_this(), handler = std::move(handler)](AnyHandler*) mutable noexcept {
                const auto server = impl.lock();  // null if the server and its reactors have ended
                if (server && server->reactors_.on_own_thread()) {
                    return server->workers_.end_on_worker(std::move(handler));
                }
                handler.reset();
            }};
}

void Server::Impl::close_removed(std::vector<RemovedHandler> removed, CloseCode code) {
    const auto shared = std::make_shared<const std::vector<RemovedHandler>>(std::move(removed));
    reactors_.tell_all([shared, code](AnyReactor& reactor) {
        for (const auto& [handler, subprotocol, route] : *shared) {
            reactor.close_served_by(*handler, subprotocol, route.get(), code);
        }
    });
}

void Server::Impl::call_served(ServedCall call) {
    reactors_.tell_all([call = std::move(call)](AnyReactor& reactor) { reactor.call_served_by(call); });
}

/// Clients are spread over the reactors that run.
Result<void, std::string> Server::Impl::adopt(AcceptedSocket client) {
    int type = 0;
    socklen_t size = sizeof type;
    const int socket = client.descriptor.get();
    const bool is_stream = ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
    sockaddr_storage peer{};
    size = sizeof peer;
    if (!is_stream || ::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
        return Unexpected{"descriptor " + std::to_string(socket) + " is not a connected stream socket"};
    }
    ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
    ::fcntl(socket, F_SETFD, FD_CLOEXEC);
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails for a Unix socket, which needs none
    const std::lock_guard lock(state_mutex_);
    if (state_ == State::stopping || state_ == State::stopped) return Unexpected{std::string{"the server was stopped"}};
    std::size_t number = next_adopting_++ % reactors_.size();
    for (std::size_t i = 0; i < reactors_.size() && queries_.is_stalled(static_cast<std::uint16_t>(number)); ++i) {
        number = (number + 1) % reactors_.size();
    }
    reactors_[number].post([this, number, client = std::make_shared<AcceptedSocket>(std::move(client))] {
        reactors_.accept(number, std::move(*client));
    });
    return {};
}

void Server::Impl::reconfigure(const ServerOptions& changed) {
    admission_.reconfigure(changed);
    workers_.set_handler_deadline(changed.handler_deadline);
    const ReactorOptions options = reactor_options(changed);
    memory_limit_ = options.memory_limit;
    reactors_.tell_all([options](AnyReactor& reactor) { reactor.set_options(options); });
}

MemoryUse Server::Impl::memory_use() const noexcept {
    const std::size_t freed = workers_.freed_bytes();  // read first: what was freed was counted before
    MemoryUse use;
    use.total = use.broadcasts = waiting_broadcasts()->load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < reactors_.size(); ++i) {
        AnyReactor& reactor = reactors_[i];
        use.total += reactor.memory().read() + reactor.inbox_bytes();
        use.shared += reactor.shared_memory();
        // A reactor that has stalled closes none of its connections, so that the others must.
        const std::size_t largest = reactor.largest_holder();
        if (largest > use.largest && !queries_.is_stalled(static_cast<std::uint16_t>(i))) use.largest = largest;
    }
    use.total -= std::min(use.total, freed);
    return use;
}

namespace {

void add_counters(ServerStatistics& sum, const AnyReactor& reactor) {
    const ConnectionCounters& counters = reactor.counters();
    sum.accepted += reactor.accepted();
    sum.opened += counters.opened.read();
    sum.refused += counters.refused.read();
    sum.http_answered += counters.http_answered.read();
    sum.http_unrouted += counters.http_unrouted.read();
    sum.http_timeouts += counters.http_timeouts.read();
    sum.turned_away += counters.turned_away.read();
    sum.over_connection_rate += reactor.over_connection_rate();
    sum.handshake_timeouts += counters.handshake_timeouts.read();
    sum.message_timeouts += counters.message_timeouts.read();
    sum.pong_timeouts += counters.pong_timeouts.read();
    sum.close_timeouts += counters.close_timeouts.read();
    sum.slow_consumers += counters.slow_consumers.read();
    sum.paused_for_memory += reactor.paused_for_memory();
    sum.rate_pauses += counters.rate_pauses.read();
    sum.address_pauses += counters.address_pauses.read();
    sum.user_pauses += counters.user_pauses.read();
    sum.publish_pauses += counters.publish_pauses.read();
    sum.memory_pauses += counters.memory_pauses.read();
    sum.closed_for_memory += counters.closed_for_memory.read();
    sum.refused_for_memory += counters.refused_for_memory.read();
    sum.memberships += reactor.memberships().rooms.memberships();
    sum.joins_over_limit += counters.joins_over_limit.read();
    sum.joins_dropped += counters.joins_dropped.read();
    sum.calls_over_limit += counters.calls_over_limit.read();
    sum.calls_dropped += counters.calls_dropped.read();
    sum.messages_dropped += counters.messages_dropped.read() + reactor.dropped_items();
    sum.handler_exceptions += counters.handler_exceptions.read();
    sum.messages_in += counters.messages_in.read();
    sum.messages_out += counters.messages_out.read();
    sum.bytes_in += counters.bytes_in.read();
    sum.bytes_out += counters.bytes_out.read();
}

}  // namespace

ServerStatistics Server::Impl::statistics() const {
    ServerStatistics sum;
    sum.open = admission_.open();
    sum.accept_pauses = listeners_.accept_pauses();
    sum.handlers_overdue = workers_.handlers_overdue();
    sum.tasks_dropped = workers_.tasks_dropped();
    sum.memory = memory_use().total;
    sum.memory_limit = memory_limit_;
    sum.over_address_connections = admission_.addresses().over_connections();
    sum.over_address_rate = admission_.addresses().over_rate();
    sum.over_user_connections = admission_.users().over_connections();
    sum.over_user_rate = admission_.users().over_rate();
    sum.limits_forgotten = admission_.addresses().forgotten() + admission_.users().forgotten();
    sum.rooms = room_directory()->size();
    sum.users = user_directory()->size();
    sum.reactor_stalls = queries_.stalls();
    sum.taken_over = watch_.taken_over();
    for (const AnyReactor* reactor : reactors_.all()) add_counters(sum, *reactor);
    if (const Substitute* substitute = watch_.substitute()) add_counters(sum, substitute->reactor());
    sum.closes = callbacks_.closes();
    sum.refusals = callbacks_.refusals();
    return sum;
}

}  // namespace wsserver
