// The state of a stream on a UringLoop.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "wsserver/base/output_buffer.hpp"
#include "wsserver/transport/detail/receive_queue.hpp"
#include "wsserver/transport/detail/send_batch.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"
#include "wsserver/transport/detail/uring/send.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

class UringLoop;
class UringStream;

/// Three large shares leave more than half of the shared buffers to the other streams.
using UringReceiveQueue = ReceiveQueue<UringStream*, 3>;

/// What was received while a stream was paused.
struct UringHeld {
    OutputBuffer bytes{};
    bool ended = false;  // the peer has ended its direction
    int error = 0;       // an errno
};

/// State that few streams need, and only for a short time.
struct UringRareState {
    std::optional<UringHeld> held{};
    std::optional<ReceiveBuffer> buffer{};  // lent by the user; the kernel receives into it
};

/// Counts references: of its handle (UringTransport::Stream) and of requests in flight. Aligned so that the low bits of
/// its address can contain a UringEvent.
class alignas(uring_event_bits + 1) UringStream {
   public:
    /// `place` is its index in its page (UringStreams).
    UringStream(UringLoop& loop, Descriptor socket, std::uint8_t place) noexcept
        : loop_(loop), socket_(std::move(socket)), place_(place & 0x7FU) {}
    UringStream(const UringStream&) = delete;
    UringStream& operator=(const UringStream&) = delete;

    // For the handle; see TransportStream.
    void start(StreamUser& user);
    bool send(std::span<const SendPiece> pieces);
    void pause_receiving() noexcept { paused_ = true; }
    void resume_receiving();
    void shutdown_send();
    std::uint64_t unsent(std::uint64_t passed) const noexcept;
    void close();
    std::string peer() const;
    /// Closes the stream without calling the user again, and drops the reference of the handle.
    void abandon();

    // For the loop.
    /// Handles a completion of a receive request.
    void received(int result, std::uint32_t flags);
    /// Handles the completion of a send request.
    void sent(UringSend& send, int result);
    /// Its requests have ended without their completions: what was received and sent is not known, so it fails. Calls
    /// the user later.
    void requests_lost();
    /// Receives the next bytes; see UringLoop::receive_in_order().
    void receive_more(std::size_t share);
    /// Does what was deferred to a later turn; see UringLoop::defer().
    void run_deferred();
    bool is_deferred() const noexcept { return deferred_; }
    bool is_sending() const noexcept { return send_ != nullptr; }
    bool is_closed() const noexcept { return closed_; }
    /// Cancels the send of a closed stream that has lingered for too long.
    void give_up_sending();

    void add_reference() noexcept {
        assert(references_ < most_references);
        ++references_;
    }
    void drop_reference() noexcept {
        if (--references_ == 0) remove_from_loop();
    }

    std::uint8_t place() const noexcept { return place_; }

   private:
    enum class Sending : std::uint8_t {
        open,
        ending,  // shutdown_send() was called
        failed,
        failure_reported,  // nothing works any more
    };
    /// send() returns true for at most this many bytes as soon as they are prepared, because the kernel nearly always
    /// takes them at the end of the turn.
    static constexpr std::size_t promised_size = std::size_t{64} << 10;

    /// The handle, a receive request or a place in the queue for one, a send request, a deferred call and lingering;
    /// and one more while a request that has just ended is followed by the next one.
    static constexpr unsigned most_references = 6;
    /// The largest errno of the kernel is 4095.
    static constexpr unsigned error_bits = 12;

    bool may_receive() const noexcept { return user_ != nullptr && !closed_ && !ended_ && !paused_; }
    enum class ReceiveMode : bool { shared, direct };
    void receive_again(int result, ReceiveMode mode);
    void receive_later();
    void await_bytes(ReceiveMode mode = ReceiveMode::shared, std::size_t share = UringReceiveQueue::share);
    void await_bytes_in(ReceiveBuffer buffer);
    void stop_awaiting_bytes();
    void received_shared(MutableBytes bytes);
    void received_direct(int result);
    UringHeld* held() const noexcept { return rare_ && rare_->held ? &*rare_->held : nullptr; }
    UringHeld& hold();
    UringRareState& rare();
    void hold_bytes(Bytes bytes);
    void deliver_held();
    void peer_ended();
    void receive_failed(int error);
    void send_done(std::unique_ptr<SendBatch> next);
    void send_failed(int error);
    void end_failed();
    void receive_rest();
    void report_failure(int error);
    void half_close() noexcept;
    void close_socket();
    void defer();
    void remove_from_loop() noexcept;
    template <class F>
    void in_turn(F&& f);

    UringLoop& loop_;
    StreamUser* user_ = nullptr;  // null before start() and after on_released()
    UringSend* send_ = nullptr;   // in flight
    std::unique_ptr<UringRareState> rare_;
    // The members from here on have eight bytes together.
    Descriptor socket_;
    std::uint16_t send_error_ : error_bits = 0;
    Sending sending_ : 2 = Sending::open;
    bool owes_on_sent_ : 1 = false;
    bool deferred_ : 1 = false;
    bool awaiting_bytes_ : 1 = false;  // a receive request is in flight
    bool cancelling_ : 1 = false;      // and is being cancelled
    bool paused_ : 1 = false;
    bool ended_ : 1 = false;  // the direction of the peer
    bool closed_ : 1 = false;
    std::uint8_t references_ : 3 = 0;  // up to most_references
    std::uint8_t place_ : 7;
    std::uint8_t queued_ : 1 = 0;  // in a queue of the loop, and receive_more() follows
};

/// Drops one reference at its end, also after an exception.
class UringReference {
   public:
    explicit UringReference(UringStream& stream) noexcept : stream_(stream) {}
    UringReference(const UringReference&) = delete;
    UringReference& operator=(const UringReference&) = delete;
    ~UringReference() { stream_.drop_reference(); }

    UringStream* operator->() const noexcept { return &stream_; }

   private:
    UringStream& stream_;
};

// Each connection has one.
static_assert(sizeof(UringStream) <= 40);

}  // namespace wsserver::detail
