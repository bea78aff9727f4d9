// An owner of many connections: their pool, their timers, and the list of those with output.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
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
        going_on_.push_back(id);
        go_on_soon();
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

    /// The most connections that continue in a turn. The others wait for a later one.
    static constexpr std::size_t continue_at_once = 4;

    void go_on_soon() {
        if (going_on_posted_ || going_on_.empty()) return;
        this->transport().post([this] { go_on_some(); });
        going_on_posted_ = true;
    }
    void go_on_some() {
        going_on_posted_ = false;
        for (std::size_t i = std::min(going_on_.size(), continue_at_once); i > 0; --i) {
            auto* const connection = pool_.find(going_on_.front());
            going_on_.pop_front();
            if (connection != nullptr) connection->go_on();
        }
        go_on_soon();
    }

    std::vector<ConnectionId> dirty_;
    std::deque<ConnectionId> going_on_;  ///< connections with bytes that were too much for one turn
    bool going_on_posted_ = false;       ///< a call of go_on_some() is posted

   protected:
    ConnectionPool<Connection<role, T>> pool_;  ///< the last member: its connections use all others
};

}  // namespace wsserver
