// Encodes and decodes frame headers (RFC 6455 §5.2).
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <variant>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/protocol/mask.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// The part of a frame before its payload.
struct FrameHeader {
    bool fin = true;                             ///< the last fragment of its message
    std::uint8_t rsv = 0;                        ///< RSV1, RSV2, RSV3 as 4, 2, 1
    Opcode opcode = Opcode::continuation;        ///< not a reserved one
    std::optional<MaskingKey> masking_key = {};  ///< set if the MASK bit is
    std::uint64_t payload_length = 0;            ///< in bytes, below 2^63
    std::size_t size = 0;                        ///< of the header itself: 2 to 14 bytes, set by decode_header()
};

/// The header is incomplete. At least `at_least` more bytes of it are needed.
struct NeedMore {
    std::size_t at_least = 0;  ///< bytes, 1 to 12
};

/// The size in bytes of a frame's header.
constexpr std::size_t header_size(std::uint64_t payload_length, bool masked) noexcept {
    const std::size_t extended = payload_length < 126 ? 0 : payload_length <= 0xFFFF ? 2 : 8;
    return 2 + extended + (masked ? 4 : 0);
}

/// Reads one frame header from the front of `input`. Copies nothing, keeps no state.
///
/// input    bytes as received, any length
/// returns  FrameHeader  complete; its `size` is 2 to 14 bytes of `input`
///          NeedMore     incomplete, and its bytes break no rule so far
///          Errc         the peer broke a rule of both roles: reserved_opcode, control_frame_fragmented,
///                       control_frame_too_long, length_not_minimal, length_top_bit_set
/// RFC 6455 §5.2; for control frames §5.5. The caller checks the RSV bits and the masking, whose rules depend on the
/// extensions and the role.
inline std::variant<FrameHeader, NeedMore, Errc> decode_header(Bytes input) noexcept {
    if (input.empty()) return NeedMore{2};
    FrameHeader header;
    header.fin = (input[0] & 0x80) != 0;
    header.rsv = static_cast<std::uint8_t>((input[0] >> 4) & 0x7);
    header.opcode = static_cast<Opcode>(input[0] & 0xF);
    // §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
    if (is_reserved(header.opcode)) return Errc::reserved_opcode;
    // §5.5: control frames "MUST NOT be fragmented".
    if (is_control(header.opcode) && !header.fin) return Errc::control_frame_fragmented;
    if (input.size() < 2) return NeedMore{1};

    const bool masked = (input[1] & 0x80) != 0;
    const std::uint8_t length = input[1] & 0x7F;
    // §5.5: "All control frames MUST have a payload length of 125 bytes or less".
    if (is_control(header.opcode) && length > max_control_payload) return Errc::control_frame_too_long;
    const std::size_t extended = length < 126 ? 0 : length == 126 ? 2 : 8;
    header.size = 2 + extended + (masked ? 4 : 0);
    // §5.2: "the most significant bit MUST be 0"
    if (extended == 8 && input.size() > 2 && (input[2] & 0x80) != 0) return Errc::length_top_bit_set;
    if (input.size() < header.size) return NeedMore{header.size - input.size()};

    // §5.2: "in all cases, the minimal number of bytes MUST be used to encode the length"
    if (extended == 0) {
        header.payload_length = length;
    } else if (extended == 2) {
        header.payload_length = load_big_endian<std::uint16_t>(input.subspan(2));
        if (header.payload_length < 126) return Errc::length_not_minimal;
    } else {
        header.payload_length = load_big_endian<std::uint64_t>(input.subspan(2));
        if (header.payload_length <= 0xFFFF) return Errc::length_not_minimal;
    }
    if (masked) {
        const Bytes key = input.subspan(2 + extended, 4);
        header.masking_key = MaskingKey{key[0], key[1], key[2], key[3]};
    }
    return header;
}

/// Writes a header in its shortest form to the front of `to`, and returns its size in bytes. Ignores `header.size`.
/// Preconditions: `to` has at least header_size() bytes; the opcode is not reserved; the payload length is below 2^63;
/// a control frame is not fragmented and has at most 125 bytes of payload.
inline std::size_t encode_header(MutableBytes to, const FrameHeader& header) noexcept {
    assert(header.payload_length >> 63 == 0);
    assert(!is_reserved(header.opcode) && header.rsv < 8);
    assert(is_data(header.opcode) || (header.fin && header.payload_length <= max_control_payload));
    const std::size_t size = header_size(header.payload_length, header.masking_key.has_value());
    to[0] = static_cast<std::uint8_t>((header.fin ? 0x80 : 0) | (header.rsv << 4) |
                                      static_cast<std::uint8_t>(header.opcode));
    const std::uint8_t mask_bit = header.masking_key ? 0x80 : 0;
    if (header.payload_length < 126) {
        to[1] = static_cast<std::uint8_t>(mask_bit | header.payload_length);
    } else if (header.payload_length <= 0xFFFF) {
        to[1] = mask_bit | 126;
        store_big_endian(to.subspan(2), static_cast<std::uint16_t>(header.payload_length));
    } else {
        to[1] = mask_bit | 127;
        store_big_endian(to.subspan(2), header.payload_length);
    }
    if (header.masking_key) {
        for (std::size_t i = 0; i < 4; ++i) to[size - 4 + i] = (*header.masking_key)[i];
    }
    return size;
}

/// Appends a frame: the header, then the payload, masked if the header has a masking key. Throws std::bad_alloc.
/// Preconditions: those of encode_header(); `payload` has header.payload_length bytes and is outside `output`.
inline void append_frame(OutputBuffer& output, const FrameHeader& header, Bytes payload) {
    assert(header.payload_length == payload.size());
    const std::size_t size = header_size(payload.size(), header.masking_key.has_value());
    const MutableBytes frame = output.extend(size + payload.size());
    encode_header(frame, header);
    const MutableBytes to = frame.subspan(size);
    if (header.masking_key) {
        copy_masked(to, payload, *header.masking_key);
    } else if (!payload.empty()) {
        std::memcpy(to.data(), payload.data(), payload.size());
    }
}

}  // namespace wsserver
