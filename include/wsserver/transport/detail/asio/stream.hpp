// The state of a stream on an AsioLoop.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>

#include "wsserver/transport/detail/asio/loop.hpp"
#include "wsserver/transport/detail/send_batch.hpp"

namespace wsserver::detail {

/// Counts references: of its handle (AsioTransport::Stream) and of pending operations.
class AsioStream {
   public:
    using Pointer = boost::intrusive_ptr<AsioStream>;

    AsioStream(AsioLoop& loop, Descriptor socket);
    AsioStream(const AsioStream&) = delete;
    AsioStream& operator=(const AsioStream&) = delete;

    void start(StreamUser& user);
    bool send(std::span<const SendPiece> pieces);
    void pause_receiving() noexcept { paused_ = true; }
    void resume_receiving();
    void shutdown_send();
    std::uint64_t unsent(std::uint64_t passed) const noexcept;
    void close();
    std::string peer() const;
    /// Receives the next bytes; see AsioLoop::receive_in_order().
    void receive_more() {
        queued_ = false;
        await_bytes();
    }
    /// Closes the stream without calling the user again, and drops the reference of the handle.
    void abandon();

   private:
    class ReadOperation;
    enum class Sending : std::uint8_t {
        open,
        ending,  // shutdown_send() was called
        failed,
        failure_reported,  // nothing works any more
    };

    // The read operation is always in flight on an idle stream, so its memory is a part of the stream: an echo does not
    // allocate, and an idle connection needs no block of its own. A version of Asio that needs more allocates it.
    static constexpr std::size_t operation_size = 88;  // the request of Asio 1.24 (Boost 1.81), in bytes
    void* allocate_operation(std::size_t size);
    void free_operation(void* place) noexcept;

    bool may_receive() const noexcept { return user_ != nullptr && !closed_ && !ended_ && !paused_; }
    void await_bytes();
    void receive_later();
    void readable();
    std::size_t receive();
    void writable();
    void await_writable();
    void half_close() noexcept;
    void send_failed(int error);
    void report_failure(int error);
    void release();
    template <class F>
    void in_turn(F&& f);

    friend void intrusive_ptr_add_ref(AsioStream* stream) noexcept { ++stream->references_; }
    friend void intrusive_ptr_release(AsioStream* stream) noexcept {
        if (--stream->references_ == 0) delete stream;
    }

    AsioLoop& loop_;
    StreamUser* user_ = nullptr;  // null before start() and after on_released()
    WaitableDescriptor socket_;
    std::unique_ptr<SendBatch> batch_;  // in flight
    std::uint8_t references_ = 1;       // at most five: the handle, two operations, two posted calls
    Sending sending_ = Sending::open;
    bool awaiting_bytes_ = false;  // the read operation is in flight
    bool queued_ = false;          // in the loop's queue, and receive_more() follows
    bool paused_ = false;
    bool ended_ = false;  // the direction of the peer
    bool closed_ = false;
    bool operation_taken_ = false;  // operation_ is in use
    alignas(void*) std::byte operation_[operation_size];
};

}  // namespace wsserver::detail
