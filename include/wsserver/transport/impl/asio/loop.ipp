// Runs posted tasks and the timer of an AsioTransport.
#pragma once

#include "wsserver/transport/detail/asio/loop.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/transport/detail/asio/acceptor.hpp"
#include "wsserver/transport/detail/asio/stream.hpp"
#include "wsserver/transport/detail/clear_at_end.hpp"

namespace wsserver::detail {

AsioLoop::AsioLoop(boost::asio::io_context& context, Context whose)
    : context_(context), buffer_(new std::uint8_t[AsioTransport::receive_buffer_size]), timer_(context) {
    if (whose == Context::own) work_.emplace(context.get_executor());
}

void AsioLoop::post(UniqueFunction<void()> task) {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
    notice_posts();
}

/// Precondition: mutex_ is locked.
void AsioLoop::notice_posts() {
    if (std::exchange(posted_noticed_, true)) return;
    boost::asio::post(context_, InMemory{posted_memory_, [self = shared_from_this()] { self->run_posted(); }});
}

bool AsioLoop::claim() noexcept {
    Use before = Use::none_yet;
    return use_.compare_exchange_strong(before, Use::claimed) || before == Use::claimed;
}

/// False if another thread has claimed the loop.
bool AsioLoop::begin_use() noexcept {
    if (use_.load(std::memory_order_relaxed) == Use::loop) return true;
    Use before = Use::none_yet;
    return use_.compare_exchange_strong(before, Use::loop) || before == Use::loop;
}

/// Runs only the tasks that were queued when it began, so that tasks that post tasks do not delay the streams.
void AsioLoop::run_posted() {
    if (!begin_use()) return;
    const auto turn = this->turn();
    auto tasks = std::exchange(spare_tasks_, {});  // not in place, as a task may run the loop again
    {
        const std::lock_guard lock(mutex_);
        std::swap(posted_, tasks);
        posted_noticed_ = false;
    }
    for (auto& task : tasks) {
        if (detached_) break;
        (void)within_memory(task);  // one that runs out of memory ends there
    }
    tasks.clear();
    spare_tasks_ = std::move(tasks);
    if (!detached_ && wake_at_ < armed_for_) arm(wake_at_);  // there was no memory for it before
}

void AsioLoop::receive_in_order(AsioStream& stream) {
    receive_queue_.push(&stream);
    receive_soon();
}

void AsioLoop::receive_soon() {
    if (receive_queue_.empty() || std::exchange(receive_noticed_, true)) return;
    boost::asio::post(context_, InMemory{receive_memory_, [self = shared_from_this()] { self->receive_next(); }});
}

void AsioLoop::receive_next() {
    const auto turn = this->turn();
    receive_noticed_ = false;
    if (detached_) return;
    receive_queue_.next_turn([](const AsioStream::Pointer& stream) { stream->receive_more(); });
    receive_soon();
}

void AsioLoop::wake_at(Clock::time_point time) {
    wake_at_ = time;
    // A timer that is armed too early stays as it is, which is cheaper: woken() arms it again.
    if (time < armed_for_) return arm(time);
    if (time != Clock::time_point::max()) return;
    // An unused timer is cancelled: it would keep the caller's loop from running out of work.
    armed_for_ = time;
    timer_.cancel();
}

/// Waits once at a time, so that there is memory for it.
void AsioLoop::arm(Clock::time_point time) {
    armed_for_ = time;
    if (timer_waits_) {  // woken() arms it for the new time
        timer_.cancel();
        return;
    }
    timer_waits_ = within_memory([&] {
        timer_.expires_at(time);
        timer_.async_wait(
            InMemory{timer_memory_, [self = shared_from_this()](boost::system::error_code) { self->woken(); }});
    });
    if (timer_waits_) return;
    // The timers of the context share an array, which may have to grow. run_posted() tries again.
    armed_for_ = Clock::time_point::max();
    const std::lock_guard lock(mutex_);
    notice_posts();
}

void AsioLoop::woken() {
    const auto turn = this->turn();
    timer_waits_ = false;
    if (detached_) return;
    armed_for_ = Clock::time_point::max();
    if (wake_at_ > Clock::now()) {
        if (wake_at_ != Clock::time_point::max()) arm(wake_at_);
        return;
    }
    wake_at_ = Clock::time_point::max();
    if (on_wake_) (void)within_memory(on_wake_);
}

void AsioLoop::listen(ListeningSocket listener, UniqueFunction<void(Descriptor)> accepted) {
    acceptors_.push_back(std::make_shared<AsioAcceptor>(*this, std::move(listener), std::move(accepted)));
    acceptors_.back()->start();
}

void AsioLoop::stop_listening() {
    for (const auto& acceptor : std::exchange(acceptors_, {})) acceptor->stop();
}

void AsioLoop::stream_closed() {
    for (const auto& acceptor : acceptors_) acceptor->retry_soon();
}

void AsioLoop::detach() {
    detached_ = true;
    stop_listening();
    armed_for_ = Clock::time_point::max();
    timer_.cancel();
    work_.reset();
    receive_queue_ = {};
    std::vector<UniqueFunction<void()>> dropped;  // destroyed after the lock is released
    const std::lock_guard lock(mutex_);
    if (use_ == Use::claimed) dropped.swap(posted_);
}

}  // namespace wsserver::detail
