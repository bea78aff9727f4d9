// An owner of many connections: their pool, their timers, and the list of those with output.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/connection_pool.hpp"
#include "wsserver/connection/inbox.hpp"
#include "wsserver/connection/memory_budget.hpp"
#include "wsserver/connection/memory_watch.hpp"
#include "wsserver/connection/owner_timers.hpp"
#include "wsserver/connection/served_call.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

namespace detail {

/// The transport of a PooledOwner that constructs its own. As the first base class it is destroyed last.
template <Transport T>
struct OwnTransport {
    template <class... Args>
    explicit OwnTransport(Args&&... args) : own_transport(std::forward<Args>(args)...) {}

    T own_transport;
};

}  // namespace detail

/// An owner that keeps its connections in a pool. The connections use the complete owner as long as they exist, so a
/// derived class must clear `pool_` in its destructor.
template <Transport T, Role role>
class PooledOwner : public OwnerOn<T, role> {
   protected:
    /// transport  must outlive the owner
    /// number     the number of the reactor in the ids of its connections
    explicit PooledOwner(T& transport, std::uint16_t number = 0)
        : OwnerOn<T, role>(transport), timers_(transport), pool_(number), watch_(pool_) {
        this->protocol_options_.memory = &memory_;
    }
    ~PooledOwner() = default;

    /// Adds a connection that is not started yet. Null if the pool is full.
    Connection<role, T>* add(typename T::Socket socket) {
        return pool_.emplace(static_cast<OwnerOn<T, role>&>(*this), std::move(socket));
    }

    /// Closes the connections with `subprotocol` that `handler` serves for `route`. Null: for all paths.
    void close_served(const AnyHandler& handler, std::string_view subprotocol, const PathPattern* route,
                      CloseCode code) {
        pool_.for_each([&](Connection<role, T>& connection) {
            const auto* served_by = connection.handler();
            if (served_by == nullptr || &served_by->underlying() != &handler || connection.route() != route) return;
            if (connection.subprotocol() == subprotocol) connection.close(code, "the handler was removed");
        });
    }
    /// Calls for the open connections of a handler, a few in each turn. Without memory, for none.
    void call_for_served(ServedCall call) {
        auto ids = std::make_shared<std::deque<ConnectionId>>();
        const auto find = [&] {
            pool_.for_each([&](Connection<role, T>& connection) {
                const auto* served_by = connection.handler();
                if (served_by != nullptr && call.is_of(served_by->underlying())) ids->push_back(connection.id());
            });
        };
        // In a later turn, since this one may be that of a reaction.
        if (within_memory(find)) (void)call_some_soon(call.call, ids);
    }
    /// Destroys a connection. It has left its rooms and its user before, unless memory ran out while it ended.
    void erase(ConnectionId id) {
        if constexpr (role == Role::server) this->memberships().leave_all(id.slot);
        pool_.erase(id);
    }

    // ConnectionOwner. The derived class implements on_ended(), and on_released(), which erases the connection.

    /// See ConnectionOwner.
    void schedule(OwnedConnection& connection, Clock::time_point when) override { timers_.schedule(connection, when); }
    /// See ConnectionOwner.
    void cancel(OwnedConnection& connection) noexcept override { timers_.cancel(connection); }
    /// See ConnectionOwner.
    void flush_later(ConnectionId id) override {
        dirty_.push_back(id);
        if (dirty_.size() == 1) (void)soon([this] { flush_dirty(); });
    }
    /// See ConnectionOwner.
    void go_on_later(ConnectionId id) override {
        going_on_.push_back(id);
        go_on_soon();
    }
    /// See ConnectionOwner.
    void on_opened(ConnectionId id) override { pool_.open(id); }
    /// See ConnectionOwner.
    bool on_close_called(ConnectionId id) noexcept override { return pool_.close_called(id); }
    /// See ConnectionOwner.
    void on_closing(ConnectionId id) noexcept override { pool_.retire(id); }
    /// See ConnectionOwner.
    void on_queued(ConnectionId id, std::size_t bytes) noexcept override { pool_.note_queued(id, bytes); }
    /// See ConnectionOwner.
    bool on_memory_held(ConnectionId id) noexcept override { return watch_.note(id); }

    /// The options of all connections and the memory limit from now on. A message or a body must fit the budget.
    void use_limits(const ConnectionOptions& options, std::size_t memory_limit) noexcept {
        this->use_options(options);
        memory_limit_ = memory_limit;
        this->protocol_options_.max_message = std::min(options.max_message, budget().longest_message());
        if constexpr (role == Role::server) this->longest_body_ = budget().longest_message();
    }
    /// The budget for what the connections of all threads hold.
    MemoryBudget budget() const noexcept { return MemoryBudget{memory_limit_}; }
    /// Calls `look` in a later turn whenever the connections have grown so much that look_at_memory() must be called.
    template <class Look>
    void on_memory_growth(Look look) {
        memory_.on_growth([this, look] {
            this->receives_little_ = true;
            this->transport().post(look);
        });
        memory_.watch(budget().step(0));
    }
    /// Applies the memory budget. `use` is what the connections of all threads hold. Sets `next_look_`; the owner must
    /// then arm its timers. If a listener of the program throws, it looks again soon.
    void look_at_memory(MemoryUse use) {
        const bool is_over = budget().is_over(use.total);
        if constexpr (role == Role::server) this->over_memory_limit_ = is_over;
        next_look_ = later(this->transport().now(), look_interval);
        timers_.arm(next_look_);
        // If it is over the limit, the next look finds out what the closed connections have freed.
        bool is_short = true;  // also if there is no memory to look
        (void)within_memory([&] { is_short = watch_.look(budget(), use) || is_over; });
        if (!is_short) next_look_ = Clock::time_point::max();
        this->receives_little_ = is_short;
        memory_.watch(memory_.read() + budget().step(use.total));
    }

    /// Calls `task` in a later turn. Returns false if there is no memory for that. Then catch_up() is called in a later
    /// turn.
    template <class Task>
    bool soon(Task task) {
        if (within_memory([&] { this->transport().post(task); })) return true;
        timers_.arm(this->transport().now());
        return false;
    }
    /// The owner calls this when the transport wakes it. Does what soon() could not post.
    void catch_up() {
        flush_dirty();
        if (!going_on_posted_) go_on_some();
    }

    /// The interval of looks while memory is short.
    static constexpr std::chrono::milliseconds look_interval{5};

    OwnerTimers<T> timers_;                                   ///< of all connections
    MemoryAccount memory_;                                    ///< what the connections hold
    std::size_t memory_limit_ = 0;                            ///< for budget(); 0: unlimited
    Clock::time_point next_look_ = Clock::time_point::max();  ///< when to call look_at_memory()

   private:
    void flush_dirty() {
        // All output of a connection is sent together, including broadcasts.
        if constexpr (role == Role::server) this->broadcasts_first();
        // By index: flush() may end a connection, and the owner may then send to another one.
        for (std::size_t i = 0; i < dirty_.size(); ++i) {
            if (auto* connection = pool_.find(dirty_[i])) connection->flush();
        }
        dirty_.clear();
    }

    /// The most connections that continue in a turn. The others wait for a later one.
    static constexpr std::size_t continue_at_once = 4;

    void go_on_soon() {
        if (going_on_posted_ || going_on_.empty()) return;
        going_on_posted_ = soon([this] {
            going_on_posted_ = false;
            go_on_some();
        });
    }
    void go_on_some() {
        for (std::size_t i = std::min(going_on_.size(), continue_at_once); i > 0; --i) {
            auto* const connection = pool_.find(going_on_.front());
            going_on_.pop_front();
            if (connection != nullptr) connection->go_on();
        }
        go_on_soon();
    }

    using SharedCall = std::shared_ptr<const std::function<void(AnyConnection&)>>;
    using SharedIds = std::shared_ptr<std::deque<ConnectionId>>;

    /// Returns false without memory for it.
    bool call_some_soon(const SharedCall& call, const SharedIds& ids) {
        return within_memory([&] { this->transport().post([this, call, ids] { call_some(call, ids); }); });
    }
    /// Calls for the first ones of `ids`, and for the others in a later turn. Without memory for that, in this one.
    void call_some(const SharedCall& call, const SharedIds& ids) {
        constexpr std::size_t call_at_once = 64;
        do {
            for (std::size_t i = std::min(ids->size(), call_at_once); i > 0; --i) {
                auto* const connection = pool_.find(ids->front());
                ids->pop_front();
                if (connection == nullptr) continue;
                PostedCall posted{[call](AnyConnection& reached) { (*call)(reached); }, {}};
                (void)connection->take_call(posted);
            }
        } while (!ids->empty() && !call_some_soon(call, ids));
    }

    std::vector<ConnectionId> dirty_;
    std::deque<ConnectionId> going_on_;  ///< connections with bytes that were too much for one turn
    bool going_on_posted_ = false;       ///< a call of go_on_some() is posted

   protected:
    ConnectionPool<Connection<role, T>> pool_;                ///< its connections use all other members
    MemoryWatch<ConnectionPool<Connection<role, T>>> watch_;  ///< the connections that hold memory
};

}  // namespace wsserver
