// The turns of a MemoryTransport, and the failures that a test asks for.
#pragma once

#include "wsserver/transport/memory.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/transport/detail/memory/acceptor.hpp"
#include "wsserver/transport/detail/memory/stream.hpp"
#include "wsserver/transport/impl/stream_handle.ipp"

namespace wsserver {

using detail::MemoryStream;

MemoryTransport::MemoryTransport(MemoryNetwork& network)
    : network_(network), buffer_(new std::uint8_t[receive_buffer_size]) {
    network_.transports_.push_back(this);
}

MemoryTransport::~MemoryTransport() {
    stop_listening();
    std::erase(network_.transports_, this);
    std::erase_if(network_.alarms_, [this](const auto& alarm) { return alarm.transport == this; });
}

void MemoryTransport::post(UniqueFunction<void()> task) {
    const std::lock_guard lock(mutex_);
    if (posts_refused_) throw std::bad_alloc{};
    make_space(1 + reserved_);
    turns_.push_back(std::move(task));
    changed_.notify_one();
}

/// Makes space for `count` more turns. Precondition: mutex_ is locked.
void MemoryTransport::make_space(std::size_t count) {
    if (turns_.capacity() - turns_.size() >= count) return;
    turns_.erase(turns_.begin(), turns_.begin() + static_cast<std::ptrdiff_t>(std::exchange(next_, 0)));
    if (turns_.capacity() - turns_.size() < count) turns_.reserve(std::max(turns_.size() + count, 2 * turns_.size()));
}

void MemoryTransport::reserve_posts(std::size_t count) {
    const std::lock_guard lock(mutex_);
    make_space(reserved_ + count);
    reserved_ += count;
}

void MemoryTransport::release_posts(std::size_t count) noexcept {
    const std::lock_guard lock(mutex_);
    reserved_ -= count;
}

void MemoryTransport::post_reserved(UniqueFunction<void()> task) noexcept {
    const std::lock_guard lock(mutex_);
    make_space(1);
    turns_.push_back(std::move(task));
    changed_.notify_one();
}

/// Runs the turns that are queued when it begins, and a wake-up that is due. Returns their number.
std::size_t MemoryTransport::run_turns(std::size_t at_most) {
    std::size_t count = wake_if_due() ? 1 : 0;
    std::size_t left = 0;
    {
        const std::lock_guard lock(mutex_);
        left = std::min(turns_.size() - next_, at_most - std::min(at_most, count));
    }
    for (; left > 0; --left) {
        auto turn = next_turn();
        if (!turn) break;           // a turn has run the network
        (void)within_memory(turn);  // a turn that runs out of memory ends there
        ++count;
    }
    return count;
}

/// Empty if there is none.
UniqueFunction<void()> MemoryTransport::next_turn() noexcept {
    const std::lock_guard lock(mutex_);
    if (next_ == turns_.size()) return {};
    auto turn = std::move(turns_[next_++]);
    if (next_ == turns_.size()) {
        turns_.clear();
        next_ = 0;
    }
    return turn;
}

/// Returns true if it was.
bool MemoryTransport::wake_if_due() {
    if (wake_at_ > now()) return false;
    wake_at_ = Clock::time_point::max();
    if (on_wake_) (void)within_memory(on_wake_);
    return true;
}

void MemoryTransport::run() {
    for (;;) {
        network_.run_until_idle();
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopped_ || next_ < turns_.size(); });
        if (stopped_) return;
    }
}

void MemoryTransport::stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
}

// --- Accepting and connecting ---

void MemoryTransport::listen(MemoryListener listener, UniqueFunction<void(Socket)> accepted) {
    acceptors_.push_back(std::exchange(listener.acceptor_, nullptr));
    acceptors_.back()->listen(*this, std::move(accepted));
}

void MemoryTransport::stop_listening() {
    for (const auto& acceptor : std::exchange(acceptors_, {})) acceptor->close();
}

void MemoryTransport::stream_closed() {
    for (const auto& acceptor : acceptors_) acceptor->retry_soon();
}

MemoryTransport::Connecting MemoryTransport::connect(const Endpoint& to, Clock::time_point, Connected connected) {
    Connecting connecting;
    connecting.connected_ = std::make_shared<Connected>(std::move(connected));
    post([this, to, shared = connecting.connected_] {
        auto call = std::exchange(*shared, {});
        if (!call) return;  // cancelled
        if (const auto error = begin(MemoryOperation::connect)) return call(Unexpected{error});
        call(network_.connect(to));
    });
    return connecting;
}

MemoryTransport::Connecting& MemoryTransport::Connecting::operator=(Connecting&& other) noexcept {
    if (this != &other) {
        cancel();
        connected_ = std::move(other.connected_);
    }
    return *this;
}

void MemoryTransport::Connecting::cancel() {
    if (const auto connected = std::exchange(connected_, nullptr)) *connected = {};
}

// --- For tests ---

void MemoryTransport::receive_at_most(std::size_t bytes) noexcept {
    receive_at_most_ = std::clamp<std::size_t>(bytes, 1, receive_buffer_size);
}

void MemoryTransport::release_sends() {
    sends_held_ = false;
    for (const auto& stream : std::exchange(held_, {})) stream->resume_sending();
}

void MemoryTransport::refuse_posts(bool refuse) {
    const std::lock_guard lock(mutex_);
    posts_refused_ = refuse;
}

void MemoryTransport::fail(MemoryOperation operation, std::size_t nth, std::error_code error) {
    faults_.push_back({operation, count(operation) + nth, error});
}

std::error_code MemoryTransport::begin(MemoryOperation operation) {
    const std::size_t number = ++counts_[index_of(operation)];
    const auto fault = std::find_if(faults_.begin(), faults_.end(),
                                    [&](const Fault& f) { return f.operation == operation && f.number == number; });
    return fault == faults_.end() ? std::error_code{} : fault->error;
}

// --- Stream ---

template class StreamHandle<MemoryStream>;

MemoryTransport::Stream::Stream(MemoryTransport& transport, Socket socket)
    : StreamHandle(MemoryStream::make(transport, std::move(socket))) {}

}  // namespace wsserver
