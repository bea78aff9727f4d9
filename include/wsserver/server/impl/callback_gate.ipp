#pragma once

#include "wsserver/server/detail/callback_gate.hpp"

#include <utility>

namespace wsserver {

namespace {

/// The last Call that has begun on this thread and has not ended. A callback of one server may call another server.
constinit thread_local const CallbackGate::Call* innermost_call = nullptr;

}  // namespace

CallbackGate::Call::Call(CallbackGate& gate) noexcept : gate_(gate), outer_(innermost_call), entered_(gate.enter()) {
    if (entered_) innermost_call = this;
}

CallbackGate::Call::~Call() {
    if (!entered_) return;
    innermost_call = outer_;
    gate_.leave();
}

bool CallbackGate::enter() noexcept {
    if ((calls_.fetch_add(one_call) & closed) == 0) return true;
    leave();
    return false;
}

void CallbackGate::leave() noexcept {
    if ((calls_.fetch_sub(one_call) & closed) == 0) return;
    const std::lock_guard lock(mutex_);
    left_.notify_all();
}

std::uint64_t CallbackGate::calls_of_this_thread() const noexcept {
    std::uint64_t count = 0;
    for (const Call* call = innermost_call; call != nullptr; call = call->outer_) {
        if (&call->gate_ == this) ++count;
    }
    return count;
}

void CallbackGate::close(Clock::time_point deadline) noexcept {
    calls_.fetch_or(closed);
    const std::uint64_t own = calls_of_this_thread();
    std::unique_lock lock(mutex_);
    left_.wait_until(lock, deadline, [&] { return calls_.load() / one_call <= own; });
}

bool CallbackGate::open_called(ConnectionId id) {
    const std::lock_guard lock(mutex_);
    if (taken_) return false;
    close_due_.insert(id);
    return true;
}

bool CallbackGate::close_called(ConnectionId id) noexcept {
    const std::lock_guard lock(mutex_);
    if (taken_) return false;
    close_due_.erase(id);
    return true;
}

std::set<ConnectionId> CallbackGate::take_close_due() {
    const std::lock_guard lock(mutex_);
    taken_ = true;
    return std::exchange(close_due_, {});
}

}  // namespace wsserver
