// What is kept of payloads that the end of a receive or of a fragment has cut, for as long as they are cut.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/base/receive_buffer.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// A message put together from its fragments, and these from their pieces (RFC 6455 §5.4). The buffer grows with
/// what has come: what a header merely announces costs no memory. It takes what is announced at its word as far as
/// to 16 times of what has come, as addresses only; without that a message of 1 MiB is copied twice over.
class MessageReassembly {
   public:
    /// `opcode`: text or binary, that of the first fragment.
    explicit MessageReassembly(Opcode opcode) noexcept : opcode_(opcode) { assert(is_data(opcode)); }

    /// A further frame of this message has begun.
    void count_fragment() noexcept { ++fragments_; }

    /// Adds unmasked payload, which may lie in the room that was lent for it; `to_come` more bytes of this frame will
    /// follow. False if the text can't become valid UTF-8 any more.
    bool append(Bytes piece, std::size_t to_come = 0) {
        if (opcode_ == Opcode::text && !validator_.append(piece)) return false;
        if (payload_.capacity() - payload_.size() < piece.size()) reserve(piece.size(), to_come);
        const MutableBytes place = payload_.extend(piece.size());
        if (place.data() != piece.data() && !piece.empty()) std::memcpy(place.data(), piece.data(), piece.size());
        return true;
    }

    /// Its memory, to be overwritten behind what has come: by what the next append() adds, at most `to_come` bytes.
    /// At least `least_buffer` of them, or all. Nothing, as long as so little has come that no such room is believed:
    /// the next bytes had better be received elsewhere and copied. Nothing else may be asked of it until
    /// commit_buffer(), unless that was nothing.
    ReceiveBuffer prepare_buffer(std::size_t to_come) {
        if (!wants_buffer(to_come)) return {};
        if (payload_.capacity() - payload_.size() < std::min(to_come, least_buffer)) reserve(0, to_come);
        const std::size_t begin = payload_.size();
        const std::size_t room = std::min(payload_.capacity() - begin, to_come);
        return {payload_.exchange_memory({}), begin, room};
    }
    /// Would lend() give some?
    bool wants_buffer(std::size_t to_come) const noexcept {
        const std::size_t least = std::min(to_come, least_buffer);
        return payload_.capacity() - payload_.size() >= least || believable(size(), to_come) >= least;
    }
    /// What lend() gave.
    void commit_buffer(ReceiveBuffer buffer) noexcept {
        if (buffer.memory.data() != nullptr) payload_.restore_memory(std::move(buffer.memory), buffer.begin);
    }

    /// False for a text that ends within a character; asked when the last fragment is whole.
    bool may_end_here() const noexcept { return opcode_ != Opcode::text || validator_.complete(); }

    Opcode opcode() const noexcept { return opcode_; }
    std::size_t fragments() const noexcept { return fragments_; }
    std::size_t size() const noexcept { return payload_.size() - unused_; }
    /// Valid until the next append().
    Bytes payload() const noexcept { return payload_.bytes().subspan(unused_); }

    /// In bytes. To wait for readiness and receive once more costs 1.1 us, and so does copying half of this.
    static constexpr std::size_t least_buffer = std::size_t{32} << 10;

   private:
    static constexpr std::size_t believed = 16;
    static constexpr std::size_t cache_line = 64;

    /// So many bytes of those announced get memory when `come` bytes have come.
    static constexpr std::size_t believable(std::size_t come, std::size_t to_come) noexcept {
        return std::min(to_come, come * believed);
    }

    void reserve(std::size_t count, std::size_t to_come) {
        const std::size_t more = believable(size() + count, to_come);
        payload_.reserve(count + more + cache_line);
        if (size() > 0 || more == 0) return;
        // What follows this piece, which may be received in place, begins a cache line: the kernel copies 1.6 times
        // as fast then.
        const auto next = reinterpret_cast<std::uintptr_t>(std::as_const(payload_).bytes().data()) + count;
        unused_ = (cache_line - next % cache_line) % cache_line;
        payload_.extend(unused_);
    }

    OutputBuffer payload_;
    std::size_t unused_ = 0;  ///< the first bytes of payload_
    std::size_t fragments_ = 1;
    Opcode opcode_;
    Utf8Validator validator_;
};

/// A control frame's payload; may arrive while a message is cut, between two fragments.
class ControlAssembly {
   public:
    /// Precondition: at most max_control_payload bytes in all.
    void append(Bytes piece) noexcept {
        assert(size_ + piece.size() <= bytes_.size());
        if (!piece.empty()) std::memcpy(bytes_.data() + size_, piece.data(), piece.size());
        size_ = static_cast<std::uint8_t>(size_ + piece.size());
    }

    Bytes payload() const noexcept { return {bytes_.data(), size_}; }

   private:
    std::array<std::uint8_t, max_control_payload> bytes_;
    std::uint8_t size_ = 0;
};

/// Both, and whether they are whole by now: then their event is out, and the next call takes them away.
struct PartialPayloads {
    std::optional<MessageReassembly> message{};
    std::optional<ControlAssembly> control{};
    bool message_delivered = false;
    bool control_delivered = false;

    void drop_delivered() noexcept {
        if (message_delivered) message.reset();
        if (control_delivered) control.reset();
        message_delivered = control_delivered = false;
    }
    bool empty() const noexcept { return !message && !control; }
};

}  // namespace wsserver
