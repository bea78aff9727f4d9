// Lets any thread reach connections by id, even if they may be gone.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "wsserver/base/unique_function.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

class AnyConnection;

/// A function that is called with a connection; see Hub::post().
using ConnectionCall = UniqueFunction<void(AnyConnection&)>;

/// Selects the receivers of a broadcast. Each condition that is set must hold.
struct Audience {
    std::optional<std::string> room{};         ///< only members of this room; only its reactors are asked
    std::optional<std::string> user{};         ///< only connections of this user; only its reactors are asked
    std::optional<std::string> subprotocol{};  ///< only connections with this subprotocol; empty text: with none
    std::optional<ConnectionId> except{};      ///< all connections but this one
    /// The sender waits for slow receivers, as AnyConnection::publish() does: `done` is called when no receiver
    /// lags any more; one that takes too little is closed with 1013. A send queue may grow to its hard limit before the
    /// policy for slow consumers applies. Only a Server does so; for handlers in shared objects it is ignored.
    bool waits = false;
};

/// Receives the number of connections that queued a broadcast. It is called exactly once: with 0 if it is destroyed
/// before, for example because the request was dropped. It has one owner.
class Completion {
   public:
    /// Without a callable: no one wants to know the number.
    Completion() noexcept = default;
    /// `f` is called with the number, on any thread. Its exceptions are ignored. An empty std::function is not called.
    /// Throws what the move or copy of `f` throws, and std::bad_alloc if it is larger than 48 bytes.
    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, Completion> && std::is_invocable_v<std::decay_t<F>&, std::size_t>)
        Completion(F&& f) {
        if constexpr (std::is_constructible_v<bool, F&>) {
            if (!static_cast<bool>(f)) return;
        }
        call_ = std::forward<F>(f);
    }
    /// Takes over what `other` calls. `other` is empty then.
    Completion(Completion&& other) noexcept : call_(std::move(other.call_)) {}
    /// The same, after a call with 0 if this was not called before.
    Completion& operator=(Completion&& other) noexcept {
        if (this == &other) return *this;
        (*this)(0);
        call_ = std::move(other.call_);
        return *this;
    }
    ~Completion() { (*this)(0); }

    /// Reports the number. Does nothing if it was reported before, or if no one wants to know it.
    void operator()(std::size_t receivers) noexcept {
        auto call = std::exchange(call_, nullptr);  // first: it may destroy this object
        if (!call) return;
        try {
            call(receivers);
        } catch (...) {
        }
    }
    /// Destroys the callable without calling it.
    void abandon() noexcept { call_ = nullptr; }
    /// Whether it has a callable that was not called.
    explicit operator bool() const noexcept { return static_cast<bool>(call_); }

   private:
    UniqueFunction<void(std::size_t receivers)> call_;
};

/// The part of a server or client that any thread may call at any time. It may outlive the server or client, and then
/// returns `closed`. No member waits for a handler or for the network. If the thread of the connections is busy,
/// requests wait, up to a limit of 256 MiB; over it they are dropped: the result is `dropped`, and a broadcast reports
/// 0. Requests of one thread are executed in their order, as far as they concern one connection; on the thread of the
/// connection only post() waits for a later turn. Members throw only
/// std::bad_alloc. After the server has ended, no Completion of an earlier call is called.
class Hub {
   public:
    virtual ~Hub() = default;

    /// Sends a message: a text or bytes; see AnyMessage. Copies the payload before it returns. The result is `refused`
    /// if a text is not UTF-8.
    virtual SendStatus send(ConnectionId to, const AnyMessage& message) = 0;
    /// Sends a Ping. `payload` has at most 125 bytes; otherwise the result is `refused`.
    virtual SendStatus ping(ConnectionId to, Bytes payload) = 0;
    /// Begins the closing handshake (RFC 6455 §7.1.2).
    virtual SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) = 0;

    /// Sends a message to each connection of the list, once for each time that it is in it. Then calls `done` with the
    /// number of those that queued it. A Server encodes the message once and passes it to each reactor once, like a
    /// broadcast. The result is `closed` if the list is empty or if the server has ended.
    virtual SendStatus send(std::span<const ConnectionId> to, const AnyMessage& message, Completion done = {});

    /// The connection becomes a member of a room. See AnyConnection::join(). If another thread than the connection's
    /// calls it, `queued` does not yet say that the limit of rooms permits it. What the caller publishes to
    /// the room afterwards reaches the connection. By default, there are no rooms: the result is `refused`.
    virtual SendStatus join(ConnectionId member, std::string_view room) {
        static_cast<void>(member);
        static_cast<void>(room);
        return SendStatus::refused;
    }
    /// The connection leaves a room. What the caller has published to the room before still reaches the connection.
    /// `queued` also if it is not a member.
    virtual SendStatus leave(ConnectionId member, std::string_view room) {
        static_cast<void>(member);
        static_cast<void>(room);
        return SendStatus::refused;
    }

    /// The connection belongs to a user from now on. See AnyConnection::set_user(). If another thread than the
    /// connection's calls it, `queued` does not yet say that the limits of the user permit it. What the caller sends to
    /// the user afterwards reaches the connection. By default, there are no users: the result is `refused`.
    virtual SendStatus set_user(ConnectionId of, std::string_view user) {
        static_cast<void>(of);
        static_cast<void>(user);
        return SendStatus::refused;
    }
    /// Sends a message to all open connections of a user; the same as broadcast() to this user.
    SendStatus send_to_user(std::string_view user, const AnyMessage& message, Completion done = {}) {
        return broadcast({.user = std::string{user}}, message, std::move(done));
    }

    /// Calls `call` with the connection, in order with its reactions and where they run: on the thread of the
    /// connection, or on a worker if its handler is pooled. It is never called within post() or within another
    /// reaction. An exception that leaves it closes the connection with 1011. It is not called, but destroyed, if the
    /// connection is not open by then. By default, calls cannot be posted: the result is `refused`.
    virtual SendStatus post(ConnectionId to, ConnectionCall call) {
        static_cast<void>(to);
        static_cast<void>(call);
        return SendStatus::refused;
    }
    /// The same after `delay`, or up to 32 ms later. The end of the connection destroys the calls that are not due.
    /// ConnectionOptions::max_delayed_calls bounds them: over it, or without memory, the result is `dropped`, or, if
    /// another thread than the connection's asks, the call is dropped although the result is `queued`. Calls over the
    /// limit are counted in ServerStatistics::calls_over_limit, those without memory in calls_dropped.
    virtual SendStatus post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) {
        static_cast<void>(to);
        static_cast<void>(delay);
        static_cast<void>(call);
        return SendStatus::refused;
    }

    /// Sends a message to all open connections of `audience`. Then calls `done`. Copies the payload before it returns.
    /// The result is `queued` if the request was passed on, even if it has no receivers. It is `refused` if a text is
    /// not UTF-8; `done` is then called with 0.
    virtual SendStatus broadcast(const Audience& audience, const AnyMessage& message, Completion done = {}) = 0;
    /// Sends a Ping to all open connections. Then calls `done`.
    virtual void ping_all(Completion done = {}) = 0;
    /// Begins the closing handshake of all open connections. Then calls `done`.
    virtual void close_all(CloseCode code, std::string_view reason, Completion done = {}) = 0;

    /// The connection receives nothing more until resume_receiving(). See AnyConnection::pause_receiving(). By default,
    /// it is `refused`.
    virtual SendStatus pause_receiving(ConnectionId of) {
        static_cast<void>(of);
        return SendStatus::refused;
    }
    /// Ends pause_receiving().
    virtual SendStatus resume_receiving(ConnectionId of) {
        static_cast<void>(of);
        return SendStatus::refused;
    }
    /// How many bytes wait to be sent on a connection or are in flight, in steps of 1 KiB and up to 64 MiB, as of its
    /// last turn. Requests that wait for its thread are not counted. 0 if it is not open. By default, it is not known:
    /// 0.
    virtual std::size_t queued(ConnectionId of) const noexcept {
        static_cast<void>(of);
        return 0;
    }
};

inline SendStatus Hub::send(std::span<const ConnectionId> to, const AnyMessage& message, Completion done) {
    auto status = SendStatus::closed;
    std::size_t receivers = 0;
    for (const ConnectionId id : to) {
        const SendStatus of_one = send(id, message);
        if (of_one == SendStatus::queued) ++receivers;
        if (status != SendStatus::queued) status = of_one;
    }
    done(receivers);
    return status;
}

/// Reaches one connection, which may be gone, from any thread. It can be copied and kept. A default-constructed handle
/// returns `closed`.
class ConnectionHandle {
   public:
    ConnectionHandle() = default;
    /// `hub` may be null.
    ConnectionHandle(std::shared_ptr<Hub> hub, ConnectionId id) : hub_(std::move(hub)), id_(id) {}

    /// The id of the connection.
    ConnectionId id() const noexcept { return id_; }

    /// Sends a message. See Hub::send().
    SendStatus send(const AnyMessage& message) const { return hub_ ? hub_->send(id_, message) : SendStatus::closed; }
    /// Sends a Ping. See Hub::ping().
    SendStatus ping(Bytes payload = {}) const { return hub_ ? hub_->ping(id_, payload) : SendStatus::closed; }
    /// Begins the closing handshake. See Hub::close().
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) const {
        return hub_ ? hub_->close(id_, code, reason) : SendStatus::closed;
    }
    /// The connection receives nothing more until resume_receiving(). See AnyConnection::pause_receiving().
    SendStatus pause_receiving() const { return hub_ ? hub_->pause_receiving(id_) : SendStatus::closed; }
    /// Ends pause_receiving().
    SendStatus resume_receiving() const { return hub_ ? hub_->resume_receiving(id_) : SendStatus::closed; }
    /// How many bytes wait to be sent or are in flight, approximately. See Hub::queued().
    std::size_t queued() const noexcept { return hub_ ? hub_->queued(id_) : 0; }
    /// The connection becomes a member of a room. See Hub::join().
    SendStatus join(std::string_view room) const { return hub_ ? hub_->join(id_, room) : SendStatus::closed; }
    /// The connection leaves a room. See Hub::leave().
    SendStatus leave(std::string_view room) const { return hub_ ? hub_->leave(id_, room) : SendStatus::closed; }

    /// The connection belongs to a user from now on. See Hub::set_user().
    SendStatus set_user(std::string_view user) const { return hub_ ? hub_->set_user(id_, user) : SendStatus::closed; }

    /// Calls `call` with the connection, where its reactions run. See Hub::post().
    SendStatus post(ConnectionCall call) const { return hub_ ? hub_->post(id_, std::move(call)) : SendStatus::closed; }
    /// The same after `delay`. See Hub::post_after().
    SendStatus post_after(std::chrono::milliseconds delay, ConnectionCall call) const {
        return hub_ ? hub_->post_after(id_, delay, std::move(call)) : SendStatus::closed;
    }

    /// True if both reach the same connection.
    friend bool operator==(const ConnectionHandle& a, const ConnectionHandle& b) noexcept {
        return a.id_ == b.id_ && a.hub_ == b.hub_;
    }

   private:
    std::shared_ptr<Hub> hub_;
    ConnectionId id_;
};

}  // namespace wsserver
