// The frames of a message whose payload stays in the memory that it is in.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/pooled_buffer.hpp"
#include "wsserver/protocol/encode.hpp"
#include "wsserver/protocol/frame.hpp"
#include "wsserver/protocol/message.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// Owns the memory of a message, and the headers of its frames (RFC 6455 §5.4). It does not change, so that any number
/// of send queues can share it.
class MessageFrames {
   public:
    /// One frame: `header()`, then `payload`.
    struct Frame {
        std::array<std::uint8_t, max_frame_header> header_bytes;  ///< of which header() is the used part
        std::uint8_t header_size;                                 ///< in bytes
        Bytes payload;                                            ///< as it is sent: that of a client is masked

        /// Valid as long as the MessageFrames.
        Bytes header() const noexcept { return {header_bytes.data(), header_size}; }
        /// In bytes.
        std::size_t size() const noexcept { return header_size + payload.size(); }
    };

    /// Whether frames of this many bytes are long enough for headers apart from the payload. Each of them costs 32
    /// bytes and two pieces of the few dozen that one call to the kernel can take; up to this length, a copy is
    /// cheaper. `fragment_size` is as for encode_message().
    static constexpr bool has_long_fragments(std::size_t fragment_size) noexcept {
        return fragment_size == 0 || fragment_size >= std::size_t{8} << 10;
    }
    /// Whether take() is better than a copy.
    static bool may_take(const AnyMessage& message, std::size_t fragment_size) noexcept {
        return message.has_memory() && has_long_fragments(fragment_size);
    }

    MessageFrames() = default;
    MessageFrames(const MessageFrames&) = delete;
    MessageFrames& operator=(const MessageFrames&) = delete;

    /// Takes the memory of `message` and makes its frames. `fragment_size` is as for encode_message(). Calls
    /// complete(FrameHeader&, MutableBytes) for each frame, which may mask the part of the payload. Returns null if the
    /// memory was taken before. If it throws std::bad_alloc, nothing was taken. Precondition: message.has_memory().
    template <class F>
    static std::shared_ptr<const MessageFrames> take(const AnyMessage& message, std::size_t fragment_size,
                                                     F&& complete) {
        auto made = std::make_shared<MessageFrames>();
        made->reserve(message.payload().size(), fragment_size);
        made->make(message.opcode(), message.take(), fragment_size, std::forward<F>(complete));
        return made->frames_.empty() ? nullptr : made;
    }

    /// Allocates memory for the frames of `size` bytes, so that make() needs none. Throws std::bad_alloc.
    void reserve(std::size_t size, std::size_t fragment_size) {
        frames_.reserve(fragment_size > 0 ? size / fragment_size + 1 : 1);
    }
    /// The same as take(), unless `payload` has no memory. Call it once, after reserve().
    template <class F>
    void make(Opcode opcode, OwnedPayload payload, std::size_t fragment_size, F&& complete) {
        if (payload.memory.data() == nullptr) return;
        memory_ = std::move(payload.memory);
        MutableBytes rest = payload.bytes;
        detail::for_each_fragment(opcode, payload.bytes, fragment_size, [&](FrameHeader header, Bytes part) {
            complete(header, rest.first(part.size()));
            rest = rest.subspan(part.size());
            Frame& frame = frames_.emplace_back();
            frame.header_size = static_cast<std::uint8_t>(encode_header(frame.header_bytes, header));
            frame.payload = part;
            size_ += frame.size();
        });
    }
    /// The same as a server sends them.
    void make_unmasked(Opcode opcode, OwnedPayload payload, std::size_t fragment_size) {
        make(opcode, std::move(payload), fragment_size, [](const FrameHeader&, MutableBytes) {});
    }

    /// In order. Valid as long as the object.
    std::span<const Frame> frames() const noexcept { return frames_; }
    /// The bytes of all frames.
    std::size_t size() const noexcept { return size_; }
    /// The memory that it owns, in bytes.
    std::size_t memory() const noexcept { return memory_.capacity() + frames_.capacity() * sizeof(Frame); }

   private:
    PooledBuffer memory_;
    std::vector<Frame> frames_;
    std::size_t size_ = 0;
};

}  // namespace wsserver
