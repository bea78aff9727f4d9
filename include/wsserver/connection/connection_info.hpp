// The id of a connection, its state, its end, and the result of sending to it.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// The result of a send, or of joining or leaving a room.
enum class SendStatus : std::uint8_t {
    queued,  ///< it will be sent or done, unless the connection ends before; or it is done already
    /// The send queue is full and its policy dropped the message, too many requests wait, or the connection is in too
    /// many rooms. All are counted.
    dropped,
    closed,  ///< the connection is gone, or its closing handshake has begun
    /// The RFC forbids it: text that is not UTF-8, a close code that may not be sent, a control frame over 125 bytes.
    /// Or it is not the name of a room, or there are no rooms.
    refused,
};

/// The name of the enumerator.
std::string_view to_string(SendStatus status) noexcept;
/// Writes the name of the enumerator.
std::ostream& operator<<(std::ostream& out, SendStatus status);

/// Identifies a connection while the process runs. Never used twice. Written `reactor-slot-generation`.
struct ConnectionId {
    std::uint16_t reactor = 0;     ///< the number of the reactor
    std::uint32_t slot = 0;        ///< the slot in the reactor's pool
    std::uint32_t generation = 0;  ///< how many connections had the slot, including this one; 0: not a connection

    /// Compares reactor, slot and generation. (clang-tidy 14 takes the 0 in the generated code for a null pointer.)
    auto operator<=>(const ConnectionId&) const = default;  // NOLINT(modernize-use-nullptr)
};

/// Writes an id, for example `3-70000-12`.
std::string to_string(ConnectionId id);
/// Writes an id as to_string() does.
std::ostream& operator<<(std::ostream& out, ConnectionId id);
/// Reads an id that to_string() wrote. Empty for any other text.
std::optional<ConnectionId> parse_connection_id(std::string_view text) noexcept;

/// The state of a connection, at the time of the call or at its end.
struct ConnectionInfo {
    ConnectionId id;                                        ///< its id
    std::string peer;                                       ///< `HOST:PORT`, `[HOST]:PORT`, or `unix:` and the path
    std::string subprotocol;                                ///< empty: none
    std::string user{};                                     ///< see AnyConnection::user(); empty: none
    std::string handler;                                    ///< the handler's name; empty until it is known
    std::string state;                                      ///< opening, open, closing
    std::chrono::milliseconds age{};                        ///< since the start of the opening handshake
    std::chrono::milliseconds idle{};                       ///< since the peer last sent bytes or took ours
    std::optional<std::chrono::microseconds> round_trip{};  ///< of the last ping that was answered
    std::uint64_t bytes_in = 0;                             ///< bytes received, including the opening handshake
    std::uint64_t bytes_out = 0;                            ///< bytes sent, including the opening handshake
    std::uint64_t messages_in = 0;                          ///< complete data messages received
    std::uint64_t messages_out = 0;                         ///< data messages queued or sent
    std::uint64_t dropped = 0;                              ///< messages that the send queue's policy dropped
    std::size_t queued = 0;                                 ///< bytes in the send queue
};

/// How a connection ended, for the log and for the user of a client.
struct ConnectionEnd {
    ConnectionInfo info;                   ///< the state at the end
    CloseCode code = CloseCode::abnormal;  ///< RFC 6455 §7.1.5; 1006 if there was no closing handshake
    std::string reason{};                  ///< the reason of the close code
    std::string cause{};                   ///< why it was not a clean close, for example "connection reset by peer"
    std::error_code error{};               ///< the same for programs, if there is a code
    bool opened = false;                   ///< the opening handshake had succeeded
    unsigned refused_with = 0;             ///< the HTTP status with which the server refused the client; 0: it did not
    std::string target{};                  ///< the path and query of the request; empty if it was not read so far
};

/// Something besides messages that happened on a connection, for a debug log.
struct ConnectionEvent {
    /// What happened.
    enum class Kind : std::uint8_t {
        close_received,    ///< the peer's Close frame; `code` and `reason` are its
        close_sent,        ///< our Close frame was queued, or sent; `code` and `reason` are its
        ping_received,     ///< `count` is the size of its payload in bytes
        pong_received,     ///< the same
        messages_dropped,  ///< from the send queue, by its policy or at the end of the connection; `count` of them
    };

    Kind kind;                              ///< what happened
    ConnectionId id;                        ///< where
    CloseCode code = CloseCode::no_status;  ///< of a Close frame; no_status: it has no code
    std::string_view reason{};              ///< of a Close frame; valid until the function returns that receives it
    std::size_t count = 0;                  ///< bytes or messages; see `kind`
};

}  // namespace wsserver

/// For containers whose keys are ids, such as std::unordered_map.
template <>
struct std::hash<wsserver::ConnectionId> {
    /// Depends on all members.
    std::size_t operator()(wsserver::ConnectionId id) const noexcept {
        const auto number = (std::uint64_t{id.generation} << 32 | id.slot) ^ std::uint64_t{id.reactor} << 48;
        return std::hash<std::uint64_t>{}(number * 0x9E3779B97F4A7C15);  // 2^64 / golden ratio: spreads equal slots
    }
};
