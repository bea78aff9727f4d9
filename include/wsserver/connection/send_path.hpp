// One connection's way out: straight from the thread's arena while the peer keeps up, through a send queue when it
// doesn't.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/connection/send_queue.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// Frames are encoded at the end of the arena; settle() then leaves them there, for the one send at the turn's
/// end, or moves them to the queue. Of `owner` it takes the queue's limits, when it makes one. Belongs to the
/// transport's thread.
template <Transport T>
class SendPath {
   public:
    /// More than this doesn't go out of the arena in one turn: what has been handed to the transport can't be
    /// overtaken by a pong any more.
    static constexpr std::size_t max_batch = std::size_t{256} << 10;

    /// Bytes written to the arena from now on may stay there until end_turn().
    void begin_turn(T& transport) noexcept { turn_start_ = transport.output().size(); }
    bool in_turn() const noexcept { return turn_start_ != no_turn; }
    /// What is still in the arena has no stream any more.
    void end_turn(T& transport) noexcept {
        transport.output().truncate(turn_start_);
        turn_start_ = no_turn;
    }

    std::size_t mark(T& transport) const noexcept { return transport.output().size(); }

    /// Decides where the bytes after `mark` in the arena wait.
    PushResult settle(T& transport, const ConnectionOwner& owner, std::size_t mark, SendKind kind) {
        OutputBuffer& arena = transport.output();
        if (arena.size() == mark) return {};
        if (in_turn() && !queue_ && arena.size() - turn_start_ <= max_batch) return {};
        const PushResult result = push(queue(owner), std::as_const(arena).bytes().subspan(mark), kind, arena);
        arena.truncate(mark);
        return result;
    }

    PushResult push_shared(const ConnectionOwner& owner, const std::shared_ptr<const void>& memory, Bytes frames) {
        return queue(owner).push_shared(memory, frames);
    }

    /// Nothing is before `frames`, and they are no longer than a batch: they may go past the queue.
    bool is_free_for(Bytes frames) const noexcept { return !queue_ && !in_turn() && frames.size() <= max_batch; }
    /// Precondition: is_free_for(frames).
    void send_directly(typename T::Stream& stream, const ConnectionOwner& owner,
                       const std::shared_ptr<const void>& memory, Bytes frames) {
        const SendPiece piece{frames, memory};
        if (!stream.send({&piece, 1})) queue(owner).add_in_flight(frames.size());
    }

    /// Hands over as much as the transport takes: first what this turn left in the arena. Returns the bytes.
    std::uint64_t send(typename T::Stream& stream, T& transport, const ConnectionOwner& owner) {
        std::uint64_t bytes = send_arena(stream, transport, owner);
        while (queue_ && queue_->in_flight() == 0) {
            thread_local std::vector<SendPiece> batch;
            batch.clear();
            if (!queue_->take(max_batch, batch)) break;
            bytes += queue_->in_flight();
            if (stream.send(batch)) queue_->batch_sent();
            batch.clear();  // what hasn't left has further owners
        }
        if (queue_ && queue_->idle()) queue_.reset();
        return bytes;
    }

    /// The batch in flight has left.
    void on_sent() noexcept {
        if (queue_) queue_->batch_sent();
    }

    /// Throws away what waits, but not what is in flight. Returns how many messages that were.
    std::size_t discard() noexcept { return queue_ ? queue_->discard() : 0; }

    bool idle() const noexcept { return !queue_; }
    bool holds_reading() const noexcept { return queue_ && queue_->holds_reading(); }
    std::size_t queued() const noexcept { return queue_ ? queue_->bytes() : 0; }

   private:
    /// Beyond this a copy costs more than new memory for the arena.
    static constexpr std::size_t kept_size = std::size_t{64} << 10;
    static constexpr std::size_t no_turn = std::numeric_limits<std::size_t>::max();

    SendQueue& queue(const ConnectionOwner& owner) {
        if (!queue_) queue_ = std::make_unique<SendQueue>(owner.options().send_queue);
        return *queue_;
    }

    /// A long message that fills the arena alone takes the arena's memory with it.
    static PushResult push(SendQueue& queue, Bytes frames, SendKind kind, OutputBuffer& arena) {
        const bool is_alone = frames.size() == arena.size();
        if (!is_message(kind) || !is_alone || frames.size() <= kept_size) return queue.push(frames, kind);
        const auto owner = std::make_shared<const PooledBuffer>(arena.exchange_memory({}));
        return queue.push_shared(owner, frames, kind);
    }

    std::uint64_t send_arena(typename T::Stream& stream, T& transport, const ConnectionOwner& owner) {
        if (!in_turn()) return 0;
        OutputBuffer& arena = transport.output();
        const SendPiece piece{std::as_const(arena).bytes().subspan(turn_start_)};
        if (piece.bytes.empty()) return 0;
        const std::size_t bytes = piece.bytes.size();
        if (!stream.send({&piece, 1})) queue(owner).add_in_flight(bytes);
        arena.truncate(turn_start_);
        return bytes;
    }

    std::unique_ptr<SendQueue> queue_;  ///< while something waits or is in flight
    std::size_t turn_start_ = no_turn;  ///< in the arena
};

}  // namespace wsserver
