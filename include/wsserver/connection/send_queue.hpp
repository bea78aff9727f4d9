// The output that waits to be sent on one connection: bounded and in order of priority. Exists only while output waits.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/memory_account.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/protocol/message_frames.hpp"
#include "wsserver/protocol/reassembly.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// The result of a push.
struct PushResult {
    SendStatus status = SendStatus::queued;  ///< of the pushed frames: queued, dropped or closed
    std::size_t dropped = 0;                 ///< messages that the policy dropped, perhaps including the pushed one
    bool must_close = false;                 ///< the connection must be closed with 1013; status is `closed`
};

/// Holds encoded frames until the transport takes them. Messages are sent in the order in which they were pushed. Ping
/// and Pong overtake them, also between the fragments of a message (RFC 6455 §5.4). Close is sent when no message waits
/// (§5.5.1: "The application MUST NOT send any more data frames after sending a Close frame").
///
/// One message may be open: it is pushed in parts. Messages that are pushed meanwhile are after it, as the frames of
/// two messages must not be mixed (§5.4): they wait until its last part was pushed, or it is abandoned.
///
/// The policy drops complete messages of which no frame has been taken, whether or not they are replies: it considers
/// only how long a message waits. It never drops a message that was pushed in parts: if such a one is over the hard
/// limit, the connection must close.
///
/// What is after the open message has a limit of its own, the hard limit, because its peer cannot take it: it does not
/// count for parts, Pings and Pongs. Messages over that limit meet the policy, which then drops others after the open
/// message only. At the end of the message, what was after it counts for no limit until it has left. Used by one
/// thread.
class SendQueue {
   public:
    /// Keeps a reference to `limits`, which must outlive the queue and may change. `account` counts memory(); it may be
    /// null. Throws std::bad_alloc.
    explicit SendQueue(const SendQueueLimits& limits, MemoryAccount* account = nullptr)
        : limits_(limits), charge_(account) {}
    SendQueue(const SendQueue&) = delete;
    SendQueue& operator=(const SendQueue&) = delete;

    /// Copies `frames`, as the protocol encoded them: all frames of one message, of a part, Pings and Pongs, or a Close
    /// frame. Over the hard limit, Pings and Pongs are dropped, or the connection must close. After a Close frame, the
    /// result for messages and further Close frames is `closed`. After the last part, no message is open.
    PushResult push(Bytes frames, SendKind kind);
    /// The same for a message or a part, but copies it only if it is short. Otherwise `owner` keeps `frames` alive.
    /// `memory` is what the message adds to memory(): 0 if others hold it, too.
    PushResult push_shared(const std::shared_ptr<const void>& owner, Bytes frames, SendKind kind = SendKind::message,
                           std::size_t memory = 0);
    /// The same for a message whose frames are not in one place. `owner` keeps `message` alive.
    PushResult push_frames(const std::shared_ptr<const void>& owner, const MessageFrames& message, SendKind kind,
                           std::size_t memory);

    /// Opens a message, of which nothing was sent yet, unless the policy drops it: then the result is `dropped`.
    /// Precondition: no message is open.
    PushResult open_message(Opcode opcode);
    /// What the parts so far were, which their sender notes; null: no message is open.
    MessageProgress* open_message() noexcept { return open_ ? &*open_ : nullptr; }
    /// True if a message is open and its next part is the next thing to send.
    bool is_free_for_part() const noexcept {
        return open_ && in_flight_ == 0 && controls_.empty() && after_.runs == runs_.size();
    }
    /// The last part was sent without the queue, or is in it. What is after the message may leave.
    void end_message() noexcept {
        spared_ += delayed();
        open_.reset();
        after_ = {};
        watch_marks();
    }
    /// True if messages wait for the end of the open one.
    bool delays_messages() const noexcept { return after_.runs > 0; }
    /// True if what waits for the end of the open message is over the limit, and nothing else is.
    bool delays_too_much() const noexcept { return delayed() > limits_.hard_limit && counted() <= limits_.hard_limit; }
    /// Since when the open message has got no part while others wait for its end, in the milliseconds of its user; it
    /// notes that, and it is forgotten at the end of the message.
    std::optional<std::uint32_t>& delays_since() noexcept { return after_.since; }
    /// The open message, if there is one, will not end, because a Close frame follows what was pushed of it. Discards
    /// what is after it. Returns the number of messages that are lost.
    std::size_t abandon_message() noexcept;

    /// Queues bytes that are not frames: of an HTTP answer. Only while no frames wait. Copies them.
    void push_raw(Bytes bytes);
    /// The same, but `owner` keeps `bytes` alive.
    void push_raw_shared(const std::shared_ptr<const void>& owner, Bytes bytes);

    /// Takes the frames to send next: appends pieces to `batch`, which are complete frames of at most `max_bytes` in
    /// total, but at least one frame. Returns false if nothing waits. Each piece has an owner. in_flight() counts the
    /// bytes until batch_sent(). Precondition: nothing is in flight.
    bool take(std::size_t max_bytes, std::vector<SendPiece>& batch);
    /// Counts bytes that were passed to the transport without the queue. They are in flight until batch_sent().
    /// `memory` is as for push_shared().
    void add_in_flight(std::size_t bytes, std::size_t memory = 0) noexcept {
        in_flight_ += bytes;
        memory_in_flight_ += memory;
        watch_marks();
    }
    /// The transport has sent the bytes in flight.
    void batch_sent() noexcept {
        in_flight_ = memory_in_flight_ = 0;
        shared_sent_ = shared_begun_;
        watch_marks();
    }

    /// Discards all waiting messages, Pings and Pongs, including the rest of a message that has begun. After this, only
    /// a Close frame may follow. Returns the number of discarded messages.
    std::size_t discard() noexcept;

    /// True if nothing waits, nothing is in flight, and no message is open. The queue may then be destroyed.
    bool idle() const noexcept { return bytes() == 0 && !open_; }
    /// Bytes that wait or are in flight.
    std::size_t bytes() const noexcept { return waiting_ + controls_.size() + close_.size() + in_flight_; }
    /// Bytes that the transport has not sent yet.
    std::size_t in_flight() const noexcept { return in_flight_; }
    /// Bytes that are free when the queue is destroyed and nothing is in flight: copies, messages of this connection
    /// only, and the bookkeeping. A message that was partly sent counts as a whole.
    std::size_t memory() const noexcept {
        return memory_ + memory_in_flight_ + controls_.size() + close_.size() + runs_.size() * sizeof(Run);
    }
    /// Bytes that wait or are in flight and are not in memory(), because others hold them, too. A message that was
    /// partly sent counts as a whole, as it is free only when all of it is sent.
    std::size_t shared() const noexcept { return shared_left() + shared_sent_; }
    /// The same without what was sent.
    std::size_t shared_left() const noexcept {
        const std::size_t all = waiting_ + in_flight_, own = memory_ + memory_in_flight_;
        return all - std::min(all, own);
    }
    /// Messages whose last frame waits.
    std::size_t messages() const noexcept { return messages_; }

    // What is after the open message does not count in these, as only the sender of the message makes it leave.

    /// True if the connection must not read from its peer: from when the queue is over the high mark until it is at
    /// most half of the high mark.
    bool holds_reading() const noexcept { return holds_reading_; }
    /// True if someone waits for is_low(): the queue was over the high mark, or want_drained() was called, and
    /// drained() was not called since.
    bool wants_drained() const noexcept { return wants_drained_; }
    /// See wants_drained().
    void want_drained() noexcept { wants_drained_ = true; }
    /// See wants_drained().
    void drained() noexcept { wants_drained_ = false; }
    /// True if the queue is at most half of the high mark, or of the hard limit if that is less.
    bool is_low() const noexcept { return may_leave() <= std::min(limits_.high_mark, limits_.hard_limit) / 2; }
    /// True if the queue, with its bookkeeping, is over the high mark.
    bool is_over_high_mark() const noexcept { return may_leave() > limits_.high_mark; }

   private:
    using FramesApart = std::span<const MessageFrames::Frame>;
    /// Contiguous complete frames, of which the last one ends a message or a part. Or other bytes. Or the rest of one
    /// message whose frames are not in one place.
    struct Run {
        Run(std::shared_ptr<const void> keeps, Bytes bytes, std::uint32_t ending, std::size_t its_memory,
            bool parts = false) noexcept
            : owner(std::move(keeps)), frames(bytes), memory(its_memory), messages(ending), has_parts(parts) {}
        Run(std::shared_ptr<const void> keeps, FramesApart message, std::size_t its_memory) noexcept
            : owner(std::move(keeps)), apart(message), memory(its_memory), messages(1), is_apart(true) {}

        std::size_t size() const noexcept {
            if (!is_apart) return frames.size();
            std::size_t sum = 0;
            for (const auto& frame : apart) sum += frame.size();
            return sum;
        }

        bool are_frames() const noexcept { return messages > 0 || has_parts; }
        /// False for parts and for bytes that are not frames.
        bool may_be_dropped() const noexcept { return !has_parts && messages > 0; }

        std::shared_ptr<const void> owner;
        union {
            Bytes frames;       ///< unless is_apart
            FramesApart apart;  ///< if is_apart; not empty
        };
        std::size_t memory;      ///< its part of memory_
        std::uint32_t messages;  ///< that end in the run
        bool is_apart = false;
        bool has_parts = false;  ///< of messages that were pushed in parts, and no other frames
    };
    /// The last runs, which wait for the end of the open message.
    struct After {
        std::size_t runs = 0;
        std::size_t bytes = 0;
        std::optional<std::uint32_t> since{};  ///< see delays_since()
    };
    using RunPlace = std::deque<Run>::iterator;

    /// What waits for the end of the open message, with its bookkeeping.
    std::size_t delayed() const noexcept { return after_.bytes + after_.runs * sizeof(Run); }
    /// The rest of the queue.
    std::size_t may_leave() const noexcept { return bytes() + runs_.size() * sizeof(Run) - delayed(); }
    /// The part of may_leave() that counts for the limits.
    std::size_t counted() const noexcept { return may_leave() - std::min(spared_, may_leave()); }
    bool is_after(SendKind kind) const noexcept { return open_ && !is_part(kind); }
    std::pair<RunPlace, RunPlace> waiting_runs(bool after);
    void watch_marks() noexcept;
    template <class Append>
    PushResult push_message(std::size_t size, SendKind kind, Append&& append);
    PushResult push_control(Bytes frames);
    PushResult push_close(Bytes frame);
    PushResult admit(SendKind kind);
    bool drop_oldest(bool after);
    std::size_t drop_waiting(bool after);
    void isolate_begun();
    void add(Run run);
    void uncount(const Run& run) noexcept;
    Run* last_run(SendKind kind) noexcept;
    void append_copy(Bytes frames, SendKind kind, std::uint32_t messages = 1);
    SendPiece take_raw(std::size_t max_bytes);
    void hand_out(std::vector<std::uint8_t> bytes, std::vector<SendPiece>& batch);
    SendPiece take_from_front(std::size_t max_bytes, bool at_least_one);
    bool take_apart(std::size_t max_bytes, std::vector<SendPiece>& batch);

    const SendQueueLimits& limits_;
    std::deque<Run> runs_;
    std::vector<std::uint8_t> controls_;  ///< Pings and Pongs; sent together
    std::vector<std::uint8_t> close_;
    bool close_pushed_ = false;
    bool takes_messages_ = true;
    bool begun_ = false;  ///< the first waiting frame continues a message that was partly taken
    std::optional<MessageProgress> open_;
    After after_;
    std::size_t spared_ = 0;  ///< of may_leave(): it was after a message that has ended, and counts for no limit
    bool holds_reading_ = false;
    bool wants_drained_ = false;
    std::size_t waiting_ = 0;   ///< bytes in runs_
    std::size_t messages_ = 0;  ///< in runs_
    std::size_t in_flight_ = 0;
    std::size_t memory_ = 0;            ///< of runs_, without bookkeeping
    std::size_t memory_in_flight_ = 0;  ///< of the pieces in flight
    std::size_t shared_begun_ = 0;      ///< taken bytes of a message that others hold, too, and of which some wait
    std::size_t shared_sent_ = 0;       ///< sent bytes of such a message of which some wait or are in flight
    MemoryCharge charge_;               ///< memory()

    // The block that messages are copied into. It never moves, so parts of it may be in flight.
    std::shared_ptr<std::uint8_t[]> block_;
    std::size_t block_size_ = 0, block_capacity_ = 0;
};

}  // namespace wsserver
