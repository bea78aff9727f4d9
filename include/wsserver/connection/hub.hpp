// How any thread reaches connections: by a hub, which takes messages for ids that may be stale.
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

/// Who hears a broadcast. Every condition that is set must hold.
struct Audience {
    std::optional<std::string> subprotocol{};
    std::optional<ConnectionId> except{};
};

/// The part of a server (or client) that any thread may call at any time; it outlives the server itself,
/// and then answers `closed`. Nothing here waits for a handler or for the network.
class Hub {
   public:
    virtual ~Hub() = default;

    /// `text` must be valid UTF-8. The payload is copied before these return.
    virtual SendStatus send(ConnectionId to, const Text& message) = 0;
    virtual SendStatus send(ConnectionId to, const Binary& message) = 0;
    virtual SendStatus ping(ConnectionId to, Bytes payload) = 0;
    /// Begins the closing handshake (RFC 6455 §7.1.2).
    virtual SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) = 0;

    /// Encodes once and hands it to all who are open now. `done`, if given, is called once with the number
    /// of connections that queued it, from a thread of the hub's choice; what it throws is lost.
    using Count = std::function<void(std::size_t receivers)>;
    virtual void broadcast(const Audience& audience, const Text& message, Count done = {}) = 0;
    virtual void broadcast(const Audience& audience, const Binary& message, Count done = {}) = 0;
    virtual void ping_all(Count done = {}) = 0;
    virtual void close_all(CloseCode code, std::string_view reason, Count done = {}) = 0;
};

/// Tells `done`, if there is one. What it throws is nobody's: a reactor goes on.
inline void complete(const Hub::Count& done, std::size_t receivers) noexcept {
    if (!done) return;
    try {
        done(receivers);
    } catch (...) {
    }
}

/// A Count that is told once in any case: that it reached nobody when its order is thrown away.
class Completion {
   public:
    explicit Completion(Hub::Count done) noexcept : done_(std::move(done)) {}
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;
    ~Completion() { report(0); }

    void report(std::size_t receivers) noexcept { complete(std::exchange(done_, nullptr), receivers); }

   private:
    Hub::Count done_;
};

/// A connection that may be gone: copy it, keep it, use it from any thread.
class ConnectionHandle {
   public:
    ConnectionHandle() = default;
    ConnectionHandle(std::shared_ptr<Hub> hub, ConnectionId id) : hub_(std::move(hub)), id_(id) {}

    ConnectionId id() const noexcept { return id_; }

    SendStatus send(const Text& message) const { return hub_ ? hub_->send(id_, message) : SendStatus::closed; }
    SendStatus send(const Binary& message) const { return hub_ ? hub_->send(id_, message) : SendStatus::closed; }
    SendStatus ping(Bytes payload = {}) const { return hub_ ? hub_->ping(id_, payload) : SendStatus::closed; }
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) const {
        return hub_ ? hub_->close(id_, code, reason) : SendStatus::closed;
    }

    friend bool operator==(const ConnectionHandle& a, const ConnectionHandle& b) noexcept {
        return a.id_ == b.id_ && a.hub_ == b.hub_;
    }

   private:
    std::shared_ptr<Hub> hub_;
    ConnectionId id_;
};

}  // namespace wsserver
