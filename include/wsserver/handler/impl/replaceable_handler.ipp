#pragma once

#include "wsserver/handler/replaceable_handler.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "wsserver/connection/server_handlers.hpp"
#include "wsserver/handler/shared_object.hpp"

namespace wsserver {

/// A version, as long as anything needs it.
struct ReplaceableHandler::Loaded {
    Loaded(std::shared_ptr<AnyHandler> loaded, std::uint64_t its_number, std::uint64_t its_kind) noexcept
        : handler(std::move(loaded)), number(its_number), kind(its_kind) {}

    const std::shared_ptr<AnyHandler> handler;
    const std::uint64_t number;
    const std::uint64_t kind;  ///< versions of another kind know nothing of this one
    std::atomic<std::size_t> connections{0};
    std::atomic<std::size_t> staying{0};
};

/// The version of a connection. The connection owns it.
struct ReplaceableHandler::Served {
    explicit Served(std::shared_ptr<Loaded> loaded) noexcept : by(std::move(loaded)) {
        by->connections.fetch_add(1, std::memory_order_relaxed);
    }
    Served(Served&& other) noexcept : by(std::move(other.by)), refused_by(other.refused_by) {}
    Served& operator=(Served&&) = delete;
    ~Served() {
        if (by) leave();
    }

    void change(std::shared_ptr<Loaded> loaded) noexcept {
        leave();
        by = std::move(loaded);
        by->connections.fetch_add(1, std::memory_order_relaxed);
        refused_by = 0;
    }
    void stay(std::uint64_t newer) noexcept {
        if (refused_by == 0) by->staying.fetch_add(1, std::memory_order_relaxed);
        refused_by = newer;
    }

    std::shared_ptr<Loaded> by;
    std::uint64_t refused_by = 0;  ///< the number of the version that could not take the connection over; 0: none

   private:
    /// The thread serves other connections and does not wait for the end of the version.
    void leave() noexcept {
        const HandlersEndLater later;
        by->connections.fetch_sub(1, std::memory_order_relaxed);
        if (refused_by != 0) by->staying.fetch_sub(1, std::memory_order_relaxed);
        by.reset();
    }
};

namespace {

Result<void, std::string> check_version(const AnyHandler& handler) {
    if (handler.keeps_data()) {
        return Unexpected{std::string{"a class with Data cannot be replaced, because the data is of its own type"}};
    }
    if (handler.takes_parts()) return Unexpected{std::string{"a handler with on_part() cannot be replaced"}};
    return {};
}

/// What `f` threw, as an error.
template <class F>
Result<void, std::string> errors_of(std::string_view what, F&& f) {
    try {
        f();
        return {};
    } catch (const std::exception& error) {
        return Unexpected{std::string{what} + ": " + error.what()};
    } catch (...) {
        return Unexpected{std::string{what} + ": it threw an exception that is not a std::exception"};
    }
}

}  // namespace

ReplaceableHandler::ReplaceableHandler(const std::shared_ptr<AnyHandler>& first) : runs_(first->runs()) {
    if (const auto fits = check_version(*first); !fits) throw std::invalid_argument{fits.error()};
    use(first, false);
}

ReplaceableHandler::~ReplaceableHandler() = default;

void hand_over_connections(ServerHandlers& server, const std::shared_ptr<ReplaceableHandler>& handler) {
    server.call_connections_of(handler, [](AnyConnection&) {});  // each call moves the connection first
}

std::shared_ptr<ReplaceableHandler::Loaded> ReplaceableHandler::current() const {
    const std::lock_guard lock{mutex_};
    return current_;
}

std::shared_ptr<AnyHandler> ReplaceableHandler::current_handler() const { return current()->handler; }

/// Everything that may fail comes first.
void ReplaceableHandler::use(const std::shared_ptr<AnyHandler>& handler, bool is_other) {
    std::shared_ptr<Loaded> before;  // may end at the end of this function, after the lock is released
    const std::lock_guard lock{mutex_};
    const std::uint64_t number = current_ ? current_->number + 1 : 1;
    const std::uint64_t kind = current_ && !is_other ? current_->kind : number;
    auto loaded = std::make_shared<Loaded>(handler, number, kind);
    auto name = std::ranges::find(names_, handler->name());
    if (name == names_.end()) name = names_.insert_after(names_.before_begin(), std::string{handler->name()});
    std::erase_if(earlier_, [](const auto& one) { return one.handler.expired(); });
    if (current_) earlier_.push_back({current_->number, current_, current_->handler});
    name_.store(&*name, std::memory_order_release);
    if (handler->wants_drained()) wants_drained_.store(true, std::memory_order_relaxed);
    decides_upgrades_.store(handler->decides_upgrades(), std::memory_order_relaxed);
    before = std::exchange(current_, std::move(loaded));
    newest_.store(current_.get(), std::memory_order_release);
}

Result<void, std::string> ReplaceableHandler::pass_state_to(AnyHandler& next) {
    const auto from = current();
    SavedState state;
    if (auto saved = errors_of("the old code", [&] { state = from->handler->save_state(); }); !saved) return saved;
    return errors_of("the new code", [&] { next.restore_state(state); });
}

Result<void, std::string> ReplaceableHandler::serve_with(const std::shared_ptr<AnyHandler>& next) {
    return serve_with(next, false);
}

Result<void, std::string> ReplaceableHandler::give_to(const std::shared_ptr<AnyHandler>& next) {
    return serve_with(next, true);
}

Result<void, std::string> ReplaceableHandler::serve_with(const std::shared_ptr<AnyHandler>& next, bool is_other) {
    if (auto fits = check_version(*next); !fits) return fits;
    if (next->runs() == Runs::pooled && runs_ == Runs::inline_) {
        return Unexpected{std::string{
            "the new code runs on workers, and the old code on the threads of the connections: unload the old code "
            "first"}};
    }
    use(next, is_other);
    return {};
}

Result<void, std::string> ReplaceableHandler::replace(const std::shared_ptr<AnyHandler>& next) {
    if (auto passed = pass_state_to(*next); !passed) return passed;
    return serve_with(next);
}

std::vector<ReplaceableHandler::Version> ReplaceableHandler::versions() const {
    const HandlersEndLater later;
    std::vector<std::shared_ptr<Loaded>> kept;  // may be the last owners: released after the lock
    std::vector<Version> versions;
    const auto add = [&](std::uint64_t number, std::shared_ptr<Loaded> loaded) {
        versions.push_back({.number = number});
        if (!loaded) return;
        versions.back().connections = loaded->connections.load(std::memory_order_relaxed);
        versions.back().staying = loaded->staying.load(std::memory_order_relaxed);
        kept.push_back(std::move(loaded));
    };
    const std::lock_guard lock{mutex_};
    for (const Earlier& earlier : earlier_) {
        if (!earlier.handler.expired()) add(earlier.number, earlier.loaded.lock());
    }
    add(current_->number, current_);
    return versions;
}

bool ReplaceableHandler::is_version_of(const AnyConnection& connection, const void* version) noexcept {
    const Served* const served = connection.find_data<Served>();
    return served == nullptr || static_cast<const void*>(served->by->handler.get()) == version;
}

// --- Reactions ---

/// If a version is replaced while it decides, the new one is asked.
Admission ReplaceableHandler::on_upgrade(const UpgradeRequest& request) {
    const HandlersEndLater later;
    for (;;) {
        const auto asked = current();
        Admission admission;
        if (asked->handler->decides_upgrades()) admission = asked->handler->on_upgrade(request);
        if (asked.get() != newest_.load(std::memory_order_acquire)) continue;
        if (!admission.data && !admission.refusal) admission.data = ConnectionData::emplace<Served>(asked);
        return admission;
    }
}

/// The version that has judged the client serves it first. The next reaction moves it.
void ReplaceableHandler::on_open(AnyConnection& connection) {
    const HandlersEndLater later;
    if (connection.find_data<Served>() == nullptr) {
        if (connection.owned_data() != nullptr) {
            throw std::logic_error{"a connection with data of the program has a handler that can be replaced"};
        }
        auto serves = current();
        // It began to judge clients after this one was let in.
        if (serves->handler->decides_upgrades()) {
            connection.close(CloseCode::service_restart, "the handler was replaced");
            return;
        }
        connection.own_data(ConnectionData::emplace<Served>(std::move(serves)));
    }
    connection.find_data<Served>()->by->handler->on_open(connection);
}

template <class F>
void ReplaceableHandler::react(AnyConnection& connection, F&& f) {
    Served* const served = connection.find_data<Served>();
    if (served == nullptr) return;  // there was no memory for on_open()
    if (served->by.get() != newest_.load(std::memory_order_acquire)) move(connection, *served);
    f(*served->by->handler);
}

/// The connection stays where it is if its version cannot let it go.
void ReplaceableHandler::move(AnyConnection& connection, Served& served) {
    const HandlersEndLater later;
    auto next = current();
    if (next == served.by || served.refused_by == next->number) return;
    if (next->kind != served.by->kind) return reopen(connection, served, std::move(next));
    AnyHandler& old = *served.by->handler;
    const bool restores = next->handler->restores_connections();
    const bool is_saved = restores && old.saves_connections();
    if (connection.user_data() != nullptr && !is_saved) return served.stay(next->number);
    SavedState state;
    try {
        if (is_saved) state = old.save_connection(connection);
    } catch (...) {
        return served.stay(next->number);
    }
    connection.set_user_data(nullptr);
    served.change(std::move(next));
    AnyHandler& now = *served.by->handler;
    restores ? now.restore_connection(connection, state) : now.on_open(connection);
}

/// The connection gets another handler, for which it is a new one.
void ReplaceableHandler::reopen(AnyConnection& connection, Served& served, std::shared_ptr<Loaded> next) {
    const Close close{CloseCode::service_restart, "the handler was removed"};
    const auto before = served.by;  // also if on_close() throws, the other handler gets on_open()
    try {
        before->handler->on_close(connection, close);
    } catch (...) {
    }
    connection.set_user_data(nullptr);
    served.change(std::move(next));
    served.by->handler->on_open(connection);
}

void ReplaceableHandler::on_message(AnyConnection& connection, const Text& message) {
    react(connection, [&](AnyHandler& handler) { handler.on_message(connection, message); });
}
void ReplaceableHandler::on_message(AnyConnection& connection, const Binary& message) {
    react(connection, [&](AnyHandler& handler) { handler.on_message(connection, message); });
}
void ReplaceableHandler::take_message(AnyConnection& connection, Text&& message) {
    react(connection, [&](AnyHandler& handler) { handler.take_message(connection, std::move(message)); });
}
void ReplaceableHandler::take_message(AnyConnection& connection, Binary&& message) {
    react(connection, [&](AnyHandler& handler) { handler.take_message(connection, std::move(message)); });
}
void ReplaceableHandler::on_ping(AnyConnection& connection, const Ping& ping) {
    react(connection, [&](AnyHandler& handler) { handler.on_ping(connection, ping); });
}
void ReplaceableHandler::on_pong(AnyConnection& connection, const Pong& pong) {
    react(connection, [&](AnyHandler& handler) { handler.on_pong(connection, pong); });
}
void ReplaceableHandler::on_drained(AnyConnection& connection) {
    react(connection, [&](AnyHandler& handler) { handler.on_drained(connection); });
}
void ReplaceableHandler::on_posted(AnyConnection& connection, ConnectionCall& call) {
    react(connection, [&](AnyHandler&) { call(connection); });
}

/// The connection need not move for its last call.
void ReplaceableHandler::on_close(AnyConnection& connection, const Close& close) {
    Served* const served = connection.find_data<Served>();
    if (served != nullptr) served->by->handler->on_close(connection, close);
}

CommandAnswer ReplaceableHandler::on_command(std::span<const std::string> words, Bytes payload) {
    const HandlersEndLater later;
    const auto called = current();
    return called->handler->on_command(words, payload);
}

}  // namespace wsserver
