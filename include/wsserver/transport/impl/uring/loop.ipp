// The turns of a UringLoop: submits, waits, dispatches completions, and runs posted tasks.
#pragma once

#include "wsserver/transport/detail/uring/loop.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/transport/detail/clear_at_end.hpp"

namespace wsserver::detail {

namespace {

/// How long a closed stream may still send bytes for which send() returned true.
constexpr std::chrono::seconds linger_time{5};
constexpr std::chrono::seconds linger_interval{1};

/// How long a loop that ends waits for the last sends: a stop with a nearer deadline cannot reach it any more.
constexpr std::chrono::milliseconds longest_finish{800};

/// The loops whose memory the kernel may still use. They are never freed.
std::atomic<UringLoop*> kept_loops{nullptr};

Descriptor open_event() {
    Descriptor event{::eventfd(0, EFD_CLOEXEC)};
    if (!event) throw std::system_error(errno, std::system_category(), "eventfd");
    return event;
}

}  // namespace

UringLoop::UringLoop(const UringSizes& sizes)
    : ring_(sizes),
      buffers_(ring_, sizes),
      sends_(ring_, output_),
      linger_timer_(ring_, [this] { stop_lingering(); }),
      wake_(ring_, {}),
      post_event_(open_event()) {}

bool UringLoop::finish() noexcept {
    // Otherwise the kernel could send from memory, and receive into memory, that has been freed.
    end_requests();
    for (const auto& acceptor : acceptors_) acceptor->abandon();
    // Tasks that never ran may own streams.
    wake_.replace_call({});
    std::exchange(posted_, {}).clear();
    accept_paused_ = {};
    completions_lost_ = {};
    requests_left_ = {};
    for (const Lingering& one : lingering_) one.stream->give_up_sending();
    closing_.clear();
    post_event_.reset();
    ring_.close();
    // The completions are dropped. streams_ destroys the streams that have no handle any more.
    return all_requests_ended_;
}

void UringLoop::keep(std::unique_ptr<UringLoop> loop) noexcept {
    loop->next_kept_ = kept_loops.load();
    while (!kept_loops.compare_exchange_weak(loop->next_kept_, loop.get())) {
    }
    (void)loop.release();
}

void UringLoop::end_requests() noexcept {
    const bool ended = ring_.cancel_all();
    ring_.shut();
    if (ended) return;
    all_requests_ended_ = false;
    if (requests_left_) (void)within_memory(requests_left_);
}

// --- A turn ---

void UringLoop::run() {
    while (!stopping_.load(std::memory_order_acquire)) turn(std::nullopt);
    finish_sending();
    submit_last();
    end_requests();
}

/// Waits until closed streams have sent what they have. Drops the completions of all others.
void UringLoop::finish_sending() {
    const auto send = [this](UringEvent event, void* target, int result, std::uint32_t flags) {
        const bool is_for_closed_stream =
            event == UringEvent::sent && static_cast<UringSend*>(target)->stream->is_closed();
        if (is_for_closed_stream || event == UringEvent::closed) dispatch(event, target, result, flags);
    };
    UringPause pause;
    const auto until = std::min(send_until_, later(Clock::now(), longest_finish));
    for (auto now = Clock::now(); now < until && !ring_.has_lost_completions(); now = Clock::now()) {
        drop_lingering(now);
        if (lingering_.empty()) return;
        const auto next = std::min(until, now + linger_interval);
        ring_.turn(UringRing::Wait::yes, next) ? pause.reset() : std::this_thread::sleep_for(pause.next());
        ring_.for_each_completion(send);
    }
}

/// Submits the sends and closes of the last turn. Waits only if the kernel refuses, at most 127 ms.
void UringLoop::submit_last() {
    UringPause pause;
    while (!submit_and_wait(std::nullopt) && !pause.has_grown()) std::this_thread::sleep_for(pause.next());
}

void UringLoop::stop() {
    stopping_.store(true, std::memory_order_release);
    const std::lock_guard lock(mutex_);
    if (asleep_) wake_up();
}

/// Submits what the last turn prepared, waits, and passes each completion to its target.
void UringLoop::turn(std::optional<Clock::time_point> until) {
    in_turn_ = false;  // an exception may have ended the last turn
    now_.reset();
    const bool submitted = submit_and_wait(until);
    in_turn_ = true;
    if (ring_.has_lost_completions()) end_lost_requests();
    ring_.for_each_completion([this](UringEvent event, void* target, int result, std::uint32_t flags) {
        dispatch(event, target, result, flags);
    });
    if (!submitted || awaits_repetition()) run_due_timers();
    run_posted();
    if (acceptors_end_) free_ended_acceptors();
    run_deferred();
    receive_next();
    in_turn_ = false;
    now_.reset();
}

/// Returns false if the kernel has refused. If there is nothing else to do, a pause has then passed.
bool UringLoop::submit_and_wait(std::optional<Clock::time_point> until) {
    close_sockets();
    repeat_requests();
    const bool wait = may_sleep();
    const bool wait_in_kernel = wait && !awaits_repetition();
    const bool submitted = ring_.turn(wait_in_kernel ? UringRing::Wait::yes : UringRing::Wait::no, until);
    if (submitted) pause_.reset();
    if (wait && !(submitted && wait_in_kernel) && !ring_.has_completions()) {
        const auto again = submitted ? repeat_at_ : Clock::now() + pause_.next();
        pause(std::min(again, until.value_or(Clock::time_point::max())));
    }
    if (!wait) return submitted;
    const std::lock_guard lock(mutex_);
    asleep_ = false;
    return submitted;
}

/// Requests again what the kernel has refused, when it is time. Until then pause() does their work.
void UringLoop::repeat_requests() {
    if (awaits_repetition()) {
        if (Clock::now() < repeat_at_) return;
        repeat_at_ = Clock::time_point::max();
        for_each_timer([](UringTimer& timer) { timer.request_again(); });
    }
    await_posts();
}

/// A request of the loop's own has ended: it is done, or the kernel has refused it. Another one at once could be
/// refused again, without end.
void UringLoop::request_completed(bool done) noexcept {
    if (done) {
        request_pause_.reset();
    } else if (!awaits_repetition()) {
        repeat_at_ = Clock::now() + request_pause_.next();
    }
}

/// Waits until `end`, until a timer is due, for a completion or for another thread.
void UringLoop::pause(Clock::time_point end) {
    for_each_timer([&end](const UringTimer& timer) { end = std::min(end, timer.time()); });
    std::array<pollfd, 2> events{pollfd{post_event_.get(), POLLIN, 0}, pollfd{ring_.completion_event(), POLLIN, 0}};
    const auto time = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    ::poll(events.data(), events.size(), static_cast<int>(std::max<std::chrono::milliseconds::rep>(time.count(), 0)));
    if (events[0].revents != 0) take_posts();
}

template <class F>
void UringLoop::for_each_timer(F&& f) {
    f(wake_);
    f(linger_timer_);
    for (const auto& acceptor : acceptors_) f(acceptor->retry_timer());
}

/// The kernel may not have their requests yet.
void UringLoop::run_due_timers() {
    for_each_timer([](UringTimer& timer) { (void)within_memory([&timer] { timer.call_if_due(); }); });
}

void UringLoop::dispatch(UringEvent event, void* target, int result, std::uint32_t flags) {
    switch (event) {
        case UringEvent::received:
            return static_cast<UringStream*>(target)->received(result, flags);
        case UringEvent::sent: {
            auto& send = *static_cast<UringSend*>(target);
            return send.stream->sent(send, result);
        }
        case UringEvent::peers:
            return static_cast<UringAcceptor*>(target)->completed(result);
        case UringEvent::timer:
            (void)within_memory([&] { request_completed(static_cast<UringTimer*>(target)->completed(result)); });
            return;
        case UringEvent::timer_moved:
            return request_completed(static_cast<UringTimer*>(target)->moved(result));
        case UringEvent::posted:
            awaiting_posts_ = false;
            return request_completed(result >= 0);
        case UringEvent::closed:
            return UringRing::closed(target, result);
        case UringEvent::none:
            return;
    }
}

Clock::time_point UringLoop::now() const noexcept {
    if (!in_turn_) return Clock::now();
    if (!now_) now_ = Clock::now();
    return *now_;
}

/// What has become of a request is unknown, so all of them end, and streams that had one fail. The others go on. The
/// next turn tries again if the kernel refuses, or has not ended all: what it has may still be written to and
/// completed.
void UringLoop::end_lost_requests() {
    if (serves_.exchange(false, std::memory_order_relaxed) && completions_lost_) (void)within_memory(completions_lost_);
    if (!ring_.abandon_requests()) return;
    if (!buffers_.renew(ring_)) return;
    ring_.resume();
    awaiting_posts_ = false;
    for_each_timer([](UringTimer& timer) { timer.requests_lost(); });
    for (const auto& acceptor : acceptors_) acceptor->request_lost();
    streams_.requests_lost();
    serves_.store(true, std::memory_order_relaxed);
}

// --- Posted tasks ---

void UringLoop::post(UniqueFunction<void()> task) {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
    has_posted_.store(true, std::memory_order_relaxed);
    if (std::exchange(asleep_, false)) wake_up();
}

/// Runs only the tasks that were queued when it began, so that tasks that post tasks do not delay the streams.
void UringLoop::run_posted() {
    if (!has_posted_.load(std::memory_order_relaxed)) return;
    {
        const std::lock_guard lock(mutex_);
        std::swap(posted_, running_);
        has_posted_.store(false, std::memory_order_relaxed);
    }
    const ClearAtEnd tasks(running_);
    for (auto& task : running_) (void)within_memory(task);  // one that runs out of memory ends there
}

void UringLoop::defer(UringStream& stream) noexcept {
    if (unlisted_deferred_) return;
    unlisted_deferred_ = !within_memory([&] { deferred_.push_back(&stream); });
}

/// Searches all streams, because there was no memory to list one.
void UringLoop::run_all_deferred() {
    deferred_.clear();
    while (UringStream* const stream = streams_.find_deferred()) stream->run_deferred();
    unlisted_deferred_ = false;
}

void UringLoop::run_deferred() {
    if (unlisted_deferred_) return run_all_deferred();
    std::swap(deferred_, running_deferred_);
    const ClearAtEnd streams(running_deferred_);
    for (UringStream* stream : running_deferred_) stream->run_deferred();
}

void UringLoop::receive_in_order(UringStream& stream) {
    receive_queue_.push(&stream);
    stream.add_reference();
}

void UringLoop::receive_after_others(UringStream& stream) {
    served_.push_back(&stream);
    stream.add_reference();
}

/// Runs at the end of a turn: the requests of streams that found no buffer are already prepared, and get the buffers
/// first.
void UringLoop::receive_next() {
    const bool lacked = std::exchange(buffers_lacked_, false);
    buffers_are_short_ = lacked || receive_queue_.size() > 1;
    receiver_ = nullptr;
    // After an exception, the others are served in the next turn.
    for (UringStream*& next : served_) {
        if (next == nullptr) continue;
        const UringReference stream(*std::exchange(next, nullptr));
        stream->receive_more(UringReceiveQueue::share);
    }
    served_.clear();
    receive_queue_.next_turn([](UringStream* next) {
        const UringReference stream(*next);
        stream->receive_more(UringReceiveQueue::large_share);
    });
}

/// Returns true if there is nothing to run. From then on post() and stop() wake the loop.
bool UringLoop::may_sleep() {
    if (!deferred_.empty() || unlisted_deferred_ || !receive_queue_.empty()) return false;
    const std::lock_guard lock(mutex_);
    asleep_ = posted_.empty() && !stopping_.load(std::memory_order_relaxed);
    return asleep_;
}

void UringLoop::await_posts() {
    if (std::exchange(awaiting_posts_, true)) return;
    io_uring_prep_read(&ring_.sqe(UringEvent::posted, this), post_event_.get(), &post_count_, sizeof post_count_, 0);
}

/// Reads the event in place of the request, which may not be submitted. It may also be done already, so this does not
/// wait.
void UringLoop::take_posts() noexcept {
    std::uint64_t count = 0;
    const iovec place{&count, sizeof count};
    [[maybe_unused]] const ssize_t read = ::preadv2(post_event_.get(), &place, 1, -1, RWF_NOWAIT);
}

void UringLoop::wake_up() noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t count = ::write(post_event_.get(), &one, sizeof one);
}

// --- Streams ---

/// Reserves space in closing_, so that close_socket() never allocates.
UringStream& UringLoop::add(Descriptor socket) {
    const std::size_t to_close = closing_.size() + streams_.count() + 1;
    if (to_close > closing_.capacity()) closing_.reserve(std::max<std::size_t>(16, 2 * to_close));
    UringStream& stream = streams_.make(*this, std::move(socket));
    stream.add_reference();
    return stream;
}

/// Runs after all other submissions of the turn are prepared, which use these descriptors.
void UringLoop::close_sockets() {
    if (closing_.empty()) return;
    if (ring_.has_lost_completions()) return closing_.clear();  // closes them here
    for (Descriptor& socket : closing_) ring_.close_later(std::move(socket));
    closing_.clear();
    for (const auto& acceptor : acceptors_) acceptor->retry();
}

void UringLoop::linger(UringStream& stream) {
    const bool first = lingering_.empty();
    const auto until = Clock::now() + linger_time;
    if (!within_memory([&] { lingering_.push_back({&stream, until}); })) return stream.give_up_sending();
    stream.add_reference();
    if (first) linger_timer_.set(Clock::now() + linger_interval);
}

void UringLoop::stop_lingering() {
    const auto now = Clock::now();
    drop_lingering(now);
    if (!lingering_.empty()) linger_timer_.set(now + linger_interval);
}

/// Drops those that have sent all, and those whose time is over.
void UringLoop::drop_lingering(Clock::time_point now) {
    std::erase_if(lingering_, [now](const Lingering& one) {
        if (one.until > now && one.stream->is_sending()) return false;
        one.stream->give_up_sending();
        one.stream->drop_reference();
        return true;
    });
}

// --- Listening ---

void UringLoop::listen(ListeningSocket listener, UniqueFunction<void(UringTransport::Socket)> accepted) {
    acceptors_.push_back(std::make_unique<UringAcceptor>(*this, std::move(listener), std::move(accepted)));
    acceptors_.back()->start();
}

void UringLoop::stop_listening() {
    for (const auto& acceptor : acceptors_) acceptor->stop();
    acceptors_end_ = true;
}

/// One at a time, and each after it has left the list: its function may own objects that call the loop when they end.
void UringLoop::free_ended_acceptors() noexcept {
    const auto ended = [](const auto& acceptor) { return acceptor->has_ended(); };
    for (;;) {
        const auto next = std::find_if(acceptors_.begin(), acceptors_.end(), ended);
        if (next == acceptors_.end()) break;
        const auto acceptor = std::move(*next);
        acceptors_.erase(next);
    }
    acceptors_end_ =
        std::any_of(acceptors_.begin(), acceptors_.end(), [](const auto& acceptor) { return acceptor->is_stopped(); });
}

}  // namespace wsserver::detail
