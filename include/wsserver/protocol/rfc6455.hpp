// The numbers of RFC 6455 and predicates on them.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>

namespace wsserver {

/// The two roles of an endpoint. RoleRules (protocol.hpp) contains all differences between them.
enum class Role : std::uint8_t { server, client };

/// RFC 6455 §5.2. The other values of four bits are reserved; a frame with one of them fails the connection.
enum class Opcode : std::uint8_t {
    continuation = 0x0,  ///< a fragment after the first
    text = 0x1,          ///< a text message, or its first fragment
    binary = 0x2,        ///< a binary message, or its first fragment
    close = 0x8,         ///< see Close
    ping = 0x9,          ///< see Ping
    pong = 0xA,          ///< see Pong
};

/// §5.5: "Control frames are identified by opcodes where the most significant bit of the opcode is 1."
constexpr bool is_control(Opcode opcode) noexcept { return (static_cast<std::uint8_t>(opcode) & 0x8) != 0; }

/// §5.6: every other opcode, also `continuation`.
constexpr bool is_data(Opcode opcode) noexcept { return !is_control(opcode); }

/// §5.2: 3 to 7 are reserved for more data frames, B to F for more control frames.
/// Precondition: the opcode has four bits.
constexpr bool is_reserved(Opcode opcode) noexcept { return (static_cast<std::uint8_t>(opcode) & 0x7) > 2; }

/// RFC 6455 §7.4.1 and the IANA registry. A peer can send any number of 16 bits, so a CloseCode can have any such
/// value.
enum class CloseCode : std::uint16_t {
    normal = 1000,               ///< the purpose of the connection is fulfilled
    going_away = 1001,           ///< a server stops, or a browser leaves the page
    protocol_error = 1002,       ///< the peer broke a rule of RFC 6455
    unsupported_data = 1003,     ///< a type of message that the endpoint does not accept
    no_status = 1005,            ///< never on the wire: the Close frame had no code
    abnormal = 1006,             ///< never on the wire: there was no Close frame
    invalid_payload = 1007,      ///< a payload that does not match its type: text that is not UTF-8
    policy_violation = 1008,     ///< any other rule of the application
    message_too_big = 1009,      ///< a message over the limit of the receiver
    mandatory_extension = 1010,  ///< from a client: the server did not negotiate a required extension
    internal_error = 1011,       ///< an unexpected condition in the endpoint
    service_restart = 1012,      ///< the service restarts: connect again after a random delay
    try_again_later = 1013,      ///< the service is overloaded
    bad_gateway = 1014,          ///< a gateway got an invalid response from its upstream server
    tls_handshake = 1015,        ///< never on the wire: the TLS handshake failed
};

/// §7.4.1 and §7.4.2: whether a Close frame may have this code. 1016 to 2999 are reserved for the protocol itself,
/// 3000 to 4999 are for libraries and applications.
constexpr bool may_be_sent(CloseCode code) noexcept {
    const auto number = static_cast<std::uint16_t>(code);
    if (number >= 3000 && number <= 4999) return true;
    if (number < 1000 || number > 1014) return false;
    return code != CloseCode::no_status && code != CloseCode::abnormal && number != 1004;
}

/// Writes the number of a code: 1000.
std::ostream& operator<<(std::ostream& out, CloseCode code);

/// §5.3: four bytes, new and unpredictable for each frame that a client sends.
using MaskingKey = std::array<std::uint8_t, 4>;

/// §5.5: "All control frames MUST have a payload length of 125 bytes or less".
inline constexpr std::size_t max_control_payload = 125;

/// The maximum size of a Close frame's reason, in bytes: the close code takes two of the 125 (§5.5.1).
inline constexpr std::size_t max_close_reason = max_control_payload - 2;

/// §5.2: 2 bytes, 8 bytes of extended payload length and 4 bytes of masking key.
inline constexpr std::size_t max_frame_header = 14;

}  // namespace wsserver
