// Frames as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "support/byte_script.hpp"
#include "support/strings.hpp"
#include "wsserver/protocol/frame.hpp"
#include "wsserver/protocol/mask.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver::test {

/// The frames in `output`, masked or not, as text: `81 Hello`, `88 03 ea ...` (the payload of control frames is
/// hexadecimal). Bytes that cannot be decoded are `?` and hexadecimal.
inline Strings frames_in(ByteVector output) {
    Strings frames;
    MutableBytes rest{output};
    while (!rest.empty()) {
        const auto result = decode_header(rest);
        const auto* header = std::get_if<FrameHeader>(&result);
        if (!header || header->payload_length > rest.size() - header->size) {
            frames.push_back("? " + hex(rest));
            break;
        }
        const auto payload = rest.subspan(header->size, static_cast<std::size_t>(header->payload_length));
        if (header->masking_key) apply_mask(payload, *header->masking_key);
        const std::string text = is_control(header->opcode) ? hex(payload) : std::string{text_of(payload)};
        frames.push_back(hex(rest.first(1)) + (text.empty() ? "" : " ") + text);
        rest = rest.subspan(header->size + payload.size());
    }
    return frames;
}

inline Strings frames_in(std::string_view output) {
    const Bytes bytes = bytes_of(output);
    return frames_in(ByteVector(bytes.begin(), bytes.end()));
}

/// A Close frame as frames_in() writes it.
inline std::string close_frame(CloseCode code, std::string_view reason = {}) {
    std::uint8_t number[2];
    store_big_endian(MutableBytes{number}, static_cast<std::uint16_t>(code));
    return "88 " + hex(number) + (reason.empty() ? "" : " ") + hex(bytes_of(reason));
}

}  // namespace wsserver::test
