// How any thread reaches connections: ids that may be stale, and the hub that takes messages for them.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "wsserver/protocol/message.hpp"

namespace wsserver {

/// What became of something handed over for sending.
enum class SendStatus : std::uint8_t {
    queued,   ///< it will leave, unless the connection ends before
    dropped,  ///< the send queue is full and the connection's policy dropped it (counted)
    closed,   ///< the connection is gone, or its closing handshake has begun
    refused,  ///< the RFC forbids to send that: a code that may not be sent, a control frame over 125 bytes
};

std::string_view to_string(SendStatus status) noexcept;

/// Names a connection for as long as the process lives; never used twice. Written `reactor-slot-generation`.
struct ConnectionId {
    std::uint16_t reactor = 0;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;  ///< how often the slot was given out; 0 names no connection

    auto operator<=>(const ConnectionId&) const = default;
};

std::string to_string(ConnectionId id);
/// Reads what to_string() wrote; nothing if it is anything else.
std::optional<ConnectionId> parse_connection_id(std::string_view text) noexcept;

/// What one can know of a connection while it lives, and once more when it ends.
struct ConnectionInfo {
    ConnectionId id;
    std::string peer;  ///< `HOST:PORT`, `[HOST]:PORT`, or `unix:` and the path
    std::string subprotocol;
    std::string handler;
    std::string state;  ///< opening, open, closing
    std::chrono::milliseconds age{};
    std::chrono::milliseconds idle{};                       ///< since the last byte from the peer
    std::optional<std::chrono::microseconds> round_trip{};  ///< of the last ping that was answered
    std::uint64_t bytes_in = 0;                             ///< bytes on the wire, the opening handshake too
    std::uint64_t bytes_out = 0;
    std::uint64_t messages_in = 0;  ///< data messages, whole ones
    std::uint64_t messages_out = 0;
    std::uint64_t dropped = 0;  ///< messages that the send queue's policy dropped
    std::size_t queued = 0;     ///< bytes in the send queue
};

/// How a connection ended, for the log and for a client's caller.
struct ConnectionEnd {
    ConnectionInfo info;
    CloseCode code = CloseCode::abnormal;  ///< RFC 6455 §7.1.5; 1006 when there was no closing handshake
    std::string reason{};
    std::string cause{};      ///< in words, why it wasn't a clean close: "connection reset by peer", "no pong"
    std::error_code error{};  ///< the same for programs, where there is one
    bool opened = false;      ///< the opening handshake had succeeded
};

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
