// Encodes messages as frames, in fragments if they are long (RFC 6455 §5.4), and the payload of a Close (§5.5.1).
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/protocol/frame.hpp"
#include "wsserver/protocol/message.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

namespace detail {

/// Calls `f(header, part)` for each frame of a message. An empty message is one empty frame.
template <class F>
void for_each_fragment(Opcode opcode, Bytes payload, std::size_t fragment_size, F f) {
    if (fragment_size == 0) fragment_size = payload.size();
    FrameHeader header;
    header.opcode = opcode;
    do {
        const Bytes part = payload.first(std::min(payload.size(), fragment_size));
        payload = payload.subspan(part.size());
        header.fin = payload.empty();
        header.payload_length = part.size();
        f(header, part);
        header.opcode = Opcode::continuation;
    } while (!payload.empty());
}

}  // namespace detail

/// The payload of a Close frame, at most 125 bytes: the code, then the reason. Empty for no_status.
/// Precondition: `reason` has at most 123 bytes.
class ClosePayload {
   public:
    /// Copies `reason`, which should be UTF-8. `code` is not checked; see may_be_sent().
    ClosePayload(CloseCode code, std::string_view reason) noexcept {
        assert(reason.size() <= max_close_reason);
        if (code == CloseCode::no_status) return;
        store_big_endian(bytes_, static_cast<std::uint16_t>(code));
        if (!reason.empty()) std::memcpy(bytes_.data() + 2, reason.data(), reason.size());
        size_ = 2 + reason.size();
    }
    /// 0 or 2 to 125 bytes, unmasked. Valid as long as this object.
    Bytes bytes() const noexcept { return {bytes_.data(), size_}; }

   private:
    std::array<std::uint8_t, max_control_payload> bytes_;
    std::size_t size_ = 0;
};

/// Whether a message may be sent: "the payload data is text data encoded as UTF-8" (RFC 6455 §5.6). A receiver of
/// another text fails the connection (§8.1). Does not look at text that is known to be valid.
inline bool may_be_sent(const AnyMessage& message) noexcept {
    return !message.is_taken() && (message.is_checked() || is_valid_utf8(message.payload()));
}

/// Appends the frames of a message, unmasked as a server sends them. The result can be sent to any number of clients.
///
/// message        a Text or Binary whose bytes are outside `output`
/// fragment_size  the maximum payload of a frame, in bytes; 0: unlimited
/// Throws std::bad_alloc.
template <class M>
void encode_message(const M& message, std::size_t fragment_size, OutputBuffer& output) {
    static_assert(std::same_as<M, Text> || std::same_as<M, Binary>,
                  "only these two are messages; see encode_control()");
    detail::for_each_fragment(M::opcode, message.payload(), fragment_size,
                              [&](const FrameHeader& header, Bytes part) { append_frame(output, header, part); });
}

/// Appends a control frame, unmasked as a server sends it. Throws std::bad_alloc.
/// Precondition: `opcode` is that of a control frame, and `payload` has at most 125 bytes outside `output`.
inline void encode_control(Opcode opcode, Bytes payload, OutputBuffer& output) {
    assert(is_control(opcode));
    FrameHeader header;
    header.opcode = opcode;
    header.payload_length = payload.size();
    append_frame(output, header, payload);
}

}  // namespace wsserver
