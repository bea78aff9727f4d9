// The state of a stream of a MemoryTransport.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>

#include "wsserver/transport/detail/memory/end.hpp"
#include "wsserver/transport/detail/send_batch.hpp"
#include "wsserver/transport/memory.hpp"

namespace wsserver::detail {

/// Receives and sends in posted turns, which keep it alive.
class MemoryStream : public std::enable_shared_from_this<MemoryStream> {
   public:
    explicit MemoryStream(MemoryTransport& transport) : transport_(transport) { transport_.reserve_posts(most_posts); }
    MemoryStream(const MemoryStream&) = delete;
    MemoryStream& operator=(const MemoryStream&) = delete;
    ~MemoryStream() { transport_.release_posts(most_posts); }
    /// A stream with one reference, which its handle takes.
    static MemoryStream& make(MemoryTransport& transport, MemorySocket socket);

    void start(StreamUser& user);
    bool send(std::span<const SendPiece> pieces);
    void pause_receiving() noexcept { paused_ = true; }
    void resume_receiving();
    void shutdown_send();
    std::uint64_t unsent(std::uint64_t passed) const noexcept;
    void close();
    /// Closes the stream without calling the user again, and drops the reference of the handle.
    void abandon();
    std::string peer() const { return end_ && !closed_ ? end_->peer_name : std::string{}; }
    /// Called when sends are no longer held.
    void resume_sending() { send_soon(); }

   private:
    enum class Sending : std::uint8_t {
        open,
        ending,  // shutdown_send() was called
        failed,
        failure_reported,  // nothing works any more
    };
    struct Sent {
        std::size_t count = 0;
        bool all = false;
        std::error_code error{};
    };

    /// A receive, a send, the error of a send, and the end.
    static constexpr std::size_t most_posts = 4;

    bool may_receive() const noexcept { return user_ != nullptr && !closed_ && !ended_ && !paused_; }
    void receive_soon() noexcept;
    void receive_turn();
    bool receive();
    void receive_into_buffer(std::size_t count);
    void receive_into(ReceiveBuffer buffer, std::size_t count);
    Sent send_now(std::span<const SendPiece> pieces);
    void send_soon() noexcept;
    void send_turn();
    void send_failed(std::error_code error);
    void report_failure(std::error_code error);
    template <class F>
    void in_turn(F&& f);

    MemoryTransport& transport_;
    std::shared_ptr<MemoryEnd> end_;
    std::shared_ptr<MemoryStream> self_;  // the reference of the handle
    StreamUser* user_ = nullptr;          // null before start() and after on_released()
    std::optional<SendBatch> batch_;
    Sending sending_ = Sending::open;
    bool receive_posted_ = false;
    bool send_posted_ = false;
    bool paused_ = false;
    bool ended_ = false;
    bool closed_ = false;
};

}  // namespace wsserver::detail
