#pragma once

#include "wsserver/server/detail/server_hub.hpp"

#include <atomic>
#include <memory>
#include <utility>

#include "wsserver/base/within_memory.hpp"

namespace wsserver {

/// Adds up the receivers of all reactors. Reports the sum when the last part was reported or dropped, unless the server
/// has ended.
class ServerHub::Tally {
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

void ServerHub::attach(std::vector<AnyReactor*> reactors) {
    const std::unique_lock lock(mutex_);
    reactors_ = std::move(reactors);
    if (reactors_.empty()) return;
    rooms_ = reactors_.front()->memberships().rooms.directory();
    users_ = reactors_.front()->memberships().users.directory();
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

std::size_t ServerHub::queued(ConnectionId of) const noexcept {
    if (detached_.load(std::memory_order_relaxed)) return 0;
    const std::shared_lock lock(mutex_);
    return of.reactor < reactors_.size() ? reactors_[of.reactor]->queued(of) : 0;
}

SendStatus ServerHub::decide(ConnectionId id, UpgradeDecision&& decision) {
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

SendStatus ServerHub::serve_http(ConnectionId id) {
    if (detached_.load(std::memory_order_relaxed)) return SendStatus::closed;
    const std::shared_lock lock(mutex_);
    if (id.reactor >= reactors_.size()) return SendStatus::closed;
    AnyReactor& reactor = *reactors_[id.reactor];
    reactor.post([&reactor, id] { reactor.serve_http(id); });
    return SendStatus::queued;
}

/// The parts of one request to several connections, one for each reactor. While the object exists, `done` is not
/// called.
class ServerHub::Parts {
   public:
    Parts(InboxItem item, Broadcast common, Bytes payload, Completion done, std::shared_ptr<CallbackGate> gate)
        : item_(std::move(item)),
          common_(std::move(common)),
          payload_(payload),
          tally_(std::make_shared<Tally>(std::move(done), std::move(gate))) {}

    void put(Target& target) {
        InboxItem part;
        part.kind = item_.kind;
        part.code = item_.code;
        auto count = [tally = tally_](std::size_t receivers) { tally->add(receivers); };
        part.to_all = std::make_unique<Broadcast>(
            Broadcast{common_.shared, common_.audience, std::move(count), common_.acknowledged, std::move(target.to)});
        const SendStatus of_part = target.reactor->put(std::move(part), payload_);  // if dropped, it counts no receiver
        if (status_ != SendStatus::queued) status_ = of_part;
    }
    /// There is nothing to pass on.
    void nothing_to_put() noexcept { status_ = SendStatus::queued; }
    /// `closed` if there was no call.
    SendStatus status() const noexcept { return status_; }

   private:
    const InboxItem item_;
    const Broadcast common_;
    const Bytes payload_;
    const std::shared_ptr<Tally> tally_;
    SendStatus status_ = SendStatus::closed;
};

std::vector<ServerHub::Target> ServerHub::all_reactors() const {
    std::vector<Target> targets;
    for (AnyReactor* reactor : reactors_) targets.push_back({reactor});
    return targets;
}

std::vector<ServerHub::Target> ServerHub::reactors_of(const Audience& audience) const {
    if (!selects_members(audience)) return all_reactors();
    std::vector<Target> targets;
    if (reactors_.empty()) return targets;
    const auto numbers = audience.user ? users_->reactors_of(*audience.user) : rooms_->reactors_of(*audience.room);
    for (const std::uint16_t number : numbers) {
        if (number < reactors_.size()) targets.push_back({reactors_[number]});
    }
    return targets;
}

std::vector<ServerHub::Target> ServerHub::reactors_of_list(std::span<const ConnectionId> to) const {
    std::vector<Target> targets = all_reactors();
    for (const ConnectionId id : to) {
        if (id.reactor < targets.size()) targets[id.reactor].to.push_back(id);
    }
    std::erase_if(targets, [](const Target& target) { return target.to.empty(); });
    return targets;
}

/// If memory runs out, `done` is called without the parts that are missing.
template <class FindTargets>
SendStatus ServerHub::put_parts(Parts& parts, FindTargets&& find_targets) {
    std::vector<Target> own;  // of this thread: they execute at once, which may call another Completion
    std::shared_lock lock(mutex_);
    std::vector<Target> targets = find_targets();
    if (targets.empty() && !reactors_.empty()) parts.nothing_to_put();
    for (Target& target : targets) {
        target.reactor->on_own_thread() ? own.push_back(std::move(target)) : parts.put(target);
    }
    lock.unlock();
    for (Target& target : own) parts.put(target);
    return parts.status();
}

SendStatus ServerHub::put_all(InboxItem item, const Audience* audience, const AnyMessage& message, Completion done) {
    if (detached_.load(std::memory_order_relaxed)) return SendStatus::closed;
    Broadcast common;
    Bytes payload = message.payload();
    if (audience != nullptr) {
        common.shared = SharedMessage::of(message, fragment_size_);
        if (!common.shared) return SendStatus::refused;
        item.kind = InboxItem::Kind::broadcast;
        common.audience = std::make_shared<const Audience>(*audience);
        common.acknowledged = audience->waits && done;
        payload = {};
    }
    Parts parts{std::move(item), std::move(common), payload, std::move(done), gate_};
    return put_parts(parts, [&] { return audience != nullptr ? reactors_of(*audience) : all_reactors(); });
}

SendStatus ServerHub::put_each(InboxItem item, std::span<const ConnectionId> to, const AnyMessage& message,
                               Completion done) {
    if (to.empty() || detached_.load(std::memory_order_relaxed)) return SendStatus::closed;
    Broadcast common;
    common.shared = SharedMessage::of(message, fragment_size_);
    if (!common.shared) return SendStatus::refused;
    item.kind = InboxItem::Kind::broadcast;
    common.audience = std::make_shared<const Audience>();
    Parts parts{std::move(item), std::move(common), {}, std::move(done), gate_};
    return put_parts(parts, [&] { return reactors_of_list(to); });
}

}  // namespace wsserver
