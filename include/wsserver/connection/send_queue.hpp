// What one connection still has to send: bounded, in order of priority, made only while something has to wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// What became of a push.
struct PushResult {
    SendStatus status = SendStatus::queued;  ///< of what was pushed: queued, dropped or closed
    std::size_t dropped = 0;                 ///< messages that the policy dropped; the pushed one may be one of them
    bool must_close = false;                 ///< the policy wants the connection closed (1013); status is `closed`
};

/// Holds encoded frames until the transport takes them. Messages leave in the order in which they came; Ping and
/// Pong overtake them, also between the fragments of one (RFC 6455 §5.4); Close leaves when no message waits any
/// more (§5.5.1: "The application MUST NOT send any more data frames after sending a Close frame").
///
/// What the policy drops are whole messages of which nothing has been handed out, replies as well as others: it
/// asks how long a message waits, not whose it is. Belongs to one thread.
class SendQueue {
   public:
    /// `limits` is kept by reference and must outlive the queue; it may change.
    explicit SendQueue(const SendQueueLimits& limits) noexcept : limits_(limits) {}
    SendQueue(const SendQueue&) = delete;
    SendQueue& operator=(const SendQueue&) = delete;

    /// Copies `frames`, as the protocol encoded them: all frames of one message; Pings and Pongs; or a Close frame.
    /// Over the hard limit Pings and Pongs are dropped, or the connection must close. After a Close frame, messages
    /// and further Close frames answer `closed`.
    PushResult push(Bytes frames, SendKind kind);
    /// The same for a message, without a copy unless it is short: `owner` keeps `frames` alive.
    PushResult push_shared(const std::shared_ptr<const void>& owner, Bytes frames, SendKind kind = SendKind::message);

    /// Hands out what leaves next: appends pieces to `batch`, whole frames of together at most `max_bytes`, but
    /// at least one frame. False if nothing waits. Each piece has an owner; in_flight() counts them until
    /// batch_sent(). Precondition: nothing is in flight.
    bool take(std::size_t max_bytes, std::vector<SendPiece>& batch);
    /// Bytes that left for the transport without passing through the queue: in flight until batch_sent().
    void add_in_flight(std::size_t bytes) noexcept {
        in_flight_ += bytes;
        watch_marks();
    }
    void batch_sent() noexcept {
        in_flight_ = 0;
        watch_marks();
    }

    /// Throws away all messages, Pings and Pongs that wait, the rest of a message that has begun too: after this
    /// only a Close frame may follow. Returns how many messages that were.
    std::size_t discard() noexcept;

    /// Nothing waits and nothing is in flight: the queue may be destroyed.
    bool idle() const noexcept { return bytes() == 0; }
    /// Bytes that wait or are in flight.
    std::size_t bytes() const noexcept { return waiting_ + controls_.size() + close_.size() + in_flight_; }
    std::size_t in_flight() const noexcept { return in_flight_; }
    /// Messages of which something waits.
    std::size_t messages() const noexcept { return messages_; }

    /// The connection must not read from its peer: from over the high mark until no more than half of it is left.
    bool holds_reading() const noexcept { return holds_reading_; }
    bool is_over_high_mark() const noexcept { return load() > limits_.high_mark; }

   private:
    /// Whole frames that lie one behind the other, with the end of a message at their end.
    struct Run {
        std::shared_ptr<const void> owner;
        Bytes frames;
        std::size_t messages;  ///< that end in it
    };

    std::size_t load() const noexcept { return bytes() + runs_.size() * sizeof(Run); }
    void watch_marks() noexcept;
    template <class Append>
    PushResult push_message(Bytes frames, SendKind kind, Append&& append);
    PushResult push_control(Bytes frames);
    PushResult push_close(Bytes frame);
    PushResult admit(SendKind kind);
    bool drop_oldest();
    std::size_t drop_waiting();
    void isolate_begun();
    void append_copy(Bytes frames);
    void hand_out(std::vector<std::uint8_t> bytes, std::vector<SendPiece>& batch);
    SendPiece take_from_front(std::size_t max_bytes, bool at_least_one);

    const SendQueueLimits& limits_;
    std::deque<Run> runs_;
    std::vector<std::uint8_t> controls_;  ///< Pings and Pongs; leave together
    std::vector<std::uint8_t> close_;
    bool close_pushed_ = false;
    bool takes_messages_ = true;
    bool begun_ = false;  ///< the first waiting frame continues a message that has partly left
    bool holds_reading_ = false;
    std::size_t waiting_ = 0;   ///< bytes in runs_
    std::size_t messages_ = 0;  ///< in runs_
    std::size_t in_flight_ = 0;

    // The block that copies go to. It never moves, so parts of it may be in flight.
    std::shared_ptr<std::uint8_t[]> block_;
    std::size_t block_size_ = 0, block_capacity_ = 0;
};

}  // namespace wsserver
