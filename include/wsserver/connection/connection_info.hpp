// A connection's id, what can be known of it, and what became of a message to it.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "wsserver/protocol/rfc6455.hpp"

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

}  // namespace wsserver
