// A hub that works with any transport: it posts each call to the thread of the connections.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_pool.hpp"
#include "wsserver/connection/hub.hpp"

namespace wsserver {

/// Reaches the connections of one pool. Each call copies its payload and posts a task. A broadcast is encoded for each
/// receiver. It is held by a shared_ptr and may outlive the pool and its transport.
template <Transport T, Role role>
class PostingHub final : public Hub, public std::enable_shared_from_this<PostingHub<T, role>> {
   public:
    /// The connections that it reaches.
    using Connection = wsserver::Connection<role, T>;
    /// The pool of these connections.
    using Pool = ConnectionPool<Connection>;

    /// `transport` and `pool` must live until detach().
    PostingHub(T& transport, Pool& pool) noexcept : transport_(transport), pool_(&pool) {}

    /// Called on the transport's thread. From now on, sending returns `closed` and broadcasts report 0.
    void detach() {
        const std::lock_guard lock(mutex_);
        pool_ = nullptr;
    }

    SendStatus send(ConnectionId to, const Text& message) override { return send_copy(to, message); }
    SendStatus send(ConnectionId to, const Binary& message) override { return send_copy(to, message); }
    SendStatus ping(ConnectionId to, Bytes payload) override {
        if (payload.size() > max_control_payload) return SendStatus::refused;
        return run(to, [copy = copy_of(payload)](Connection& connection) { connection.ping(bytes_of(copy)); });
    }
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override {
        if (!may_be_sent(code) || reason.size() > max_close_reason) return SendStatus::refused;
        return run(to, [code, copy = std::string{reason}](Connection& connection) { connection.close(code, copy); });
    }
    void broadcast(const Audience& audience, const Text& message, Count done = {}) override {
        broadcast_copy(audience, message, std::move(done));
    }
    void broadcast(const Audience& audience, const Binary& message, Count done = {}) override {
        broadcast_copy(audience, message, std::move(done));
    }
    void ping_all(Count done = {}) override {
        run_for_all([](Connection& connection) { return connection.ping({}); }, std::move(done));
    }
    void close_all(CloseCode code, std::string_view reason, Count done = {}) override {
        run_for_all([code, copy = std::string{reason}](Connection& c) { return c.close(code, copy); }, std::move(done));
    }

   private:
    static std::string copy_of(Bytes payload) { return std::string{text_of(payload)}; }

    template <class M>
    SendStatus send_copy(ConnectionId to, const M& message) {
        return run(to, [copy = copy_of(message.payload())](Connection& connection) {
            connection.send_as(SendKind::message, M::from_payload(bytes_of(copy)));
        });
    }

    template <class M>
    void broadcast_copy(const Audience& audience, const M& message, Count done) {
        run_for_all(
            [audience, copy = copy_of(message.payload())](Connection& connection) {
                if (!hears(audience, connection)) return SendStatus::refused;
                return connection.send_as(SendKind::message, M::from_payload(bytes_of(copy)));
            },
            std::move(done));
    }

    /// Calls `action` on the transport's thread if the connection still exists then.
    template <class Action>
    SendStatus run(ConnectionId to, Action action) {
        const std::lock_guard lock(mutex_);
        if (pool_ == nullptr || !pool_->is_open(to)) return SendStatus::closed;
        transport_.post([hub = this->weak_from_this(), to, action = std::move(action)] {
            const auto self = hub.lock();
            Connection* connection = self && self->pool_ != nullptr ? self->pool_->find(to) : nullptr;
            if (connection != nullptr) action(*connection);
        });
        return SendStatus::queued;
    }

    template <class Action>
    void run_for_all(Action action, Count done) {
        // If there is no pool, or no memory for the task, its destructor reports 0 after the lock is released.
        const auto completion = std::make_shared<Completion>(std::move(done));
        const std::lock_guard lock(mutex_);
        if (pool_ == nullptr) return;
        transport_.post([hub = this->weak_from_this(), action = std::move(action), completion] {
            const auto self = hub.lock();
            if (!self || self->pool_ == nullptr) return;
            std::size_t receivers = 0;
            self->pool_->for_each([&](Connection& connection) {
                if (connection.is_open() && action(connection) == SendStatus::queued) ++receivers;
            });
            completion->report(receivers);
        });
    }

    T& transport_;
    std::mutex mutex_;
    Pool* pool_;  // written by the transport's thread under mutex_; that thread reads it without the lock
};

}  // namespace wsserver
