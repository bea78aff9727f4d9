// Lets any thread reach connections by id, even if they may be gone.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/connection/connection_info.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

/// Selects the receivers of a broadcast. Each condition that is set must hold.
struct Audience {
    std::optional<std::string> subprotocol{};  ///< only connections with this subprotocol; empty text: with none
    std::optional<ConnectionId> except{};      ///< all connections but this one
};

/// The part of a server or client that any thread may call at any time. It may outlive the server or client, and then
/// returns `closed`. No member waits for a handler or for the network. If the thread of the connections is busy,
/// requests wait, up to a limit of 256 MiB; over it they are dropped: the result is `dropped`, and a broadcast reports
/// 0. Members throw only std::bad_alloc.
class Hub {
   public:
    virtual ~Hub() = default;

    /// Sends a text message, which must be valid UTF-8. Copies the payload before it returns.
    virtual SendStatus send(ConnectionId to, const Text& message) = 0;
    /// Sends a binary message. Copies the payload before it returns.
    virtual SendStatus send(ConnectionId to, const Binary& message) = 0;
    /// Sends a Ping. `payload` has at most 125 bytes; otherwise the result is `refused`.
    virtual SendStatus ping(ConnectionId to, Bytes payload) = 0;
    /// Begins the closing handshake (RFC 6455 §7.1.2).
    virtual SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) = 0;

    /// Receives the number of connections that queued a broadcast. Called exactly once, on any thread, but not any more
    /// after the server has ended. Its exceptions are ignored.
    using Count = std::function<void(std::size_t receivers)>;
    /// Sends a text message to all open connections of `audience`. Then calls `done` if it is set.
    virtual void broadcast(const Audience& audience, const Text& message, Count done = {}) = 0;
    /// Sends a binary message to all open connections of `audience`. Then calls `done` if it is set.
    virtual void broadcast(const Audience& audience, const Binary& message, Count done = {}) = 0;
    /// Sends a Ping to all open connections. Then calls `done` if it is set.
    virtual void ping_all(Count done = {}) = 0;
    /// Begins the closing handshake of all open connections. Then calls `done` if it is set.
    virtual void close_all(CloseCode code, std::string_view reason, Count done = {}) = 0;
};

/// Calls `done` if it is set. Ignores its exceptions, so that the reactor keeps running.
inline void complete(const Hub::Count& done, std::size_t receivers) noexcept {
    if (!done) return;
    try {
        done(receivers);
    } catch (...) {
    }
}

/// Calls a Count exactly once; with 0 if the broadcast is dropped.
class Completion {
   public:
    /// `done` may be empty.
    explicit Completion(Hub::Count done) noexcept : done_(std::move(done)) {}
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;
    ~Completion() { report(0); }

    /// Calls the Count if it was not called before.
    void report(std::size_t receivers) noexcept { complete(std::exchange(done_, nullptr), receivers); }

   private:
    Hub::Count done_;
};

/// A Completion that several requests share. If there is no memory for it, calls `done` with 0 and throws
/// std::bad_alloc.
inline std::shared_ptr<Completion> make_completion(Hub::Count done) {
    try {
        return std::make_shared<Completion>(std::move(done));
    } catch (...) {  // `done` is not moved from: only the allocation can fail
        complete(done, 0);
        throw;
    }
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

    /// Sends a text message. See Hub::send().
    SendStatus send(const Text& message) const { return hub_ ? hub_->send(id_, message) : SendStatus::closed; }
    /// Sends a binary message. See Hub::send().
    SendStatus send(const Binary& message) const { return hub_ ? hub_->send(id_, message) : SendStatus::closed; }
    /// Sends a Ping. See Hub::ping().
    SendStatus ping(Bytes payload = {}) const { return hub_ ? hub_->ping(id_, payload) : SendStatus::closed; }
    /// Begins the closing handshake. See Hub::close().
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) const {
        return hub_ ? hub_->close(id_, code, reason) : SendStatus::closed;
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
