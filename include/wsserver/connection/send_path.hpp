// The output of one connection: sent directly from the thread's arena while the peer keeps up, and through a send queue
// when it does not.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/connection/send_queue.hpp"
#include "wsserver/transport/detail/clear_at_end.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// Frames are encoded at the end of the arena. settle() then leaves them there, for the single send at the end of the
/// turn, or moves them to the queue. After std::bad_alloc only discard() may be called. `owner` provides the limits
/// when a queue is made. Used on the transport's thread.
template <Transport T>
class SendPath {
   public:
    /// The most bytes that are sent from the arena in one turn. A Pong cannot overtake bytes that were passed to the
    /// transport.
    static constexpr std::size_t max_batch = std::size_t{256} << 10;

    /// Bytes written to the arena from now on may stay there until end_turn().
    void begin_turn(T& transport) noexcept { turn_start_ = transport.output().size(); }
    /// True between begin_turn() and end_turn().
    bool in_turn() const noexcept { return turn_start_ != no_turn; }
    /// Removes the bytes that are still in the arena: their stream is closed.
    void end_turn(T& transport) noexcept {
        transport.output().truncate(turn_start_);
        turn_start_ = no_turn;
    }

    /// The end of the arena, for settle().
    std::size_t mark(T& transport) const noexcept { return transport.output().size(); }

    /// Leaves the bytes after `mark` in the arena, or moves them to the queue.
    PushResult settle(T& transport, const ConnectionOwner& owner, std::size_t mark, SendKind kind) {
        OutputBuffer& arena = transport.output();
        if (arena.size() == mark) return {};
        const bool fits = in_turn() && arena.size() - turn_start_ <= max_batch;
        if (fits && !queue_) return {};
        if (fits && is_part(kind) && queue_->is_free_for_part()) {
            if (kind == SendKind::last_part) queue_->end_message();
            return {};
        }
        const PushResult result = push(queue(owner), std::as_const(arena).bytes().subspan(mark), kind, arena);
        arena.truncate(mark);
        return result;
    }

    /// Opens a message that is sent in parts; see SendQueue. There is a queue until its end.
    PushResult open_message(const ConnectionOwner& owner, Opcode opcode) { return queue(owner).open_message(opcode); }
    /// What the parts so far were; null: no message is open.
    MessageProgress* open_message() noexcept { return queue_ ? queue_->open_message() : nullptr; }
    /// The open message ends without a part. Precondition: it has none.
    void cancel_message() noexcept { queue_->end_message(); }
    /// See SendQueue::delays_messages().
    bool delays_messages() const noexcept { return queue_ && queue_->delays_messages(); }
    /// See SendQueue::delays_too_much().
    bool delays_too_much() const noexcept { return queue_ && queue_->delays_too_much(); }
    /// See SendQueue::delays_since(); null without a queue.
    std::optional<std::uint32_t>* delays_since() noexcept { return queue_ ? &queue_->delays_since() : nullptr; }
    /// See SendQueue::abandon_message().
    std::size_t abandon_message() noexcept { return queue_ ? queue_->abandon_message() : 0; }

    /// The same for bytes that are not frames: of an HTTP answer.
    void settle_raw(T& transport, const ConnectionOwner& owner, std::size_t mark) {
        OutputBuffer& arena = transport.output();
        if (in_turn() && !queue_ && arena.size() - turn_start_ <= max_batch) return;
        queue(owner).push_raw(std::as_const(arena).bytes().subspan(mark));
        arena.truncate(mark);
    }
    /// Queues such bytes after those in the arena. `memory` keeps them alive.
    void push_raw_shared(const ConnectionOwner& owner, const std::shared_ptr<const void>& memory, Bytes bytes) {
        queue(owner).push_raw_shared(memory, bytes);
    }
    /// The bytes that this turn has written to the arena. Precondition: in_turn().
    std::size_t written(T& transport) const noexcept { return transport.output().size() - turn_start_; }

    /// Queues one encoded message; see SendQueue::push_shared().
    PushResult push_shared(const ConnectionOwner& owner, const std::shared_ptr<const void>& memory, Bytes frames,
                           SendKind kind) {
        return queue(owner).push_shared(memory, frames, kind);
    }

    /// The same for a message that has its own memory. `memory` is what it adds to SendQueue::memory().
    PushResult push_frames(const ConnectionOwner& owner, const std::shared_ptr<const void>& keeps,
                           const MessageFrames& message, SendKind kind, std::size_t memory) {
        return queue(owner).push_frames(keeps, message, kind, memory);
    }

    /// True if no output is before `frames` and they are at most `max_batch` long: they may be sent without the queue.
    bool is_free_for(Bytes frames) const noexcept { return !queue_ && !in_turn() && frames.size() <= max_batch; }
    /// Sends `frames` without the queue. `memory` keeps them alive. Precondition: is_free_for(frames).
    void send_directly(typename T::Stream& stream, const ConnectionOwner& owner,
                       const std::shared_ptr<const void>& memory, Bytes frames) {
        const SendPiece piece{frames, memory};
        if (!stream.send({&piece, 1})) queue(owner).add_in_flight(frames.size());
    }

    /// Sends as much as the transport takes, beginning with this turn's bytes in the arena. Returns the number of
    /// bytes.
    std::uint64_t send(typename T::Stream& stream, T& transport, const ConnectionOwner& owner) {
        std::uint64_t bytes = send_arena(stream, transport, owner);
        while (queue_ && queue_->in_flight() == 0) {
            thread_local std::vector<SendPiece> batch;
            const detail::ClearAtEnd taken(batch);  // the transport keeps the owners of bytes that it has not sent
            if (!queue_->take(max_batch, batch)) break;
            bytes += queue_->in_flight();
            if (stream.send(batch)) queue_->batch_sent();
        }
        if (queue_ && queue_->idle()) queue_.reset();
        return bytes;
    }

    /// The kernel has taken the batch in flight.
    void on_sent() noexcept {
        if (queue_) queue_->batch_sent();
    }

    /// Discards the output that waits, but not the batch in flight. Returns the number of discarded messages.
    std::size_t discard() noexcept { return queue_ ? queue_->discard() : 0; }

    /// True if nothing is queued or in flight, and no message is open.
    bool idle() const noexcept { return !queue_; }
    /// True if a message is open that is sent in parts.
    bool has_open_message() const noexcept { return queue_ && queue_->open_message() != nullptr; }
    /// True if the connection must not read from its peer; see SendQueue.
    bool holds_reading() const noexcept { return queue_ && queue_->holds_reading(); }
    /// Bytes that were not yet passed to the transport.
    std::size_t waiting() const noexcept { return queue_ ? queue_->bytes() - queue_->in_flight() : 0; }
    /// See SendQueue::memory().
    std::size_t memory() const noexcept { return queue_ ? queue_->memory() : 0; }
    /// See SendQueue::shared().
    std::size_t shared() const noexcept { return queue_ ? queue_->shared() : 0; }
    /// See SendQueue::shared_left().
    std::size_t shared_left() const noexcept { return queue_ ? queue_->shared_left() : 0; }
    /// Bytes that are queued or in flight.
    std::size_t queued() const noexcept { return queue_ ? queue_->bytes() : 0; }
    /// The same with those of this turn that are still in the arena.
    std::size_t queued(T& transport) const noexcept {
        return queued() + (in_turn() ? transport.output().size() - turn_start_ : 0);
    }
    /// See SendQueue::wants_drained(). False if nothing is queued.
    bool wants_drained() const noexcept { return queue_ && queue_->wants_drained(); }
    /// From now on, wants_drained(), if is_low() is false.
    void want_drained() noexcept {
        if (queue_) queue_->want_drained();
    }
    /// Ends wants_drained().
    void drained() noexcept {
        if (queue_) queue_->drained();
    }
    /// See SendQueue::is_low().
    bool is_low() const noexcept { return !queue_ || queue_->is_low(); }

   private:
    /// Above this size, a copy costs more than new memory for the arena.
    static constexpr std::size_t kept_size = std::size_t{64} << 10;
    static constexpr std::size_t no_turn = std::numeric_limits<std::size_t>::max();

    SendQueue& queue(const ConnectionOwner& owner) {
        if (!queue_) queue_ = std::make_unique<SendQueue>(owner.options().send_queue, owner.protocol_options().memory);
        return *queue_;
    }

    /// Queues `frames`. A long message that is alone in the arena takes over the arena's memory.
    static PushResult push(SendQueue& queue, Bytes frames, SendKind kind, OutputBuffer& arena) {
        const bool is_alone = frames.size() == arena.size();
        const bool is_data = is_message(kind) || is_part(kind);
        if (!is_data || !is_alone || frames.size() <= kept_size) return queue.push(frames, kind);
        const auto owner = std::make_shared<const PooledBuffer>(arena.exchange_memory({}));
        return queue.push_shared(owner, frames, kind, owner->capacity());
    }

    std::uint64_t send_arena(typename T::Stream& stream, T& transport, const ConnectionOwner& owner) {
        if (!in_turn()) return 0;
        OutputBuffer& arena = transport.output();
        const SendPiece piece{std::as_const(arena).bytes().subspan(turn_start_)};
        if (piece.bytes.empty()) return 0;
        const std::size_t bytes = piece.bytes.size();
        if (!stream.send({&piece, 1})) queue(owner).add_in_flight(bytes, bytes);
        arena.truncate(turn_start_);
        return bytes;
    }

    std::unique_ptr<SendQueue> queue_;  ///< while something waits or is in flight
    std::size_t turn_start_ = no_turn;  ///< in the arena
};

}  // namespace wsserver
