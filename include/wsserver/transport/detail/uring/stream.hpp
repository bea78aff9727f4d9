// The life of one stream on a UringLoop, counted by its handle (UringTransport::Stream) and by the orders that the
// kernel still has of it.
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
#include "wsserver/transport/detail/send_batch.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"
#include "wsserver/transport/detail/uring/send.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

class UringLoop;

/// What came while a stream was paused.
struct UringHeld {
    OutputBuffer bytes{};
    bool ended = false;
    int error = 0;
};

/// What few streams have, and not for long.
struct UringRareState {
    std::optional<UringHeld> held{};
    std::optional<ReceiveBuffer> buffer{};  // lent; the kernel receives into it
};

/// Its address has room for a UringEvent.
class alignas(uring_event_bits + 1) UringStream {
   public:
    /// `place`: its number among those that it lies side by side with.
    UringStream(UringLoop& loop, Descriptor socket, std::uint8_t place) noexcept
        : loop_(loop), socket_(std::move(socket)), place_(place) {}
    UringStream(const UringStream&) = delete;
    UringStream& operator=(const UringStream&) = delete;

    // The handle's.
    void start(StreamUser& user);
    bool send(std::span<const SendPiece> pieces);
    void pause_receiving() noexcept { paused_ = true; }
    void resume_receiving();
    void shutdown_send();
    void close();
    std::string peer() const;
    /// Closes the stream without calling the user again, and drops the reference of the handle.
    void abandon();

    // The loop's: what the kernel says.
    void received(int result, std::uint32_t flags);
    void sent(UringSend& send, int result);
    /// What it wanted to do in a later turn (see UringLoop::later).
    void do_later();
    bool is_sending() const noexcept { return send_ != nullptr; }
    /// Its bytes have waited for long enough after close().
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
        failure_told,  // nothing works any more
    };
    /// So many bytes count as gone once they are prepared: the kernel nearly always takes them at the end of the turn.
    static constexpr std::size_t promised_size = std::size_t{64} << 10;

    /// The handle, a receive order, a send order, a later turn, lingering; and one more while what has just come to its
    /// end is followed by the next of its kind.
    static constexpr unsigned most_references = 6;
    /// The kernel's errors end at 4095.
    static constexpr unsigned error_bits = 12;

    bool may_receive() const noexcept { return user_ != nullptr && !closed_ && !ended_ && !paused_; }
    enum class ReceiveMode : bool { shared, direct };
    void await_bytes(ReceiveMode mode = ReceiveMode::shared);
    void await_bytes_in(ReceiveBuffer buffer);
    void stop_awaiting_bytes();
    void took(MutableBytes bytes);
    void room_filled(int result);
    UringHeld* held() const noexcept { return rare_ && rare_->held ? &*rare_->held : nullptr; }
    UringHeld& hold();
    UringRareState& rare();
    void hold_bytes(Bytes bytes);
    void tell_held();
    void peer_ended();
    void receive_failed(int error);
    void send_done(std::unique_ptr<SendBatch> next);
    void send_failed(int error);
    void end_failed();
    void receive_the_last();
    void tell_failure(int error);
    void half_close() noexcept;
    void close_socket();
    void do_this_later();
    void remove_from_loop() noexcept;

    UringLoop& loop_;
    StreamUser* user_ = nullptr;  // null before start() and after on_released()
    UringSend* send_ = nullptr;   // the kernel's
    std::unique_ptr<UringRareState> rare_;
    // From here on eight bytes.
    Descriptor socket_;
    std::uint16_t send_error_ : error_bits = 0;
    Sending sending_ : 2 = Sending::open;
    bool owes_on_sent_ : 1 = false;
    bool later_ : 1 = false;
    bool awaiting_bytes_ : 1 = false;  // the kernel has a receive order
    bool cancelling_ : 1 = false;      // ... and was told to drop it
    bool paused_ : 1 = false;
    bool ended_ : 1 = false;  // the peer's direction
    bool closed_ : 1 = false;
    std::uint8_t references_ : 3 = 0;  // up to most_references
    std::uint8_t place_;
};

// There is one for each connection.
static_assert(sizeof(UringStream) <= 40);

}  // namespace wsserver::detail
