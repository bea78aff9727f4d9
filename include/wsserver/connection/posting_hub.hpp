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

#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_pool.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/inbox.hpp"
#include "wsserver/connection/item_hub.hpp"
#include "wsserver/connection/rooms.hpp"

namespace wsserver {

/// Reaches the connections of one pool. Each call copies its payload into an inbox, which is bounded: over its limit,
/// the result is `dropped`. A broadcast is encoded for each receiver. The hub is held by a shared_ptr and may outlive
/// the pool and its transport.
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

    /// `transport`, `pool` and `memberships` must live until detach(). `limit` is the most bytes that wait for the
    /// transport's thread. `memberships` are those of a server's connections; null: there are no rooms and users.
    PostingHub(T& transport, Pool& pool, std::size_t limit = Inbox::default_limit,
               Memberships* memberships = nullptr) noexcept
        : transport_(transport), inbox_(limit), memberships_(memberships), pool_(&pool) {}

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
        return put(std::move(item), message.payload());  // destroys an item that it does not take, after its lock
    }

    SendStatus put_each(InboxItem item, std::span<const ConnectionId> to, const AnyMessage& message,
                        Completion done) override {
        if (to.empty()) return SendStatus::closed;  // the end of `done` reports 0
        item.to_all = std::make_unique<Broadcast>();
        item.to_all->to.assign(to.begin(), to.end());
        item.to_all->done = std::move(done);
        return put(std::move(item), message.payload());
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
            item.to_all ? execute_for_all(item, payload) : execute_for_one(item, payload);
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
        const auto execute = [&](Connection& connection) {
            const auto& audience = item.to_all->audience;
            if (!connection.is_open() || (audience && !hears(*audience, connection))) return;
            if (execute_item(item, payload, connection) == SendStatus::queued) ++receivers;
        };
        for_each_of(*item.to_all, execute);
        item.to_all->done(receivers);
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
    Memberships* const memberships_;  ///< null: there are none
    mutable std::mutex mutex_;
    Pool* pool_;  // written by the transport's thread under mutex_; that thread reads it without the lock
};

}  // namespace wsserver
