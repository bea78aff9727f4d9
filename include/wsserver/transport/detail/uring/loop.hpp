// What UringTransport keeps for its thread, and its turns.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <vector>

#include "wsserver/transport/detail/uring/acceptor.hpp"
#include "wsserver/transport/detail/uring/buffers.hpp"
#include "wsserver/transport/detail/uring/ring.hpp"
#include "wsserver/transport/detail/uring/send.hpp"
#include "wsserver/transport/detail/uring/stream.hpp"
#include "wsserver/transport/detail/uring/streams.hpp"
#include "wsserver/transport/detail/uring/timer.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

class UringLoop {
   public:
    explicit UringLoop(const UringSizes& sizes);
    ~UringLoop();
    UringLoop(const UringLoop&) = delete;
    UringLoop& operator=(const UringLoop&) = delete;

    // The transport's.
    OutputBuffer& output() noexcept { return output_; }
    /// Any thread.
    void post(UniqueFunction<void()> task);
    Clock::time_point now() const noexcept;
    void on_wake(UniqueFunction<void()> task) { wake_.replace_call(std::move(task)); }
    void wake_at(Clock::time_point time) { wake_.set(time); }
    void listen(ListeningSocket listener, UniqueFunction<void(UringTransport::Socket)> accepted);
    void stop_listening();
    void on_accept_paused(UniqueFunction<void(std::error_code)> told) { accept_paused_ = std::move(told); }
    void run();
    /// Any thread.
    void stop();
    void turn(std::optional<Clock::time_point> until);

    // Its streams' and acceptors'.
    UringRing& ring() noexcept { return ring_; }
    UringBuffers& buffers() noexcept { return buffers_; }
    UringSends& sends() noexcept { return sends_; }
    /// Adds a stream with one reference, which its handle takes.
    UringStream& add(Descriptor socket);
    /// Destroys a stream after its last reference was dropped.
    void remove(UringStream& stream) noexcept { streams_.destroy(stream); }
    /// Calls stream.do_later() in a later turn. The caller has counted a reference for that.
    void later(UringStream& stream) { later_.push_back(&stream); }
    /// Keeps a closed stream for as long as it sends, but not for ever.
    void linger(UringStream& stream);
    /// At the end of the turn.
    void close_socket(Descriptor socket) { closing_.push_back(std::move(socket)); }
    void accept_paused(std::error_code why) {
        if (accept_paused_) accept_paused_(why);
    }

   private:
    void hand_over(std::optional<Clock::time_point> until);
    void dispatch(UringEvent event, void* whom, int result, std::uint32_t flags);
    void close_sockets();
    void run_posted();
    void run_later();
    bool may_sleep();
    void await_posts();
    void wake_up() noexcept;
    void stop_lingering();

    OutputBuffer output_;
    UringRing ring_;
    UringBuffers buffers_;
    UringSends sends_;
    UringStreams streams_;  // before all that may own handles of them
    bool in_turn_ = false;
    mutable std::optional<Clock::time_point> now_;  // of this turn, once somebody has asked

    std::vector<UringStream*> later_, doing_;
    std::vector<Descriptor> closing_;
    struct Lingering {
        UringStream* stream;
        Clock::time_point until;
    };
    std::vector<Lingering> lingering_;
    UringTimer linger_timer_, wake_;
    std::vector<std::unique_ptr<UringAcceptor>> acceptors_;
    UniqueFunction<void(std::error_code)> accept_paused_;

    std::mutex mutex_;
    std::vector<UniqueFunction<void()>> posted_;  // guarded by mutex_
    bool asleep_ = false;                         // guarded by mutex_; posts must wake it up
    std::atomic<bool> has_posted_{false};
    std::vector<UniqueFunction<void()>> running_;  // what run_posted() took; kept for its memory
    Descriptor post_event_;
    std::uint64_t post_count_ = 0;
    bool awaiting_posts_ = false;
    std::atomic<bool> stopping_{false};
};

}  // namespace wsserver::detail
