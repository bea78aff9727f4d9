// What a connection needs of its owner: the server's reactor, or a client.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <variant>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_counters.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/connection_options.hpp"
#include "wsserver/connection/handshake_result.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/protocol/rfc6455.hpp"
#include "wsserver/scheduling/timer_wheel.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// A connection of any transport, as timers and pooled handlers see it.
class OwnedConnection : public AnyConnection, public TimerNode {
   public:
    /// Its handler can't take more just now. Connection::resume_receiving() ends that.
    virtual void hold_receiving() = 0;
    /// The time has come that it last asked its owner for.
    virtual void on_timer() = 0;

   protected:
    ~OwnedConnection() = default;
};

/// Is this broadcast for `connection`?
inline bool hears(const Audience& audience, const AnyConnection& connection) noexcept {
    if (audience.subprotocol && *audience.subprotocol != connection.subprotocol()) return false;
    return !audience.except || *audience.except != connection.id();
}

/// The owner's answer to a client's offer.
struct Acceptance {
    std::shared_ptr<AnyHandler> handler;
    std::string_view subprotocol;  ///< empty: none; lies in the offer or lives as long as the handler
};

/// What a connection needs of its owner, whatever its role.
class ConnectionOwner {
   public:
    const ConnectionOptions& options() const noexcept { return connection_options_; }
    ConnectionCounters& counts() noexcept { return counters_; }
    HandshakeResultCache& handshake_results() noexcept { return handshake_results_; }
    /// Reaches the owner's connections from any thread. Null if it has no hub.
    const std::shared_ptr<Hub>& hub() const noexcept { return hub_; }

    /// Calls connection.on_timer() once, then or soon after; a later schedule() replaces the time.
    virtual void schedule(OwnedConnection& connection, Clock::time_point when) = 0;
    virtual void cancel(OwnedConnection& connection) noexcept = 0;
    /// Calls connection.flush() before the turn ends.
    virtual void flush_later(ConnectionId id) = 0;
    /// Calls connection.go_on() in a later turn.
    virtual void go_on_later(ConnectionId id) = 0;

    /// The opening handshake has succeeded: the connection may be sent to.
    virtual void on_opened(ConnectionId id) = 0;
    /// Data may no longer be sent: the closing handshake has begun, or the connection has ended.
    virtual void on_closing(ConnectionId id) noexcept = 0;
    /// Called exactly once for each connection, when nothing more is received from it.
    virtual void on_ended(const ConnectionEnd& end) = 0;
    /// The last call: the connection may be destroyed now, from within this call.
    virtual void on_released(ConnectionId id) = 0;

   protected:
    ~ConnectionOwner() = default;

    ConnectionOptions connection_options_;
    ConnectionCounters counters_;
    std::shared_ptr<Hub> hub_;

   private:
    HandshakeResultCache handshake_results_;
};

/// The owner of a server's connections.
class ServerOwner : public ConnectionOwner {
   public:
    /// Which handler serves this client, and with which subprotocol?
    virtual std::variant<Acceptance, Errc> choose(OwnedConnection& connection, const Offer& offer) = 0;
    /// The program's answer to a request that is not an upgrade.
    virtual std::optional<HttpResponse> answer(const HttpRequest& request) = 0;

    /// Broadcasts wait for the end of the turn, to leave together. What a connection sends later must not overtake
    /// them.
    void broadcasts_first() {
        if (broadcasts_wait_) send_broadcasts();
    }

   protected:
    ~ServerOwner() = default;
    virtual void send_broadcasts() = 0;

    bool broadcasts_wait_ = false;
};

/// The owner of a client's connections.
class ClientOwner : public ConnectionOwner {
   public:
    /// The server's response, whether it accepts or refuses.
    virtual void on_response(const HttpResponse&) {}

   protected:
    ~ClientOwner() = default;
};

/// An owner whose connections all live on one transport.
template <Transport T, Role role>
class OwnerOn : public std::conditional_t<role == Role::server, ServerOwner, ClientOwner> {
   public:
    /// `transport` must outlive the connections.
    explicit OwnerOn(T& transport) noexcept : transport_(transport) {}

    T& transport() const noexcept { return transport_; }

   protected:
    ~OwnerOn() = default;

   private:
    T& transport_;
};

}  // namespace wsserver
