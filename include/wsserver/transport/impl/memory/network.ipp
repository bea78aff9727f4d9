// The ends, listeners and wires of a MemoryNetwork, and its clock.
#pragma once

#include <algorithm>
#include <cassert>
#include <utility>

#include "wsserver/base/within_memory.hpp"

#include "wsserver/transport/detail/memory/acceptor.hpp"
#include "wsserver/transport/detail/memory/end.hpp"

namespace wsserver {

namespace detail {

std::pair<std::shared_ptr<MemoryEnd>, std::shared_ptr<MemoryEnd>> make_ends(std::string first, std::string second) {
    struct Both {
        MemoryEnd first, second;
    };
    const auto both = std::make_shared<Both>();
    both->first.other = &both->second;
    both->second.other = &both->first;
    both->first.peer_name = std::move(second);
    both->second.peer_name = std::move(first);
    return {std::shared_ptr<MemoryEnd>{both, &both->first}, std::shared_ptr<MemoryEnd>{both, &both->second}};
}

// --- MemoryAcceptor ---

void MemoryAcceptor::arrive(MemorySocket peer) {
    waiting_.push_back(std::move(peer));
    accept_soon();
}

void MemoryAcceptor::listen(MemoryTransport& transport, UniqueFunction<void(MemorySocket)> accepted) {
    transport.reserve_posts(1);
    transport_ = &transport;
    accepted_ = std::move(accepted);
    accept_soon();
}

void MemoryAcceptor::close() {
    closed_ = true;
    if (transport_ != nullptr) transport_->release_posts(1);
    transport_ = nullptr;
    waiting_.clear();
}

void MemoryAcceptor::accept_soon() {
    if (transport_ == nullptr || paused_ || waiting_.empty() || std::exchange(posted_, true)) return;
    transport_->post_reserved([self = shared_from_this()] { self->accept_turn(); });
}

/// Accepts one peer.
void MemoryAcceptor::accept_turn() {
    posted_ = false;
    if (transport_ == nullptr || paused_ || waiting_.empty()) return;
    if (const auto error = transport_->begin(MemoryOperation::accept)) return pause(error);
    pause_reported_ = false;
    MemorySocket peer = std::move(waiting_.front());
    waiting_.pop_front();
    (void)within_memory([&] { accepted_(std::move(peer)); });  // without memory the peer is refused
    accept_soon();
}

void MemoryAcceptor::pause(std::error_code error) {
    paused_ = true;
    transport_->network_.at(transport_->now() + std::chrono::milliseconds{100}, *transport_,
                            [self = shared_from_this()] { self->retry_soon(); });
    if (std::exchange(pause_reported_, true) || !transport_->accept_paused_) return;
    transport_->accept_paused_(error);
}

void MemoryAcceptor::retry_soon() {
    paused_ = false;
    accept_soon();
}

}  // namespace detail

// --- MemorySocket, MemoryListener ---

MemorySocket& MemorySocket::operator=(MemorySocket&& other) noexcept {
    std::swap(end_, other.end_);
    return *this;
}

MemorySocket::~MemorySocket() {
    if (end_) end_->close(false);
}

MemoryListener& MemoryListener::operator=(MemoryListener&& other) noexcept {
    std::swap(acceptor_, other.acceptor_);
    return *this;
}

MemoryListener::~MemoryListener() {
    if (acceptor_) acceptor_->close();
}

// --- MemoryWire ---

MemoryWire::MemoryWire(MemorySocket socket) noexcept : end_(socket.release()) {}

MemoryWire& MemoryWire::operator=(MemoryWire&& other) noexcept {
    std::swap(end_, other.end_);
    return *this;
}

MemoryWire::~MemoryWire() {
    if (end_) end_->close(false);
}

void MemoryWire::write(Bytes bytes) {
    assert(!end_->closed);
    end_->put(bytes);
}

std::string MemoryWire::read(std::size_t at_most) {
    const Bytes unread = end_->unread().first(std::min(at_most, end_->unread().size()));
    std::string bytes{text_of(unread)};
    end_->consume(bytes.size());
    return bytes;
}

Bytes MemoryWire::unread() const noexcept { return end_->unread(); }
void MemoryWire::set_window(std::size_t bytes) noexcept {
    end_->window = bytes;
    if (end_->other->on_space) end_->other->on_space();
}
void MemoryWire::shutdown() { end_->end_direction(); }
void MemoryWire::close() { end_->close(false); }
void MemoryWire::reset() { end_->close(true); }
bool MemoryWire::at_end() const noexcept { return end_->at_end(); }
bool MemoryWire::was_reset() const noexcept { return end_->reset; }

// --- MemoryNetwork ---

std::size_t MemoryNetwork::run_until_idle(std::size_t at_most) {
    std::size_t turns = 0;
    for (bool some = true; some && turns < at_most;) {
        some = false;
        // A turn may construct transports but not destroy any.
        for (std::size_t i = 0; i < transports_.size() && turns < at_most; ++i) {
            const std::size_t run = transports_[i]->run_turns(at_most - turns);
            turns += run;
            some = some || run > 0;
        }
    }
    return turns;
}

void MemoryNetwork::advance(Clock::duration by) {
    const Clock::time_point until = now_ + by;
    run_until_idle();
    for (auto next = next_alarm(); next && *next <= until; next = next_alarm()) {
        now_ = std::max(now_, *next);
        const auto due = std::stable_partition(alarms_.begin(), alarms_.end(),
                                               [this](const Alarm& alarm) { return alarm.time > now_; });
        for (auto alarm = due; alarm != alarms_.end(); ++alarm) alarm->transport->post(std::move(alarm->task));
        alarms_.erase(due, alarms_.end());
        run_until_idle();
    }
    now_ = until;
}

std::optional<Clock::time_point> MemoryNetwork::next_alarm() const noexcept {
    auto next = Clock::time_point::max();
    for (const MemoryTransport* transport : transports_) next = std::min(next, transport->wake_at_);
    for (const Alarm& alarm : alarms_) next = std::min(next, alarm.time);
    if (next == Clock::time_point::max()) return std::nullopt;
    return next;
}

void MemoryNetwork::at(Clock::time_point time, MemoryTransport& transport, UniqueFunction<void()> task) {
    alarms_.push_back({time, &transport, std::move(task)});
}

std::pair<MemorySocket, MemorySocket> MemoryNetwork::pair() {
    const std::string first = "127.0.0.1:" + std::to_string(next_port_++);
    const std::string second = "127.0.0.1:" + std::to_string(next_port_++);
    auto [one, other] = detail::make_ends(first, second);
    return {MemorySocket{std::move(one)}, MemorySocket{std::move(other)}};
}

std::vector<MemoryListener> MemoryNetwork::open_listeners(const Endpoint& endpoint, std::size_t count) {
    std::vector<MemoryListener> listeners;
    for (std::size_t i = 0; i < count; ++i) {
        auto acceptor = std::make_shared<detail::MemoryAcceptor>(endpoint);
        acceptors_.push_back(acceptor);
        listeners.emplace_back(std::move(acceptor));
    }
    return listeners;
}

Result<MemorySocket, std::error_code> MemoryNetwork::connect(const Endpoint& to, std::string from) {
    std::erase_if(acceptors_, [](const auto& acceptor) { return acceptor.expired() || acceptor.lock()->closed(); });
    std::vector<std::shared_ptr<detail::MemoryAcceptor>> matching;
    for (const auto& acceptor : acceptors_) {
        if (acceptor.lock()->endpoint() == to) matching.push_back(acceptor.lock());
    }
    if (matching.empty()) return Unexpected{std::make_error_code(std::errc::connection_refused)};
    if (from.empty()) from = to.is_unix() ? to_string(to) : "127.0.0.1:" + std::to_string(next_port_++);
    auto [client, server] = detail::make_ends(std::move(from), to_string(to));
    matching[next_acceptor_++ % matching.size()]->arrive(MemorySocket{std::move(server)});
    return MemorySocket{std::move(client)};
}

MemoryWire MemoryNetwork::wire(const Endpoint& to, std::string from) {
    auto socket = connect(to, std::move(from));
    assert(socket);
    return MemoryWire{*std::move(socket)};
}

}  // namespace wsserver
