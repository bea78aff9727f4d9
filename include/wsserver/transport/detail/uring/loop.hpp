// The event loop of a UringTransport.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <vector>

#include "wsserver/transport/detail/receive_queue.hpp"
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
    ~UringLoop() { (void)finish(); }
    UringLoop(const UringLoop&) = delete;
    UringLoop& operator=(const UringLoop&) = delete;

    /// Ends all requests and drops what its members have of the program. False if the kernel has not ended all: as it
    /// may still write to the memory of the loop, this must be passed to keep().
    [[nodiscard]] bool finish() noexcept;
    /// Keeps the memory of a loop as long as the process.
    static void keep(std::unique_ptr<UringLoop> loop) noexcept;

    // For the transport; see Transport.
    OutputBuffer& output() noexcept { return output_; }
    /// Any thread.
    void post(UniqueFunction<void()> task);
    Clock::time_point now() const noexcept;
    void on_wake(UniqueFunction<void()> task) { wake_.replace_call(std::move(task)); }
    void wake_at(Clock::time_point time) { wake_.set(time); }
    void listen(ListeningSocket listener, UniqueFunction<void(UringTransport::Socket)> accepted);
    void stop_listening();
    void on_accept_paused(UniqueFunction<void(std::error_code)> paused) { accept_paused_ = std::move(paused); }
    void on_completions_lost(UniqueFunction<void()> lost) { completions_lost_ = std::move(lost); }
    void on_requests_left(UniqueFunction<void()> left) { requests_left_ = std::move(left); }
    void run();
    /// Any thread.
    void stop();
    void send_until(Clock::time_point time) noexcept { send_until_ = time; }
    /// Any thread.
    bool serves() const noexcept { return serves_.load(std::memory_order_relaxed); }
    void turn(std::optional<Clock::time_point> until);

    // For its streams and acceptors.
    UringRing& ring() noexcept { return ring_; }
    UringBuffers& buffers() noexcept { return buffers_; }
    UringSends& sends() noexcept { return sends_; }
    /// Adds a stream with one reference, which its handle takes.
    UringStream& add(Descriptor socket);
    /// Destroys a stream after its last reference was dropped.
    void remove(UringStream& stream) noexcept { streams_.destroy(stream); }
    /// Calls stream.run_deferred() in a later turn. The caller has added a reference for this call.
    /// Without memory to list it, all streams are looked at.
    void defer(UringStream& stream) noexcept;
    /// `stream` has received `bytes` in this turn.
    void note_received(const UringStream& stream, std::size_t bytes) noexcept {
        if (std::exchange(receiver_, &stream) != &stream) received_ = 0;
        received_ += bytes;
    }
    /// True if `stream` was the last to receive, and received much.
    bool has_received_much(const UringStream& stream) const noexcept {
        return receiver_ == &stream && received_ >= UringReceiveQueue::much;
    }
    bool has_received(const UringStream& stream) const noexcept { return receiver_ == &stream; }
    /// A stream found no shared buffer, because others took them.
    void note_lack_of_buffers() noexcept { buffers_lacked_ = buffers_are_short_ = true; }
    /// True if a stream must not take more than its share of the buffers.
    bool buffers_are_short() const noexcept { return buffers_are_short_; }
    /// Calls stream.receive_more() at the end of this turn.
    void receive_after_others(UringStream& stream);
    /// Calls stream.receive_more() at the end of this turn or a later one.
    void receive_in_order(UringStream& stream);
    /// Keeps a closed stream while it sends, for a limited time.
    /// Without memory for that, gives up what it sends.
    void linger(UringStream& stream);
    /// Closes `socket` at the end of the turn.
    void close_socket(Descriptor socket) { closing_.push_back(std::move(socket)); }
    void accept_paused(std::error_code why) {
        if (accept_paused_) accept_paused_(why);
    }

   private:
    bool submit_and_wait(std::optional<Clock::time_point> until);
    void submit_last();
    void finish_sending();
    void repeat_requests();
    void request_completed(bool done) noexcept;
    bool awaits_repetition() const noexcept { return repeat_at_ != Clock::time_point::max(); }
    void pause(Clock::time_point end);
    void end_requests() noexcept;
    template <class F>
    void for_each_timer(F&& f);
    void run_due_timers();
    void end_lost_requests();
    void dispatch(UringEvent event, void* target, int result, std::uint32_t flags);
    void close_sockets();
    void run_posted();
    void run_deferred();
    void run_all_deferred();
    void receive_next();
    bool may_sleep();
    void await_posts();
    void take_posts() noexcept;
    void wake_up() noexcept;
    void stop_lingering();
    void drop_lingering(Clock::time_point now);
    void free_ended_acceptors() noexcept;

    OutputBuffer output_;
    UringRing ring_;
    UringBuffers buffers_;
    UringSends sends_;
    UringStreams streams_;  // destroyed after the members that may own handles of streams
    bool in_turn_ = false;
    mutable std::optional<Clock::time_point> now_;  // the time of this turn, after the first call of now()

    UringPause pause_;

    UringPause request_pause_;  // after requests of the loop's own that the kernel has refused
    Clock::time_point repeat_at_ = Clock::time_point::max();  // when they are repeated

    UringReceiveQueue receive_queue_;        // each stream in it has one reference more
    const UringStream* receiver_ = nullptr;  // the last stream that received in this turn
    std::size_t received_ = 0;               // bytes that it received in a row
    std::vector<UringStream*> served_;       // those of receive_after_others()
    bool buffers_lacked_ = false;            // in this turn
    bool buffers_are_short_ = false;         // in this turn or the last

    std::vector<UringStream*> deferred_, running_deferred_;
    bool unlisted_deferred_ = false;   // a deferred stream may not be in deferred_
    std::vector<Descriptor> closing_;  // to be closed at the end of the turn
    struct Lingering {
        UringStream* stream;
        Clock::time_point until;
    };
    std::vector<Lingering> lingering_;
    Clock::time_point send_until_ = Clock::time_point::min();
    UringTimer linger_timer_, wake_;
    std::vector<std::unique_ptr<UringAcceptor>> acceptors_;
    bool acceptors_end_ = false;  // some are stopped
    UniqueFunction<void(std::error_code)> accept_paused_;
    UniqueFunction<void()> completions_lost_;
    std::atomic<bool> serves_{true};  // false while the requests whose completions were lost have not ended
    UniqueFunction<void()> requests_left_;
    bool all_requests_ended_ = true;
    UringLoop* next_kept_ = nullptr;

    std::mutex mutex_;
    std::vector<UniqueFunction<void()>> posted_;  // guarded by mutex_
    bool asleep_ = false;                         // guarded by mutex_; posts must wake it up
    std::atomic<bool> has_posted_{false};
    std::vector<UniqueFunction<void()>> running_;  // the tasks of run_posted(); a member to keep its memory
    Descriptor post_event_;                        // eventfd(2); post() and stop() write to it to wake the loop
    std::uint64_t post_count_ = 0;                 // the kernel reads post_event_ into it
    bool awaiting_posts_ = false;
    std::atomic<bool> stopping_{false};
};

}  // namespace wsserver::detail
