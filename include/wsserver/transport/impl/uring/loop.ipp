// The turns of a UringLoop: submits, waits, dispatches completions, and runs posted tasks.
#pragma once

#include "wsserver/transport/detail/uring/loop.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "wsserver/transport/detail/clear_at_end.hpp"

namespace wsserver::detail {

namespace {

/// How long a closed stream may still send bytes for which send() returned true.
constexpr std::chrono::seconds linger_time{5};
constexpr std::chrono::seconds linger_interval{1};

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

UringLoop::~UringLoop() {
    // Otherwise the kernel could send from memory, and receive into memory, that has been freed.
    ring_.cancel_all();
    ring_.shut();
    for (const auto& acceptor : acceptors_) acceptor->abandon();
    // Closes the peers that were accepted and not yet reported.
    while (ring_.for_each_completion([](UringEvent event, void*, int result, std::uint32_t) {
        if (event == UringEvent::accepted && result >= 0) Descriptor{result}.reset();
    }) > 0) {
    }
    // Tasks that never ran may own streams.
    wake_.replace_call({});
    std::exchange(posted_, {}).clear();
    ring_.close();
    // The other completions are dropped. streams_ destroys the streams that have no handle any more.
}

// --- A turn ---

void UringLoop::run() {
    while (!stopping_.load(std::memory_order_acquire)) turn(std::nullopt);
    submit_and_wait(std::nullopt);  // submits the sends and closes of the last turn; does not wait
    ring_.cancel_all();
    ring_.shut();
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
    submit_and_wait(until);
    in_turn_ = true;
    ring_.for_each_completion([this](UringEvent event, void* target, int result, std::uint32_t flags) {
        dispatch(event, target, result, flags);
    });
    run_posted();
    run_deferred();
    receive_next();
    in_turn_ = false;
    now_.reset();
}

void UringLoop::submit_and_wait(std::optional<Clock::time_point> until) {
    close_sockets();
    await_posts();
    const bool wait = may_sleep();
    ring_.turn(wait ? UringRing::Wait::yes : UringRing::Wait::no, until);
    if (!wait) return;
    const std::lock_guard lock(mutex_);
    asleep_ = false;
}

void UringLoop::dispatch(UringEvent event, void* target, int result, std::uint32_t flags) {
    switch (event) {
        case UringEvent::received:
            return static_cast<UringStream*>(target)->received(result, flags);
        case UringEvent::sent: {
            auto& send = *static_cast<UringSend*>(target);
            return send.stream->sent(send, result);
        }
        case UringEvent::accepted:
            return static_cast<UringAcceptor*>(target)->completed(result, flags);
        case UringEvent::timer:
            return static_cast<UringTimer*>(target)->expired();
        case UringEvent::posted:
            awaiting_posts_ = false;
            return;
        case UringEvent::none:
            return;
    }
}

Clock::time_point UringLoop::now() const noexcept {
    if (!in_turn_) return Clock::now();
    if (!now_) now_ = Clock::now();
    return *now_;
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
    for (auto& task : running_) task();
}

void UringLoop::run_deferred() {
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
    const ClearAtEnd served(served_);
    for (UringStream* stream : served_) {
        stream->receive_more(UringReceiveQueue::share);
        stream->drop_reference();
    }
    receive_queue_.next_turn([](UringStream* stream) {
        stream->receive_more(UringReceiveQueue::large_share);
        stream->drop_reference();
    });
}

/// Returns true if there is nothing to run. From then on post() and stop() wake the loop.
bool UringLoop::may_sleep() {
    if (!deferred_.empty() || !receive_queue_.empty()) return false;
    const std::lock_guard lock(mutex_);
    asleep_ = posted_.empty() && !stopping_.load(std::memory_order_relaxed);
    return asleep_;
}

void UringLoop::await_posts() {
    if (std::exchange(awaiting_posts_, true)) return;
    io_uring_prep_read(&ring_.sqe(UringEvent::posted, this), post_event_.get(), &post_count_, sizeof post_count_, 0);
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
    for (Descriptor& socket : closing_) {
        io_uring_sqe& sqe = ring_.silent_sqe();
        io_uring_prep_close(&sqe, socket.release());
        sqe.flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
    closing_.clear();
    for (const auto& acceptor : acceptors_) acceptor->retry();
}

void UringLoop::linger(UringStream& stream) {
    if (lingering_.empty()) linger_timer_.set(Clock::now() + linger_interval);
    lingering_.push_back({&stream, Clock::now() + linger_time});
    stream.add_reference();
}

void UringLoop::stop_lingering() {
    const auto now = Clock::now();
    std::erase_if(lingering_, [now](const Lingering& one) {
        if (one.until > now && one.stream->is_sending()) return false;
        one.stream->give_up_sending();
        one.stream->drop_reference();
        return true;
    });
    if (!lingering_.empty()) linger_timer_.set(now + linger_interval);
}

// --- Listening ---

void UringLoop::listen(ListeningSocket listener, UniqueFunction<void(UringTransport::Socket)> accepted) {
    acceptors_.push_back(std::make_unique<UringAcceptor>(*this, std::move(listener), std::move(accepted)));
    acceptors_.back()->start();
}

void UringLoop::stop_listening() {
    for (const auto& acceptor : acceptors_) acceptor->stop();
}

}  // namespace wsserver::detail
