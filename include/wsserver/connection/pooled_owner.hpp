// An owner of many connections: the pool that they live in, their timers, and the list of those with output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/connection_pool.hpp"
#include "wsserver/connection/owner_timers.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

namespace detail {

/// The transport of a PooledOwner that makes its own: a base before that one, so that it is destroyed after it.
template <Transport T>
struct OwnTransport {
    template <class... Args>
    explicit OwnTransport(Args&&... args) : own_transport(std::forward<Args>(args)...) {}

    T own_transport;
};

}  // namespace detail

/// Connections use all of their owner until they are gone, so a deriving class clears `pool_` in its destructor.
template <Transport T, Role role>
class PooledOwner : public OwnerOn<T, role> {
   protected:
    /// `transport` must outlive it. `number`: of the reactor, for the ids of its connections.
    explicit PooledOwner(T& transport, std::uint16_t number = 0)
        : OwnerOn<T, role>(transport), timers_(transport), pool_(number) {}
    ~PooledOwner() = default;

    /// A new connection, not started yet. Null when the pool is full.
    Connection<role, T>* add(typename T::Socket socket) {
        return pool_.emplace(static_cast<OwnerOn<T, role>&>(*this), std::move(socket));
    }

    // ConnectionOwner; on_ended() and on_released(), which erases the connection, are left to the deriving class.
    void schedule(OwnedConnection& connection, Clock::time_point when) override { timers_.schedule(connection, when); }
    void cancel(OwnedConnection& connection) noexcept override { timers_.cancel(connection); }
    void flush_later(ConnectionId id) override {
        if (dirty_.empty()) this->transport().post([this] { flush_dirty(); });
        dirty_.push_back(id);
    }
    void go_on_later(ConnectionId id) override {
        this->transport().post([this, id] {
            if (auto* connection = pool_.find(id)) connection->go_on();
        });
    }
    void on_opened(ConnectionId id) override { pool_.open(id); }
    void on_closing(ConnectionId id) noexcept override { pool_.retire(id); }

    OwnerTimers<T> timers_;

   private:
    void flush_dirty() {
        // What waits for one connection leaves together, broadcasts included.
        if constexpr (role == Role::server) this->broadcasts_first();
        // By index: flush() may end a connection, and what hears of that may send to another.
        for (std::size_t i = 0; i < dirty_.size(); ++i) {
            if (auto* connection = pool_.find(dirty_[i])) connection->flush();
        }
        dirty_.clear();
    }

    std::vector<ConnectionId> dirty_;

   protected:
    ConnectionPool<Connection<role, T>> pool_;  // last: its connections use all of the above
};

}  // namespace wsserver
