#pragma once

#include "wsserver/server/detail/server_hub.hpp"

#include <atomic>
#include <memory>
#include <utility>

#include "wsserver/base/within_memory.hpp"

namespace wsserver {

namespace {

/// Adds up the receivers of all reactors. Reports the sum when the last part was reported or dropped, unless the server
/// has ended.
class Tally {
   public:
    Tally(Completion done, std::shared_ptr<CallbackGate> gate) noexcept
        : done_(std::move(done)), gate_(std::move(gate)) {}
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;
    ~Tally() {
        const CallbackGate::Call call{*gate_};
        call ? done_(sum_.load()) : done_.abandon();
    }

    void add(std::size_t receivers) noexcept { sum_.fetch_add(receivers, std::memory_order_relaxed); }

   private:
    std::atomic<std::size_t> sum_{0};
    Completion done_;
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
    // A reactor executes requests of its own thread at once. That may call a Completion, which may use this hub. The
    // lock is not needed: no reactor is destroyed during a call on its own thread.
    if (reactor.on_own_thread()) lock.unlock();
    return reactor.put(std::move(item), payload);
}

SendStatus ServerHub::decide(ConnectionId id, UpgradeDecision decision) {
    if (detached_.load(std::memory_order_relaxed)) return SendStatus::closed;
    auto status = SendStatus::dropped;
    (void)within_memory([&] {
        // Outlives the lock: the destructor of a handler that it holds may call this hub.
        const auto made = std::make_shared<UpgradeDecision>(std::move(decision));
        const std::shared_lock lock(mutex_);
        if (id.reactor >= reactors_.size()) {
            status = SendStatus::closed;
            return;
        }
        AnyReactor& reactor = *reactors_[id.reactor];
        reactor.post([&reactor, id, made] { reactor.decide(id, std::move(*made)); });
        status = SendStatus::queued;
    });
    return status;
}

std::shared_ptr<const SharedMessage> ServerHub::encoded(InboxItem::Kind kind, Bytes payload) const {
    auto shared = std::make_shared<SharedMessage>();
    if (kind == InboxItem::Kind::send_text) {
        encode_message(Text::from_payload(payload), fragment_size_, shared->frames);
    } else {
        encode_message(Binary::from_payload(payload), fragment_size_, shared->frames);
    }
    return shared;
}

SendStatus ServerHub::put_all(InboxItem item, const Audience* audience, Bytes payload, Completion done) {
    if (detached_.load(std::memory_order_relaxed)) return SendStatus::closed;
    // Until the lock is released this function keeps the tally, so `done` is not called before. If memory runs out, it
    // is called without the parts that are missing.
    const bool acknowledged = audience != nullptr && audience->waits && done;
    const auto tally = std::make_shared<Tally>(std::move(done), gate_);
    std::shared_ptr<const SharedMessage> shared;
    std::shared_ptr<const Audience> receivers;
    if (audience != nullptr) {
        shared = encoded(std::exchange(item.kind, InboxItem::Kind::broadcast), payload);
        receivers = std::make_shared<const Audience>(*audience);
        payload = {};
    }
    auto status = SendStatus::closed;  // if there is no reactor
    const auto put_part = [&](AnyReactor& reactor) {
        InboxItem part;
        part.kind = item.kind;
        part.code = item.code;
        part.to_all = std::make_unique<Broadcast>(
            Broadcast{shared, receivers, [tally](std::size_t count) { tally->add(count); }, acknowledged});
        const SendStatus of_part = reactor.put(std::move(part), payload);  // if dropped, it counts no receiver
        if (status != SendStatus::queued) status = of_part;
    };
    std::vector<AnyReactor*> own;  // of this thread: they execute at once, which may call another Completion
    std::shared_lock lock(mutex_);
    for (AnyReactor* reactor : reactors_) {
        reactor->on_own_thread() ? own.push_back(reactor) : put_part(*reactor);
    }
    lock.unlock();
    for (AnyReactor* reactor : own) put_part(*reactor);
    return status;
}

}  // namespace wsserver
