#pragma once

#include "wsserver/server/detail/server_hub.hpp"

#include <atomic>
#include <utility>

namespace wsserver {

namespace {

InboxItem item_for(ConnectionId to, InboxItem::Kind kind) {
    InboxItem item;
    item.kind = kind;
    item.to = to;
    return item;
}

bool may_be_closed_with(CloseCode code, std::string_view reason) noexcept {
    return may_be_sent(code) && reason.size() <= max_close_reason && is_valid_utf8(bytes_of(reason));
}

/// Adds up the receivers of all reactors. The last reactor to report calls the caller's Count.
class Tally {
   public:
    Tally(std::size_t parts, Hub::Count done, std::shared_ptr<CallbackGate> gate)
        : parts_(parts), done_(std::move(done)), gate_(std::move(gate)) {}

    void add(std::size_t receivers) noexcept {
        sum_.fetch_add(receivers, std::memory_order_relaxed);
        if (parts_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        if (gate_->is_open()) complete(done_, sum_.load());
    }

   private:
    std::atomic<std::size_t> parts_;
    std::atomic<std::size_t> sum_{0};
    Hub::Count done_;
    const std::shared_ptr<CallbackGate> gate_;
};

}  // namespace

void ServerHub::attach(std::vector<AnyReactor*> reactors) {
    const std::unique_lock lock(mutex_);
    reactors_ = std::move(reactors);
}

void ServerHub::detach() {
    detached_.store(true, std::memory_order_relaxed);
    const std::unique_lock lock(mutex_);
    reactors_.clear();
}

SendStatus ServerHub::put(InboxItem item, Bytes payload) {
    if (detached_.load(std::memory_order_relaxed)) return SendStatus::closed;
    std::shared_lock lock(mutex_);
    if (item.to.generation == 0 || item.to.reactor >= reactors_.size()) return SendStatus::closed;
    AnyReactor& reactor = *reactors_[item.to.reactor];
    // A reactor executes requests of its own thread at once. That may call a Count, which may use this hub. The lock is
    // not needed: no reactor is destroyed during a call on its own thread.
    if (reactor.on_own_thread()) lock.unlock();
    return reactor.put(std::move(item), payload);
}

SendStatus ServerHub::send(ConnectionId to, const Text& message) {
    return put(item_for(to, InboxItem::Kind::send_text), message.payload());
}

SendStatus ServerHub::send(ConnectionId to, const Binary& message) {
    return put(item_for(to, InboxItem::Kind::send_binary), message.payload());
}

SendStatus ServerHub::ping(ConnectionId to, Bytes payload) {
    if (payload.size() > max_control_payload) return SendStatus::refused;
    return put(item_for(to, InboxItem::Kind::ping), payload);
}

SendStatus ServerHub::close(ConnectionId to, CloseCode code, std::string_view reason) {
    if (!may_be_closed_with(code, reason)) return SendStatus::refused;
    InboxItem item = item_for(to, InboxItem::Kind::close);
    item.code = code;
    return put(std::move(item), bytes_of(reason));
}

void ServerHub::broadcast(const Audience& audience, const Text& message, Count done) {
    broadcast_message(audience, message, std::move(done));
}

void ServerHub::broadcast(const Audience& audience, const Binary& message, Count done) {
    broadcast_message(audience, message, std::move(done));
}

template <class M>
void ServerHub::broadcast_message(const Audience& audience, const M& message, Count done) {
    auto shared = std::make_shared<SharedMessage>();
    encode_message(message, fragment_size_, shared->frames);
    put_all(InboxItem::Kind::broadcast,
            {std::move(shared), std::make_shared<const Audience>(audience), std::move(done)});
}

void ServerHub::ping_all(Count done) { put_all(InboxItem::Kind::ping_all, {.done = std::move(done)}); }

void ServerHub::close_all(CloseCode code, std::string_view reason, Count done) {
    if (!may_be_closed_with(code, reason)) {
        complete(done, 0);
        return;
    }
    put_all(InboxItem::Kind::close_all, {.done = std::move(done)}, code, bytes_of(reason));
}

void ServerHub::put_all(InboxItem::Kind kind, Broadcast all, CloseCode code, Bytes payload) {
    if (detached_.load(std::memory_order_relaxed)) return complete(all.done, 0);
    std::shared_lock lock(mutex_);
    // One part belongs to this function and is added last. So `done` is never called under the lock and may use the
    // hub.
    const auto tally = std::make_shared<Tally>(reactors_.size() + 1, std::move(all.done), gate_);
    all.done = [tally](std::size_t receivers) { tally->add(receivers); };
    const auto put_part = [&](AnyReactor& reactor) {
        InboxItem item;
        item.kind = kind;
        item.code = code;
        item.to_all = std::make_unique<Broadcast>(all);
        if (reactor.put(std::move(item), payload) != SendStatus::queued) tally->add(0);
    };
    std::vector<AnyReactor*> own;  // of this thread: they execute at once, which may call another Count
    for (AnyReactor* reactor : reactors_) {
        reactor->on_own_thread() ? own.push_back(reactor) : put_part(*reactor);
    }
    lock.unlock();
    for (AnyReactor* reactor : own) put_part(*reactor);
    tally->add(0);
}

}  // namespace wsserver
