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

/// So long a closed stream may still send what was said to have left.
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
    // Else the kernel might send from memory, and receive into memory, that is somebody else's by then.
    ring_.let_go();
    ring_.shut();
    for (const auto& acceptor : acceptors_) acceptor->abandon();
    // Peers that were let in while nobody heard of it.
    while (ring_.for_each_completion([](UringEvent event, void*, int result, std::uint32_t) {
        if (event == UringEvent::accepted && result >= 0) Descriptor{result}.reset();
    }) > 0) {
    }
    // What never ran may own streams.
    wake_.replace_call({});
    std::exchange(posted_, {}).clear();
    ring_.close();
    // What it still had to say of streams without a handle is said to nobody: they go with their pages.
}

// --- A turn ---

void UringLoop::run() {
    while (!stopping_.load(std::memory_order_acquire)) turn(std::nullopt);
    hand_over(std::nullopt);  // what the last turn sent and closed; it doesn't wait
    ring_.let_go();
    ring_.shut();
}

void UringLoop::stop() {
    stopping_.store(true, std::memory_order_release);
    const std::lock_guard lock(mutex_);
    if (asleep_) wake_up();
}

/// Hands over what the last one prepared and waits; then everybody hears what has become of his orders.
void UringLoop::turn(std::optional<Clock::time_point> until) {
    in_turn_ = false;  // if the last one ended by an exception
    now_.reset();
    hand_over(until);
    in_turn_ = true;
    ring_.for_each_completion([this](UringEvent event, void* whom, int result, std::uint32_t flags) {
        dispatch(event, whom, result, flags);
    });
    run_posted();
    run_later();
    in_turn_ = false;
    now_.reset();
}

void UringLoop::hand_over(std::optional<Clock::time_point> until) {
    close_sockets();
    await_posts();
    const bool wait = may_sleep();
    ring_.turn(wait ? UringRing::Wait::yes : UringRing::Wait::no, until);
    if (!wait) return;
    const std::lock_guard lock(mutex_);
    asleep_ = false;
}

void UringLoop::dispatch(UringEvent event, void* whom, int result, std::uint32_t flags) {
    switch (event) {
        case UringEvent::received:
            return static_cast<UringStream*>(whom)->received(result, flags);
        case UringEvent::sent: {
            auto& send = *static_cast<UringSend*>(whom);
            return send.stream->sent(send, result);
        }
        case UringEvent::accepted:
            return static_cast<UringAcceptor*>(whom)->completed(result, flags);
        case UringEvent::timer:
            return static_cast<UringTimer*>(whom)->expired();
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

// --- Tasks from anywhere ---

void UringLoop::post(UniqueFunction<void()> task) {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
    has_posted_.store(true, std::memory_order_relaxed);
    if (std::exchange(asleep_, false)) wake_up();
}

/// Only what was there when it began: tasks that post tasks don't keep the others waiting.
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

void UringLoop::run_later() {
    std::swap(later_, doing_);
    const ClearAtEnd streams(doing_);
    for (UringStream* stream : doing_) stream->do_later();
}

/// From a true on, whoever posts wakes the loop up.
bool UringLoop::may_sleep() {
    if (!later_.empty()) return false;
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

/// Makes room, so that closing a stream never allocates.
UringStream& UringLoop::add(Descriptor socket) {
    const std::size_t to_close = closing_.size() + streams_.count() + 1;
    if (to_close > closing_.capacity()) closing_.reserve(std::max<std::size_t>(16, 2 * to_close));
    UringStream& stream = streams_.make(*this, std::move(socket));
    stream.add_reference();
    return stream;
}

/// Behind all other orders of the turn: what they were for has a number until then.
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
