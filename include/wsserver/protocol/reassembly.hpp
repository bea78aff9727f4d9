// Payloads that are sent or arrive in several pieces: what is checked of each piece, and the memory that collects them.
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
#include "wsserver/base/memory_account.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/base/receive_buffer.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/protocol/message.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// What is known of an incomplete message (RFC 6455 §5.4): its type, its size so far, and whether its text is valid.
class MessageProgress {
   public:
    /// opcode  of the message: text or binary
    explicit MessageProgress(Opcode opcode) noexcept : opcode_(opcode), is_checked_(opcode == Opcode::text) {
        assert(is_data(opcode));
    }

    /// Its text is known to be valid: from now on its pieces are only counted.
    void trust() noexcept { is_checked_ = false; }

    /// Counts another frame of this message.
    void count_fragment() noexcept { ++fragments_; }
    /// Checks and counts the next piece. Returns false if the text cannot become valid UTF-8.
    bool pass(Bytes piece) noexcept {
        if (!check(piece)) return false;
        count(piece);
        return true;
    }

    /// Whether the message may end here. False for a text that ends within a character.
    bool may_end_here() const noexcept { return !is_checked_ || validator_.complete(); }

    Opcode opcode() const noexcept { return opcode_; }             ///< of the message: text or binary
    std::size_t fragments() const noexcept { return fragments_; }  ///< frames so far, with the first; at least 1
    std::size_t size() const noexcept { return size_; }            ///< bytes of payload so far

   protected:
    /// The two halves of pass().
    bool check(Bytes piece) noexcept { return !is_checked_ || validator_.append(piece); }
    void count(Bytes piece) noexcept { size_ += piece.size(); }  ///< see check()

   private:
    std::size_t size_ = 0;
    std::size_t fragments_ = 1;
    Opcode opcode_;
    bool is_checked_;
    Utf8Validator validator_;
};

/// A message that arrives in fragments, which may arrive in pieces, and is collected. The buffer grows with the bytes
/// received, so that the length in a header alone costs no memory. It reserves addresses for at most 16 times the bytes
/// received; without that a message of 1 MiB would be copied twice.
class MessageReassembly final : public MessageProgress, public MessageHolder {
   public:
    /// opcode   that of the first fragment: text or binary
    /// account  counts the payload; may be null
    explicit MessageReassembly(Opcode opcode, MemoryAccount* account = nullptr) noexcept
        : MessageProgress(opcode), charge_(account) {}

    /// Appends unmasked payload. `piece` may be in the buffer of prepare_buffer(), after commit_buffer(). `remaining`
    /// more bytes of this frame follow. Returns false if the text cannot become valid UTF-8.
    bool append(Bytes piece, std::size_t remaining = 0) {
        if (!check(piece)) return false;
        if (payload_.capacity() - payload_.size() < piece.size()) reserve(piece.size(), remaining);
        const MutableBytes to = payload_.extend(piece.size());
        if (to.data() != piece.data() && !piece.empty()) std::memcpy(to.data(), piece.data(), piece.size());
        count(piece);
        charge_.set(size());
        return true;
    }

    /// Gives away the message's memory, so that the bytes for the next append() are received into it. The buffer has
    /// `least_buffer` bytes or more, but at most `remaining`. It is empty if not wants_buffer(): then it is better to
    /// receive the next bytes elsewhere and to copy them. If it is not empty, the next call must be commit_buffer().
    ReceiveBuffer prepare_buffer(std::size_t remaining) {
        if (!wants_buffer(remaining)) return {};
        if (payload_.capacity() - payload_.size() < std::min(remaining, least_buffer)) reserve(0, remaining);
        const std::size_t begin = payload_.size();
        const std::size_t count = std::min(payload_.capacity() - begin, remaining);
        return {payload_.exchange_memory({}), begin, count};
    }
    /// Whether prepare_buffer() returns memory. It does not while too few bytes were received to reserve that much.
    bool wants_buffer(std::size_t remaining) const noexcept {
        const std::size_t least = std::min(remaining, least_buffer);
        return payload_.capacity() - payload_.size() >= least || reservable(size(), remaining) >= least;
    }
    /// Takes back the buffer of prepare_buffer().
    void commit_buffer(ReceiveBuffer buffer) noexcept {
        if (buffer.memory.data() != nullptr) payload_.restore_memory(std::move(buffer.memory), buffer.begin);
    }

    /// The memory of a complete message, for a sender; null if the message is so short that a copy is cheaper.
    MessageHolder* holder() noexcept { return size() >= least_taken ? this : nullptr; }
    /// The size as the account has it, also while the buffer of prepare_buffer() is away.
    std::size_t held() const noexcept { return charge_.bytes(); }
    /// The payload so far. Valid until the next append() or prepare_buffer().
    Bytes payload() const noexcept override { return payload_.bytes().subspan(unused_); }

    /// The smallest buffer to receive into, in bytes, unless the frame has less. Waiting for readiness and one more
    /// receive cost 1.1 us, as much as copying half of this.
    static constexpr std::size_t least_buffer = std::size_t{32} << 10;
    /// The smallest message whose memory is worth taking, in bytes. The frames around it and its place in a send queue
    /// cost five allocations, as much as copying a third of this.
    static constexpr std::size_t least_taken = std::size_t{32} << 10;

   private:
    /// See MessageHolder. The account does not count the payload any more.
    OwnedPayload take() noexcept override {
        const MutableBytes bytes = payload_.bytes().subspan(std::exchange(unused_, 0));
        charge_.set(0);
        return {payload_.exchange_memory({}), bytes};
    }

    static constexpr std::size_t reserve_factor = 16;
    static constexpr std::size_t cache_line = 64;

    /// The number of the remaining bytes for which memory may be reserved after `received` bytes.
    static constexpr std::size_t reservable(std::size_t received, std::size_t remaining) noexcept {
        return std::min(remaining, received * reserve_factor);
    }

    void reserve(std::size_t count, std::size_t remaining) {
        const std::size_t more = reservable(size() + count, remaining);
        payload_.reserve(count + more + cache_line);
        if (size() > 0 || more == 0) return;
        // Align the bytes after this piece, which may be received in place, to a cache line: the kernel copies 1.6
        // times as fast then.
        const auto next = reinterpret_cast<std::uintptr_t>(std::as_const(payload_).bytes().data()) + count;
        unused_ = (cache_line - next % cache_line) % cache_line;
        payload_.extend(unused_);
    }

    OutputBuffer payload_;
    std::size_t unused_ = 0;  ///< bytes at the beginning of payload_, for alignment
    MemoryCharge charge_;
};

/// The payload of a control frame. A control frame may arrive between two fragments of a message.
class ControlAssembly {
   public:
    /// Precondition: the payload has at most max_control_payload bytes in total.
    void append(Bytes piece) noexcept {
        assert(size_ + piece.size() <= bytes_.size());
        if (!piece.empty()) std::memcpy(bytes_.data() + size_, piece.data(), piece.size());
        size_ = static_cast<std::uint8_t>(size_ + piece.size());
    }

    /// The payload so far, at most 125 bytes. Valid as long as this object; append() adds to it.
    Bytes payload() const noexcept { return {bytes_.data(), size_}; }

   private:
    std::array<std::uint8_t, max_control_payload> bytes_;
    std::uint8_t size_ = 0;
};

/// The incomplete payloads of one connection. A payload that was completed stays until the next call, as an event views
/// it.
struct PartialPayloads {
    std::optional<MessageReassembly> message{};  ///< while a data frame or a fragmented message is incomplete
    std::optional<MessageProgress> passing{};    ///< the same for a message of which each piece was an event
    std::optional<ControlAssembly> control{};    ///< while a control frame is incomplete
    bool skipped = false;                        ///< the rest of `passing` makes no events
    bool message_delivered = false;              ///< an event views `message`
    bool control_delivered = false;              ///< an event views `control`

    /// Releases the payloads that the last event viewed. For Protocol, at the beginning of the next call.
    void drop_delivered() noexcept {
        if (message_delivered) message.reset();
        if (control_delivered) control.reset();
        message_delivered = control_delivered = false;
    }
    /// Whether there is neither an incomplete payload nor one that an event views.
    bool empty() const noexcept { return !message && !passing && !control; }
    /// The incomplete message, collected or not; null: there is none.
    MessageProgress* open() noexcept { return message ? &*message : passing ? &*passing : nullptr; }
};

}  // namespace wsserver
