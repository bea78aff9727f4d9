// What a connection needs of its surroundings: the server's reactor, or a client.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <variant>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_counters.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/connection_options.hpp"
#include "wsserver/connection/handshake_result.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/protocol/error.hpp"
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

class ConnectionOwner {
   public:
    const ConnectionOptions& options() const noexcept { return connection_options_; }
    ConnectionCounters& counts() noexcept { return counters_; }
    virtual const std::shared_ptr<Hub>& hub() const noexcept = 0;
    /// Calls connection.on_timer() once, then or soon after; a later schedule() replaces the time.
    virtual void schedule(OwnedConnection& connection, Clock::time_point when) = 0;
    virtual void cancel(OwnedConnection& connection) noexcept = 0;
    /// Calls connection.flush() before the turn ends.
    virtual void flush_later(ConnectionId id) = 0;
    /// Calls connection.go_on() in a later turn.
    virtual void go_on_later(ConnectionId id) = 0;
    /// Broadcasts wait for the end of the turn, to leave together. What a connection says later must not overtake them.
    void broadcasts_first() {
        if (broadcasts_wait_) send_broadcasts();
    }

    HandshakeResultCache& handshake_results() noexcept { return handshake_results_; }

    /// Who serves this client? (Server role.)
    virtual std::variant<Acceptance, Errc> choose(OwnedConnection& connection, const Offer& offer) = 0;
    /// The program's answer to a request that is no upgrade. (Server role.)
    virtual std::optional<HttpResponse> answer(const HttpRequest& request) = 0;

    /// The server's answer, whatever it says. (Client role.)
    virtual void on_response(const HttpResponse&) {}

    /// The opening handshake is done: it may be sent to.
    virtual void on_opened(ConnectionId id) = 0;
    /// Data may no longer be sent: its closing handshake has begun, or it ended.
    virtual void on_closing(ConnectionId id) noexcept = 0;
    /// Once for each connection, when nothing more will be heard of it.
    virtual void on_ended(const ConnectionEnd& end) = 0;
    /// The last call: it may be destroyed now, from within this call.
    virtual void on_released(ConnectionId id) = 0;

   protected:
    ~ConnectionOwner() = default;
    virtual void send_broadcasts() {}

    ConnectionOptions connection_options_;
    ConnectionCounters counters_;
    bool broadcasts_wait_ = false;

   private:
    HandshakeResultCache handshake_results_;
};

/// An owner whose connections all live on one transport.
template <Transport T>
class OwnerOn : public ConnectionOwner {
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
