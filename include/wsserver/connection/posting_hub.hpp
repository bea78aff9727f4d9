// A hub that works with any transport: it executes each call on the thread of the connections.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "wsserver/base/memory_account.hpp"
#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_pool.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/inbox.hpp"
#include "wsserver/connection/item_hub.hpp"
#include "wsserver/connection/rooms.hpp"

namespace wsserver {

/// Reaches the connections of one pool. Each call copies its payload into an inbox, which is bounded: over its limit,
/// the result is `dropped`. A server's broadcast is encoded once and shared by its receivers, unless a tap sees its
/// frames. A client masks it for each connection. The hub is held by a shared_ptr and may outlive the pool and its
/// transport.
///
/// P  has is_open(id) and queued(id), which any thread may call, find(id) and for_each(f), as ConnectionPool has; for a
/// server, also
///    in_slot(slot)
template <Transport T, Role role, class P = ConnectionPool<Connection<role, T>>>
class PostingHub final : public ItemHub, public std::enable_shared_from_this<PostingHub<T, role, P>> {
   public:
    /// The connections that it reaches.
    using Connection = wsserver::Connection<role, T>;
    /// The pool of these connections.
    using Pool = P;

    /// `transport`, `pool`, `memberships` and `encoding` must live until detach(). `limit` is the most bytes that wait
    /// for the transport's thread. `memberships` are those of a server's connections; null: there are no rooms and
    /// users. `encoding` are the options of their protocols; null: each connection encodes broadcasts.
    PostingHub(T& transport, Pool& pool, std::size_t limit = Inbox::default_limit, Memberships* memberships = nullptr,
               const ProtocolOptions* encoding = nullptr)
        : transport_(transport), inbox_(limit), memberships_(memberships), encoding_(encoding), pool_(&pool) {}

    SendStatus join(ConnectionId member, std::string_view room) override {
        return memberships_ != nullptr ? ItemHub::join(member, room) : SendStatus::refused;
    }
    SendStatus leave(ConnectionId member, std::string_view room) override {
        return memberships_ != nullptr ? ItemHub::leave(member, room) : SendStatus::refused;
    }
    SendStatus set_user(ConnectionId of, std::string_view user) override {
        return memberships_ != nullptr ? ItemHub::set_user(of, user) : SendStatus::refused;
    }

    /// Called on the transport's thread. From now on, sending returns `closed`, and broadcasts report 0. So do those
    /// that wait: when it returns, no Completion of an earlier broadcast is called any more.
    void detach() {
        Inbox::Batch waiting;
        {
            const std::lock_guard lock(mutex_);
            pool_ = nullptr;
            inbox_.take(waiting);
        }
        report_dropped(waiting);
        for (const Run* run = innermost_; run != nullptr; run = run->outer) report_dropped(run->batch);
    }

    /// Changes the limit. Any thread.
    void set_limit(std::size_t limit) noexcept { inbox_.set_limit(limit); }
    /// The memory of the broadcasts that are shared and not yet sent. Changed by the transport's thread.
    MemoryAccount& shared_memory() noexcept { return *shared_memory_; }
    /// The memory of the requests that wait, in bytes. Any thread.
    std::size_t waiting_bytes() const noexcept { return inbox_.waiting_bytes(); }
    /// The number of requests that were dropped because too many waited, or because their connection ended first. Any
    /// thread.
    std::uint64_t dropped_requests() const noexcept { return dropped_.load(std::memory_order_relaxed); }

    std::size_t queued(ConnectionId of) const noexcept override {
        const std::lock_guard lock(mutex_);
        return pool_ != nullptr ? pool_->queued(of) : 0;
    }

    /// See ItemHub. The connections of a client wait for no decision.
    SendStatus decide(ConnectionId id, UpgradeDecision&& decision) override {
        if constexpr (role == Role::client) return SendStatus::closed;
        auto status = SendStatus::dropped;
        (void)within_memory([&] {
            // Outlives the lock: the destructor of a handler that it holds may call this hub.
            const auto made = std::make_shared<UpgradeDecision>(std::move(decision));
            const std::lock_guard lock(mutex_);
            if (pool_ == nullptr) {
                status = SendStatus::closed;
                return;
            }
            transport_.post([hub = this->weak_from_this(), id, made] {
                if (const auto self = hub.lock()) self->execute_decision(id, std::move(*made));
            });
            status = SendStatus::queued;
        });
        return status;
    }

    /// See ItemHub. Clients have no such exchange.
    SendStatus serve_http(ConnectionId id) override {
        if constexpr (role == Role::client) return SendStatus::closed;
        const std::lock_guard lock(mutex_);
        if (pool_ == nullptr) return SendStatus::closed;
        transport_.post([hub = this->weak_from_this(), id] {
            if (const auto self = hub.lock()) self->execute_http(id);
        });
        return SendStatus::queued;
    }

   private:
    /// A broadcast that counts as long as it is not sent to all. The hub may be gone by then.
    struct Counted {
        Counted(std::shared_ptr<const SharedMessage> its_message, std::shared_ptr<MemoryAccount> its_account) noexcept
            : message(std::move(its_message)), account(std::move(its_account)), charge(account.get()) {
            charge.set(message->memory());
        }

        const std::shared_ptr<const SharedMessage> message;
        const std::shared_ptr<MemoryAccount> account;
        MemoryCharge charge;
    };

    void execute_http(ConnectionId id) {
        if constexpr (role == Role::server) {
            Connection* connection = pool_ != nullptr ? pool_->find(id) : nullptr;
            if (connection != nullptr) connection->serve_http();
        }
    }
    void execute_decision(ConnectionId id, UpgradeDecision&& decision) {
        if constexpr (role == Role::server) {
            Connection* connection = pool_ != nullptr ? pool_->find(id) : nullptr;
            if (connection != nullptr) connection->decide(std::move(decision));
        }
    }

    SendStatus put(InboxItem item, Bytes payload) override {
        const std::lock_guard lock(mutex_);
        const bool for_open_one = !item.to_all && !item.may_pass_limit();
        if (pool_ == nullptr || (for_open_one && !pool_->is_open(item.to))) return SendStatus::closed;
        const auto wake = [this] {
            transport_.post([hub = this->weak_from_this()] {
                if (const auto self = hub.lock()) self->take_items();
            });
        };
        if (inbox_.put(std::move(item), payload, wake)) return SendStatus::queued;
        drop();
        return SendStatus::dropped;
    }

    SendStatus put_all(InboxItem item, const Audience* audience, const AnyMessage& message, Completion done) override {
        item.to_all = std::make_unique<Broadcast>();
        if (audience != nullptr) item.to_all->audience = std::make_shared<const Audience>(*audience);
        item.to_all->done = std::move(done);
        if (message.has_memory()) return put_taken(std::move(item), message);
        return put(std::move(item), message.payload());  // destroys an item that it does not take, after its lock
    }

    SendStatus put_each(InboxItem item, std::span<const ConnectionId> to, const AnyMessage& message,
                        Completion done) override {
        if (to.empty()) return SendStatus::closed;  // the end of `done` reports 0
        item.to_all = std::make_unique<Broadcast>();
        item.to_all->to.assign(to.begin(), to.end());
        item.to_all->done = std::move(done);
        if (message.has_memory()) return put_taken(std::move(item), message);
        return put(std::move(item), message.payload());
    }
    SendStatus put_taken(InboxItem item, const AnyMessage& message) {
        item.to_all->taken = message.take();
        if (item.to_all->taken.memory.data() == nullptr) return SendStatus::refused;
        return put(std::move(item), {});
    }

    /// The items that take_items() executes. A reaction or a Completion may detach the hub, or run the loop and so
    /// begin another run.
    struct Run {
        explicit Run(PostingHub& of)
            : hub(of), batch(std::exchange(of.spare_, {})), outer(std::exchange(of.innermost_, this)) {}
        Run(const Run&) = delete;
        Run& operator=(const Run&) = delete;
        ~Run() {
            batch.clear();
            hub.spare_ = std::move(batch);
            hub.innermost_ = outer;
        }

        PostingHub& hub;
        Inbox::Batch batch;
        const Run* outer;
    };

    void take_items() {
        Run run(*this);
        inbox_.take(run.batch);
        for (InboxItem& item : run.batch.items) {
            if (pool_ == nullptr) break;
            const Bytes payload = run.batch.payload_of(item);
            if (!item.to_all) {
                execute_for_one(item, payload);
            } else if (!within_memory([&] { execute_for_all(item, payload); })) {
                drop();
                item.to_all->done(0);
            }
        }
    }

    static void report_dropped(const Inbox::Batch& batch) noexcept {
        for (const InboxItem& item : batch.items) {
            if (item.to_all) item.to_all->done(0);
        }
    }

    void execute_for_one(InboxItem& item, Bytes payload) {
        Connection* connection = pool_->find(item.to);
        // The connection was open when put() returned `queued`.
        if (connection == nullptr || execute_item(item, payload, *connection) == SendStatus::closed) drop();
    }

    void execute_for_all(InboxItem& item, Bytes payload) {
        std::size_t receivers = 0;
        const auto shared = encoded_once(item, payload);
        if (item.to_all->taken.memory.data() != nullptr) payload = item.to_all->taken.bytes;
        const auto execute = [&](Connection& connection) {
            const auto& audience = item.to_all->audience;
            if (!connection.is_open() || (audience && !hears(*audience, connection))) return;
            const SendStatus status =
                shared ? connection.send_shared(shared, item.send_as) : execute_item(item, payload, connection);
            if (status == SendStatus::queued) ++receivers;
        };
        for_each_of(*item.to_all, execute);
        item.to_all->done(receivers);
    }
    /// The message that all receivers share; null: the request has none, or each connection encodes it.
    std::shared_ptr<const SharedMessage> encoded_once(InboxItem& item, Bytes payload) {
        const bool is_text = item.kind == InboxItem::Kind::send_text;
        if (!is_text && item.kind != InboxItem::Kind::send_binary) return nullptr;
        if (role == Role::client || encoding_ == nullptr || encoding_->tap != nullptr) return nullptr;
        OwnedPayload& taken = item.to_all->taken;
        const auto opcode = is_text ? Opcode::text : Opcode::binary;
        const AnyMessage message = is_text ? AnyMessage{Text::from_payload(payload)} : AnyMessage{Binary{payload}};
        auto shared = taken.memory.data() != nullptr ? SharedMessage::of(opcode, taken, encoding_->fragment_size)
                                                     : SharedMessage::of(message, encoding_->fragment_size);
        const auto counted = std::make_shared<const Counted>(std::move(shared), shared_memory_);
        return {counted, counted->message.get()};
    }
    /// A reaction may detach the hub meanwhile.
    template <class F>
    void for_each_of(const Broadcast& broadcast, F&& f) {
        if (!broadcast.to.empty()) {
            for (const ConnectionId id : broadcast.to) {
                if (Connection* connection = pool_ != nullptr ? pool_->find(id) : nullptr) f(*connection);
            }
        } else if (!broadcast.audience || !selects_members(*broadcast.audience)) {
            pool_->for_each(f);
        } else if constexpr (role == Role::server) {
            if (memberships_ == nullptr) return;
            const auto visit = [&](std::uint32_t slot) {
                if (Connection* connection = pool_ != nullptr ? pool_->in_slot(slot) : nullptr) f(*connection);
            };
            for_each_selected(*memberships_, *broadcast.audience, visit, [](std::uint32_t) {});
        }
    }

    void drop() noexcept { dropped_.fetch_add(1, std::memory_order_relaxed); }

    T& transport_;
    Inbox inbox_;
    Inbox::Batch spare_;  ///< keeps the memory of the last batch
    const Run* innermost_ = nullptr;
    std::atomic<std::uint64_t> dropped_{0};
    Memberships* const memberships_;         ///< null: there are none
    const ProtocolOptions* const encoding_;  ///< null: each connection encodes broadcasts
    const std::shared_ptr<MemoryAccount> shared_memory_ = std::make_shared<MemoryAccount>();
    mutable std::mutex mutex_;
    Pool* pool_;  // written by the transport's thread under mutex_; that thread reads it without the lock
};

}  // namespace wsserver
