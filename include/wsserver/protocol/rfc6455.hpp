// RFC 6455's numbers and the questions one asks of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wsserver {

/// Which end of the connection we are. What differs between them stands in RoleRules (protocol.hpp).
enum class Role : std::uint8_t { server, client };

/// RFC 6455 §5.2. The values between are reserved; a frame that carries one fails the connection.
enum class Opcode : std::uint8_t {
    continuation = 0x0,
    text = 0x1,
    binary = 0x2,
    close = 0x8,
    ping = 0x9,
    pong = 0xA,
};

/// §5.5: "Control frames are identified by opcodes where the most significant bit of the opcode is 1."
constexpr bool is_control(Opcode opcode) noexcept { return (static_cast<std::uint8_t>(opcode) & 0x8) != 0; }

constexpr bool is_data(Opcode opcode) noexcept { return !is_control(opcode); }

/// §5.2: 3 to 7 are reserved for further data frames, B to F for further control frames.
constexpr bool is_reserved(Opcode opcode) noexcept { return (static_cast<std::uint8_t>(opcode) & 0x7) > 2; }

/// RFC 6455 §7.4.1 and the IANA registry. Any number of 16 bits can arrive, so any is a CloseCode.
enum class CloseCode : std::uint16_t {
    normal = 1000,
    going_away = 1001,
    protocol_error = 1002,
    unsupported_data = 1003,
    no_status = 1005,  ///< never on the wire: the Close frame had no code
    abnormal = 1006,   ///< never on the wire: there was no Close frame
    invalid_payload = 1007,
    policy_violation = 1008,
    message_too_big = 1009,
    mandatory_extension = 1010,
    internal_error = 1011,
    service_restart = 1012,
    try_again_later = 1013,
    bad_gateway = 1014,
    tls_handshake = 1015,  ///< never on the wire
};

/// §7.4.1 and §7.4.2: the codes that a Close frame may carry. 1016 to 2999 are reserved for the protocol
/// itself, 3000 to 4999 belong to libraries and applications.
constexpr bool may_be_sent(CloseCode code) noexcept {
    const auto number = static_cast<std::uint16_t>(code);
    if (number >= 3000 && number <= 4999) return true;
    if (number < 1000 || number > 1014) return false;
    return code != CloseCode::no_status && code != CloseCode::abnormal && number != 1004;
}

/// §5.3: four bytes, fresh and unpredictable for each frame that a client sends.
using MaskingKey = std::array<std::uint8_t, 4>;

/// §5.5: "All control frames MUST have a payload length of 125 bytes or less".
inline constexpr std::size_t max_control_payload = 125;

/// A Close frame's reason: what two bytes of code leave of the 125 (§5.5.1).
inline constexpr std::size_t max_close_reason = max_control_payload - 2;

/// §5.2: 2 bytes, 8 of extended length, 4 of masking key.
inline constexpr std::size_t max_frame_header = 14;

}  // namespace wsserver
