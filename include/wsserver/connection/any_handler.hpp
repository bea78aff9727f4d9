// Wraps any type that has on_message, on_part, on_open, ... in one interface that a connection can hold. For a reaction
// that the type does not have, the protocol's own reaction is chosen at compile time.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cassert>
#include <concepts>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "wsserver/connection/admission.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/connection/saved_state.hpp"
#include "wsserver/handshake/upgrade_request.hpp"

namespace wsserver {

/// Where the reactions of a handler run. One handler object serves all connections. Reactions to one connection run in
/// order and one at a time. Reactions to different connections may run at the same time on several threads.
enum class Runs : std::uint8_t {
    inline_,  ///< on the connection's reactor thread: fastest, must not block
    pooled,   ///< on a worker: may block
};

/// The answer to a handler's own command (`call HANDLER WORDS...`).
struct CommandAnswer {
    bool ok = true;        ///< the command succeeded
    std::string output{};  ///< the result, or the reason why the command failed
};

/// A handler of any type. An exception that leaves a reaction closes that connection with 1011.
class AnyHandler {
   public:
    AnyHandler() = default;
    AnyHandler(const AnyHandler&) = delete;
    AnyHandler& operator=(const AnyHandler&) = delete;
    virtual ~AnyHandler() = default;

    /// The name of the handler in logs, reports and commands.
    virtual std::string_view name() const noexcept = 0;
    /// Where the reactions run.
    virtual Runs runs() const noexcept { return Runs::inline_; }
    /// The handler to which this one forwards, if it is a wrapper; otherwise this handler.
    virtual const AnyHandler& underlying() const noexcept { return *this; }

    /// For a wrapper whose reactions run later: the bytes of the messages that wait. Called on the thread of the
    /// connection.
    virtual std::size_t waiting_bytes() const noexcept { return 0; }
    /// For a wrapper whose reactions run later. A sender has asked for a receipt with this number. If `is_low`, what it
    /// has sent before has left, or little of it waits. Otherwise on_drained() follows when that is so.
    virtual void on_receipt(std::uint64_t /*number*/, bool /*is_low*/) {}
    /// For a wrapper whose reactions run later. From now on, sending returns `closed`.
    virtual void on_closing() noexcept {}
    /// Whether on_drained() must be called. Called on the thread of the connection.
    virtual bool wants_drained() const noexcept { return false; }

    /// Whether on_upgrade() must be asked about each client.
    virtual bool decides_upgrades() const noexcept { return false; }
    /// A client has asked for a connection that this handler would serve: refuses or accepts it, perhaps with more
    /// fields of the 101. It must not set Admission::subprotocol and Admission::handler. If it throws, the client gets
    /// a 500, and if it takes longer than ConnectionOptions::handshake_timeout, a 503. It may block, wherever the
    /// reactions run: a Server calls it on workers, for several clients at the same time. Other servers call it on
    /// their thread.
    virtual Admission on_upgrade(const UpgradeRequest&) { return {}; }

    /// The opening handshake has succeeded.
    virtual void on_open(AnyConnection&) {}
    /// A text message was received. Declines it by default.
    virtual void on_message(AnyConnection& connection, const Text&) { decline(connection); }
    /// A binary message was received. Declines it by default.
    virtual void on_message(AnyConnection& connection, const Binary&) { decline(connection); }
    /// Called by the connection for each text message, whose memory may be taken: calls on_message() by default. Not
    /// for the handlers of programs. on_message() never takes the memory, so that a message can be passed to several
    /// handlers.
    virtual void take_message(AnyConnection& connection, Text&& message) { on_message(connection, message); }
    /// The same for each binary message.
    virtual void take_message(AnyConnection& connection, Binary&& message) { on_message(connection, message); }
    /// Whether on_part() gets all messages instead of on_message().
    virtual bool takes_parts() const noexcept { return false; }
    /// A piece of a message was received. Nothing of the message is kept for the next one. The limits and timeouts are
    /// those of whole messages, without that of its frames. If the message breaks a rule, or the connection ends,
    /// on_close() follows instead of the last piece. After an exception, no piece of the same message follows either.
    virtual void on_part(AnyConnection& connection, const Part&) { decline(connection); }
    /// A Ping was received. The Pong is already queued.
    virtual void on_ping(AnyConnection&, const Ping&) {}
    /// A Pong was received, whether or not a Ping asked for it.
    virtual void on_pong(AnyConnection&, const Pong&) {}
    /// The send queue was over SendQueueLimits::high_mark and has fallen to at most half of it: go on sending while
    /// AnyConnection::has_space(). Called in a turn of its own, and only while the connection is open.
    virtual void on_drained(AnyConnection&) {}
    /// The last reaction to a connection for which on_open was called; called exactly once. `Close` has the code and
    /// the reason of the peer, or ours, or 1006 if the stream ended without a closing handshake. From now on, sending
    /// returns `closed`.
    virtual void on_close(AnyConnection&, const Close&) {}
    /// For a wrapper whose reactions run later: false if so much waits that posted calls must be dropped.
    virtual bool takes_calls() const noexcept { return true; }
    /// A call was posted to the connection: calls it. Not for the handlers of programs; one that runs its reactions
    /// elsewhere moves it there.
    virtual void on_posted(AnyConnection& connection, ConnectionCall& call) { call(connection); }
    /// Executes a command of the handler's own. Called on any thread.
    virtual CommandAnswer on_command(std::span<const std::string> /*words*/, Bytes /*payload*/) {
        return {false, "this handler has no commands"};
    }

    // A version of a ReplaceableHandler.

    /// Whether connections get data of a type of the handler's own by AnyConnection::own_data().
    virtual bool keeps_data() const noexcept { return false; }
    /// What the version that replaces this one must know, whatever the connections. Reactions to connections may run at
    /// the same time, and may follow. It may block. If it throws, this version stays.
    virtual SavedState save_state() { return {}; }
    /// Called before all reactions: what the version before has saved, also if that is nothing. It may block. If it
    /// throws, the version before stays.
    virtual void restore_state(const SavedState&) {}
    /// Whether save_connection() can save AnyConnection::user_data().
    virtual bool saves_connections() const noexcept { return false; }
    /// Called where the reactions run: the next version takes the connection over. This is the last call for the
    /// connection; it frees AnyConnection::user_data(). If it throws, the connection stays, with its user_data().
    virtual SavedState save_connection(AnyConnection&) { return {}; }
    /// Whether restore_connection() is called; otherwise on_open() is, for connections that move.
    virtual bool restores_connections() const noexcept { return false; }
    /// Called where the reactions run, instead of on_open(): takes over a connection whose user_data() is null. If it
    /// throws, the connection is closed with 1011, and on_close() follows.
    virtual void restore_connection(AnyConnection&, const SavedState&) {}

   protected:
    /// Closes the connection with 1003: the endpoint "has received a type of data it cannot accept" (RFC 6455 §7.4.1).
    static void decline(AnyConnection& connection) {
        connection.close(CloseCode::unsupported_data, "the handler takes no messages of this type");
    }
};

namespace detail {

// Detects a member by its name, whatever its parameters: in a class that inherits two members of one name, the name is
// ambiguous. The spelling of a final class is not checked, because no class can inherit from it.
#define WSSERVER_DETAIL_HAS_MEMBER(member)                           \
    struct Shadow_##member {                                         \
        int member;                                                  \
    };                                                               \
    template <class H>                                               \
    struct Join_##member : H, Shadow_##member {};                    \
    template <class H>                                               \
    concept has_member_##member = !std::is_final_v<H> && !requires { \
        &Join_##member<H>::member;                                   \
    }

WSSERVER_DETAIL_HAS_MEMBER(on_upgrade);
WSSERVER_DETAIL_HAS_MEMBER(on_open);
WSSERVER_DETAIL_HAS_MEMBER(on_message);
WSSERVER_DETAIL_HAS_MEMBER(on_part);
WSSERVER_DETAIL_HAS_MEMBER(on_ping);
WSSERVER_DETAIL_HAS_MEMBER(on_pong);
WSSERVER_DETAIL_HAS_MEMBER(on_drained);
WSSERVER_DETAIL_HAS_MEMBER(on_close);
WSSERVER_DETAIL_HAS_MEMBER(on_command);
WSSERVER_DETAIL_HAS_MEMBER(save_state);
WSSERVER_DETAIL_HAS_MEMBER(restore_state);
WSSERVER_DETAIL_HAS_MEMBER(save_connection);
WSSERVER_DETAIL_HAS_MEMBER(restore_connection);
#undef WSSERVER_DETAIL_HAS_MEMBER

/// `H` wants data of its own for each connection.
template <class H>
concept has_data = requires {
    typename H::Data;
};

template <class H>
concept reacts_to_upgrade = requires(H h, const UpgradeRequest& request) {
    { h.on_upgrade(request) } -> std::same_as<Admission>;
};
template <class H>
concept reacts_to_open = requires(H h, AnyConnection& c) {
    h.on_open(c);
};
/// `H` takes an `M` that may be moved.
template <class H, class M>
concept may_move_message = requires(H h, AnyConnection& c, M m) {
    h.on_message(c, std::move(m));
};
/// `H` takes an `M`. An `auto&` binds only to one that is const.
template <class H, class M>
concept reacts_to_message = may_move_message<H, M> || requires(H h, AnyConnection& c, const M& m) {
    h.on_message(c, m);
};
template <class H>
concept reacts_to_part = requires(H h, AnyConnection& c, const Part& p) {
    h.on_part(c, p);
};
template <class H>
concept reacts_to_ping = requires(H h, AnyConnection& c, const Ping& m) {
    h.on_ping(c, m);
};
template <class H>
concept reacts_to_pong = requires(H h, AnyConnection& c, const Pong& m) {
    h.on_pong(c, m);
};
template <class H>
concept reacts_to_drained = requires(H h, AnyConnection& c) {
    h.on_drained(c);
};
template <class H>
concept reacts_to_close = requires(H h, AnyConnection& c, const Close& m) {
    h.on_close(c, m);
};
template <class H>
concept reacts_to_command = requires(H h, std::span<const std::string> words, Bytes payload) {
    { h.on_command(words, payload) } -> std::same_as<CommandAnswer>;
};

template <class H>
concept saves_state = requires(H h) {
    { h.save_state() } -> std::same_as<SavedState>;
};
template <class H>
concept restores_state = requires(H h, const SavedState& state) {
    { h.restore_state(state) } -> std::same_as<void>;
};
template <class H>
concept saves_connection = requires(H h, AnyConnection& c) {
    { h.save_connection(c) } -> std::same_as<SavedState>;
};
template <class H>
concept restores_connection = requires(H h, AnyConnection& c, const SavedState& state) {
    { h.restore_connection(c, state) } -> std::same_as<void>;
};

template <class H>
concept open_returns_void = requires(H h, AnyConnection& c) {
    { h.on_open(c) } -> std::same_as<void>;
};
template <class H, class M>
concept message_returns_void = requires(H h, AnyConnection& c, M m) {
    { h.on_message(c, std::move(m)) } -> std::same_as<void>;
}
|| (!may_move_message<H, M> && requires(H h, AnyConnection& c, const M& m) {
    { h.on_message(c, m) } -> std::same_as<void>;
});
template <class H>
concept part_returns_void = requires(H h, AnyConnection& c, const Part& p) {
    { h.on_part(c, p) } -> std::same_as<void>;
};
template <class H>
concept ping_returns_void = requires(H h, AnyConnection& c, const Ping& m) {
    { h.on_ping(c, m) } -> std::same_as<void>;
};
template <class H>
concept pong_returns_void = requires(H h, AnyConnection& c, const Pong& m) {
    { h.on_pong(c, m) } -> std::same_as<void>;
};
template <class H>
concept drained_returns_void = requires(H h, AnyConnection& c) {
    { h.on_drained(c) } -> std::same_as<void>;
};
template <class H>
concept close_returns_void = requires(H h, AnyConnection& c, const Close& m) {
    { h.on_close(c, m) } -> std::same_as<void>;
};

/// True if `on_message` is one function or one template. False for a set of overloads, as its address has no type.
template <class H>
concept has_one_on_message = requires {
    typename std::void_t<decltype(&H::on_message)>;
}
|| requires { typename std::void_t<decltype(&H::template on_message<AnyConnection>)>; }
|| requires { typename std::void_t<decltype(&H::template on_message<AnyConnection, Text>)>; }
|| requires { typename std::void_t<decltype(&H::template on_message<AnyConnection, Binary>)>; }
|| requires { typename std::void_t<decltype(&H::template on_message<Text>)>; }
|| requires { typename std::void_t<decltype(&H::template on_message<Binary>)>; };

/// Rejects a result at compile time: the caller ignores it. A coroutine that is not awaited never runs.
template <class H>
consteval void check_results() {
    static_assert(!reacts_to_open<H> || open_returns_void<H>,
                  "want: void on_open(...): a reaction must return void; a coroutine would never run");
    static_assert(!reacts_to_message<H, Text> || message_returns_void<H, Text>,
                  "want: void on_message(...): a reaction must return void; a coroutine would never run");
    static_assert(!reacts_to_message<H, Binary> || message_returns_void<H, Binary>,
                  "want: void on_message(...): a reaction must return void; a coroutine would never run");
    static_assert(!reacts_to_part<H> || part_returns_void<H>,
                  "want: void on_part(...): a reaction must return void; a coroutine would never run");
    static_assert(!reacts_to_ping<H> || ping_returns_void<H>,
                  "want: void on_ping(...): a reaction must return void; a coroutine would never run");
    static_assert(!reacts_to_pong<H> || pong_returns_void<H>,
                  "want: void on_pong(...): a reaction must return void; a coroutine would never run");
    static_assert(!reacts_to_drained<H> || drained_returns_void<H>,
                  "want: void on_drained(...): a reaction must return void; a coroutine would never run");
    static_assert(!reacts_to_close<H> || close_returns_void<H>,
                  "want: void on_close(...): a reaction must return void; a coroutine would never run");
}

/// Rejects reactions with the right name and the wrong parameters at compile time: they would never be called. Of
/// several on_message, it finds one that is never called if Text or Binary has no reaction.
template <class H>
consteval void check_spelling() {
    static_assert(
        reacts_to_open<H> || reacts_to_message<H, Text> || reacts_to_message<H, Binary> || reacts_to_part<H> ||
            reacts_to_ping<H> || reacts_to_pong<H> || reacts_to_close<H> || reacts_to_command<H>,
        "a handler needs at least one of on_open, on_message, on_part, on_ping, on_pong, on_close, on_command");
    static_assert(!has_member_on_upgrade<H> || reacts_to_upgrade<H>,
                  "want: Admission on_upgrade(const UpgradeRequest&)");
    static_assert(!has_member_on_open<H> || reacts_to_open<H>, "want: void on_open(AnyConnection&)");
    static_assert(!has_member_on_message<H> || reacts_to_message<H, Text> || reacts_to_message<H, Binary>,
                  "want: void on_message(AnyConnection&, const Text&) or (AnyConnection&, const Binary&)");
    static_assert(!has_member_on_message<H> || has_one_on_message<H> ||
                      reacts_to_message<H, Text> == reacts_to_message<H, Binary>,
                  "an overload of on_message would never be called: want: void on_message(AnyConnection&, const Text&) "
                  "and void on_message(AnyConnection&, const Binary&)");
    static_assert(!has_member_on_part<H> || reacts_to_part<H>, "want: void on_part(AnyConnection&, const Part&)");
    static_assert(!has_member_on_part<H> || !has_member_on_message<H>,
                  "a handler has on_message for whole messages or on_part for their pieces, not both");
    static_assert(!has_member_on_ping<H> || reacts_to_ping<H>, "want: void on_ping(AnyConnection&, const Ping&)");
    static_assert(!has_member_on_pong<H> || reacts_to_pong<H>, "want: void on_pong(AnyConnection&, const Pong&)");
    static_assert(!has_member_on_drained<H> || reacts_to_drained<H>, "want: void on_drained(AnyConnection&)");
    static_assert(!has_member_on_close<H> || reacts_to_close<H>, "want: void on_close(AnyConnection&, const Close&)");
    static_assert(!has_member_on_command<H> || reacts_to_command<H>,
                  "want: CommandAnswer on_command(std::span<const std::string>, Bytes)");
    static_assert(!has_member_save_state<H> || saves_state<H>, "want: SavedState save_state()");
    static_assert(!has_member_restore_state<H> || restores_state<H>, "want: void restore_state(const SavedState&)");
    static_assert(!has_member_save_connection<H> || saves_connection<H>,
                  "want: SavedState save_connection(AnyConnection&)");
    static_assert(!has_member_restore_connection<H> || restores_connection<H>,
                  "want: void restore_connection(AnyConnection&, const SavedState&)");
}

template <class H>
consteval void check_reactions() {
    check_spelling<H>();
    check_results<H>();
}

/// Makes the data of a connection for `H`, unless on_upgrade() has given it.
template <class H>
requires has_data<H>
void make_data(AnyConnection& connection) {
    using Data = typename H::Data;
    if (connection.find_data<Data>() != nullptr) return;
    if constexpr (std::is_constructible_v<Data, AnyConnection&>) {
        connection.own_data(ConnectionData::emplace<Data>(connection));
    } else if constexpr (std::is_default_constructible_v<Data>) {
        connection.own_data(ConnectionData::emplace<Data>());
    } else {
        throw std::logic_error{"on_upgrade() gave the connection no Data of its handler"};
    }
}

}  // namespace detail

/// A handler that holds an `H`, itself or as a `std::shared_ptr<H>`, and calls the reactions that `H` has. They run
/// where `H::runs`, a static constexpr Runs, says; Runs::inline_ if `H` has no such member.
///
/// `H` may take a message as a `Text` or `Binary`, by reference or by value. One that takes it by value may move it to
/// send() or publish(): a long one is then sent on without a copy of its bytes. From any other parameter it is copied,
/// and may be sent several times.
///
/// If `H` has a type `Data`, each connection has an object of it, which reactions reach by `connection.data<Data>()`.
/// It is the one of Admission::data. Without that, it is made before on_open(), from an AnyConnection& if it can be,
/// otherwise by its default constructor; if it has none, the connection is closed with 1011. An exception of its
/// constructor counts as one of on_open(). Without the object, no reaction is called.
template <class H, class Held = H>
class HandlerOf final : public AnyHandler {
   public:
    /// Moves `handler` in. A shared_ptr is not null.
    HandlerOf(std::string name, Held handler) : name_(std::move(name)), handler_(std::move(handler)) {
        detail::check_reactions<H>();
        if constexpr (!std::is_same_v<H, Held>) assert(handler_ != nullptr);
    }
    /// Constructs the `H` in place, from `args`. For types that cannot be moved, such as one with a mutex.
    template <class... Args>
    explicit HandlerOf(std::string name, std::in_place_t, Args&&... args)
        : name_(std::move(name)), handler_(std::forward<Args>(args)...) {
        detail::check_reactions<H>();
    }

    std::string_view name() const noexcept override { return name_; }
    Runs runs() const noexcept override {
        if constexpr (requires { H::runs; }) return H::runs;
        return Runs::inline_;
    }

    bool wants_drained() const noexcept override { return detail::reacts_to_drained<H>; }
    bool decides_upgrades() const noexcept override { return detail::reacts_to_upgrade<H>; }
    Admission on_upgrade(const UpgradeRequest& request) override {
        if constexpr (detail::reacts_to_upgrade<H>) return handler().on_upgrade(request);
        return AnyHandler::on_upgrade(request);
    }
    void on_open(AnyConnection& connection) override {
        if constexpr (detail::has_data<H>) detail::make_data<H>(connection);
        if constexpr (detail::reacts_to_open<H>) handler().on_open(connection);
    }
    void on_message(AnyConnection& connection, const Text& message) override { react(connection, Text{message}); }
    void on_message(AnyConnection& connection, const Binary& message) override { react(connection, Binary{message}); }
    void take_message(AnyConnection& connection, Text&& message) override { react(connection, std::move(message)); }
    void take_message(AnyConnection& connection, Binary&& message) override { react(connection, std::move(message)); }
    bool takes_parts() const noexcept override { return detail::reacts_to_part<H>; }
    void on_part(AnyConnection& connection, const Part& part) override {
        if constexpr (detail::reacts_to_part<H>) {
            if (may_react(connection)) handler().on_part(connection, part);
        }
    }
    void on_ping(AnyConnection& connection, const Ping& ping) override {
        if constexpr (detail::reacts_to_ping<H>) {
            if (may_react(connection)) handler().on_ping(connection, ping);
        }
    }
    void on_pong(AnyConnection& connection, const Pong& pong) override {
        if constexpr (detail::reacts_to_pong<H>) {
            if (may_react(connection)) handler().on_pong(connection, pong);
        }
    }
    void on_drained(AnyConnection& connection) override {
        if constexpr (detail::reacts_to_drained<H>) {
            if (may_react(connection)) handler().on_drained(connection);
        }
    }
    void on_close(AnyConnection& connection, const Close& close) override {
        if constexpr (detail::reacts_to_close<H>) {
            if (may_react(connection)) handler().on_close(connection, close);
        }
    }
    CommandAnswer on_command(std::span<const std::string> words, Bytes payload) override {
        if constexpr (detail::reacts_to_command<H>) return handler().on_command(words, payload);
        return AnyHandler::on_command(words, payload);
    }

    bool keeps_data() const noexcept override { return detail::has_data<H>; }
    SavedState save_state() override {
        if constexpr (detail::saves_state<H>) return handler().save_state();
        return AnyHandler::save_state();
    }
    void restore_state(const SavedState& state) override {
        if constexpr (detail::restores_state<H>) handler().restore_state(state);
    }
    bool saves_connections() const noexcept override { return detail::saves_connection<H>; }
    SavedState save_connection(AnyConnection& connection) override {
        if constexpr (detail::saves_connection<H>) {
            if (may_react(connection)) return handler().save_connection(connection);
        }
        return AnyHandler::save_connection(connection);
    }
    bool restores_connections() const noexcept override {
        return detail::restores_connection<H> || detail::has_data<H>;
    }
    void restore_connection(AnyConnection& connection, const SavedState& state) override {
        if constexpr (detail::has_data<H>) detail::make_data<H>(connection);
        if constexpr (detail::restores_connection<H>) handler().restore_connection(connection, state);
    }

   private:
    H& handler() noexcept {
        if constexpr (std::is_same_v<H, Held>)
            return handler_;
        else
            return *handler_;
    }

    /// False if there was an exception instead of the data.
    static bool may_react([[maybe_unused]] const AnyConnection& connection) noexcept {
        if constexpr (detail::has_data<H>) return connection.find_data<typename H::Data>() != nullptr;
        return true;
    }
    template <class M>
    requires(std::same_as<M, Text> || std::same_as<M, Binary>) void react(AnyConnection& connection, M&& message) {
        message.memory.offer();
        if constexpr (detail::may_move_message<H, M>) {
            if (may_react(connection)) handler().on_message(connection, std::forward<M>(message));
        } else if constexpr (detail::reacts_to_message<H, M>) {
            if (may_react(connection)) handler().on_message(connection, std::as_const(message));
        } else if constexpr (detail::reacts_to_message<H, Text> || detail::reacts_to_message<H, Binary>) {
            decline(connection);  // `H` takes the other type only
        }
    }

    std::string name_;
    Held handler_;
};

namespace detail {

template <class H>
constexpr void check_movable() {
    static_assert(std::is_move_constructible_v<H>,
                  "this handler cannot be moved: construct it in place with handle<H>(...) or handle_path<H>(...), or "
                  "pass a std::shared_ptr");
}

}  // namespace detail

/// Makes a handler that calls the reactions of `handler`.
template <class H>
std::shared_ptr<AnyHandler> make_handler(std::string name, H handler) {
    detail::check_movable<H>();
    return std::make_shared<HandlerOf<H>>(std::move(name), std::move(handler));
}

/// Makes a handler that calls the reactions of an `H` which the program shares. `handler` is not null. It is kept until
/// the last connection that it serves has ended. An AnyHandler is not wrapped, and keeps its own name.
template <class H>
std::shared_ptr<AnyHandler> make_handler(std::string name, std::shared_ptr<H> handler) {
    if constexpr (std::derived_from<H, AnyHandler>) {
        return handler;
    } else {
        return std::make_shared<HandlerOf<H, std::shared_ptr<H>>>(std::move(name), std::move(handler));
    }
}

/// Makes a handler from an `H` that cannot be moved: constructs it in place, from `args`.
template <class H, class... Args>
std::shared_ptr<AnyHandler> make_handler_in_place(std::string name, Args&&... args) {
    return std::make_shared<HandlerOf<H>>(std::move(name), std::in_place, std::forward<Args>(args)...);
}

}  // namespace wsserver
