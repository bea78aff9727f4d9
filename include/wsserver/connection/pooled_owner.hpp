// An owner of many connections: their pool, their timers, and the list of those with output.
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
        : OwnerOn<T, role>(transport), timers_(transport), pool_(number) {}
    ~PooledOwner() = default;

    /// Adds a connection that is not started yet. Null if the pool is full.
    Connection<role, T>* add(typename T::Socket socket) {
        return pool_.emplace(static_cast<OwnerOn<T, role>&>(*this), std::move(socket));
    }

    // ConnectionOwner. The derived class implements on_ended(), and on_released(), which erases the connection.

    /// See ConnectionOwner.
    void schedule(OwnedConnection& connection, Clock::time_point when) override { timers_.schedule(connection, when); }
    /// See ConnectionOwner.
    void cancel(OwnedConnection& connection) noexcept override { timers_.cancel(connection); }
    /// See ConnectionOwner.
    void flush_later(ConnectionId id) override {
        if (dirty_.empty()) this->transport().post([this] { flush_dirty(); });
        dirty_.push_back(id);
    }
    /// See ConnectionOwner.
    void go_on_later(ConnectionId id) override {
        this->transport().post([this, id] {
            if (auto* connection = pool_.find(id)) connection->go_on();
        });
    }
    /// See ConnectionOwner.
    void on_opened(ConnectionId id) override { pool_.open(id); }
    /// See ConnectionOwner.
    void on_close_called(ConnectionId id) noexcept override { pool_.close_called(id); }
    /// See ConnectionOwner.
    void on_closing(ConnectionId id) noexcept override { pool_.retire(id); }

    OwnerTimers<T> timers_;  ///< of all connections

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

    std::vector<ConnectionId> dirty_;

   protected:
    ConnectionPool<Connection<role, T>> pool_;  ///< the last member: its connections use all others
};

}  // namespace wsserver
