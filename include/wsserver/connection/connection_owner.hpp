// The interface between a connection and its owner, which is a reactor of a server or a client.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_counters.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/connection_options.hpp"
#include "wsserver/connection/handshake_result.hpp"
#include "wsserver/connection/http_date.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/rooms.hpp"
#include "wsserver/connection/shared_pace.hpp"
#include "wsserver/connection/upgrade_reply.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/protocol/protocol.hpp"
#include "wsserver/protocol/rfc6455.hpp"
#include "wsserver/scheduling/timer_wheel.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

class HttpRoutes;

/// What connections share besides the server: see GroupLimits.
enum class GroupKind : std::uint8_t { address, user };

/// A connection whose transport is not known. Timers and pooled handlers call it.
class OwnedConnection : public AnyConnection, public TimerNode {
   public:
    /// The handler cannot take more messages now. Pauses receiving until Connection::release_receiving().
    virtual void hold_receiving() = 0;
    /// How many bytes a sender that waits for receipts may send without one.
    virtual std::size_t send_window() const noexcept { return std::size_t{64} << 10; }
    /// The handler keeps bytes of its messages. The owner's memory budget visits the connection from now on.
    virtual void note_memory() noexcept = 0;
    /// From now on until its end, or until it gives up its place, it counts among the connections of `name`: of an
    /// address, written as peer() is, or of a user. Does nothing if it already counts for an address or user, if there
    /// is no limit of that kind, or if `name` has no address. Returns the limit that it would exceed; then it does not
    /// count. Throws std::bad_alloc. Called during the opening handshake of a server.
    virtual std::optional<Errc> join_group(GroupKind, std::string_view) { return std::nullopt; }
    /// Called at the time that was last passed to ConnectionOwner::schedule(), or soon after.
    virtual void on_timer() = 0;

   protected:
    ~OwnedConnection() = default;
};

/// True if a broadcast to `audience` is for the members of a room, or for the connections of a user.
inline bool selects_members(const Audience& audience) noexcept { return audience.room || audience.user; }

/// Calls f(slot) for each connection in the room and of the user of `audience`, and expect(slot) before: see
/// RoomIndex::for_each_member(). Precondition: selects_members(audience).
template <class F, class Expect>
void for_each_selected(Memberships& memberships, const Audience& audience, F&& f, Expect&& expect) {
    if (!audience.user) return memberships.rooms.for_each_member(*audience.room, f, expect);
    const auto of_user = [&](std::uint32_t slot) {
        if (!audience.room || memberships.rooms.has(slot, *audience.room)) f(slot);
    };
    memberships.users.for_each_member(*audience.user, of_user, expect);
}

/// True if a broadcast to `audience` is for `connection`. Precondition: it is in the room and of the user, if the
/// audience has one.
inline bool hears(const Audience& audience, const AnyConnection& connection) noexcept {
    if (audience.subprotocol && *audience.subprotocol != connection.subprotocol()) return false;
    return !audience.except || *audience.except != connection.id();
}

/// The owner's answer to a client's offer.
struct Acceptance {
    std::shared_ptr<AnyHandler> handler;         ///< serves the connection
    std::string_view subprotocol;                ///< empty: none; valid as long as the offer or the handler
    std::shared_ptr<const PathPattern> route{};  ///< the pattern that the path matched; null: the handler serves all
    std::vector<HttpField> fields{};             ///< more fields of the 101
    std::string user{};                          ///< to which the connection belongs; empty: to none
    std::vector<HttpField> kept{};               ///< for AnyConnection::request_field()
    std::unique_ptr<ConnectionData> data{};      ///< for AnyConnection::data(); null: none
};

/// The owner's refusal of a client. An Errc alone is one, too.
struct Refusal {
    /// `what` is shown to the client and logged; it may be empty.
    Refusal(Errc why, std::string what = {}) : error(why), detail(std::move(what)) {}
    /// The program refuses the client with a response of its own.
    explicit Refusal(HttpResponse own) : error(Errc::refused_by_program), response(std::move(own)) {}

    Errc error;  ///< the rule that the request breaks
    /// What is wrong, beyond the rule. With a response of the program it is only logged.
    std::string detail{};
    std::optional<HttpResponse> response{};  ///< what the client gets; by default it follows from the error
};

/// What the owner answers unless the handler that it has chosen refuses the client.
struct PendingAcceptance {
    Acceptance acceptance;  ///< its subprotocol stays valid while the offer is moved
    bool is_served;         ///< the handler is the one that the owner has for the subprotocol and the path
};

/// The program decides later, or the handler that it has chosen. Connection::decide() ends that.
struct DecidesLater {
    std::shared_ptr<detail::UpgradeTicket> ticket;  ///< void once the connection does not wait any more
    std::unique_ptr<PendingAcceptance> pending{};   ///< null: the program was asked, not a handler
};

/// What an owner decides about a client's offer.
using OfferDecision = std::variant<Acceptance, Refusal, DecidesLater>;

/// The owner of connections of either role, as they see it.
class ConnectionOwner {
   public:
    /// The options of all its connections.
    const ConnectionOptions& options() const noexcept { return connection_options_; }
    /// The same for their protocols.
    const ProtocolOptions& protocol_options() const noexcept { return protocol_options_; }
    /// The counters of all its connections.
    ConnectionCounters& counts() noexcept { return counters_; }
    /// The handshake results that its connections share.
    HandshakeResultCache& handshake_results() noexcept { return handshake_results_; }
    /// Reaches the owner's connections from any thread. Null if it has no hub.
    const std::shared_ptr<Hub>& hub() const noexcept { return hub_; }

    /// Ends all calls of handlers: HandlerCall::allowed() is false from now on, except for a call that
    /// running_handler() shows. Any thread.
    void mute() noexcept { muted_.store(true); }
    /// True if connections should receive in small pieces, because they have grown and the memory of all was not yet
    /// looked at, or because memory is short.
    bool receives_little() const noexcept { return receives_little_; }

    /// The handler that is being called now; null: none. Any thread. The handler may be gone already, so compare the
    /// pointer only.
    const AnyHandler* running_handler() const noexcept { return running_.load(); }

    /// Calls connection.on_timer() once, at `when` or soon after. The next schedule() replaces the time.
    virtual void schedule(OwnedConnection& connection, Clock::time_point when) = 0;
    /// connection.on_timer() is not called before the next schedule().
    virtual void cancel(OwnedConnection& connection) noexcept = 0;
    /// Calls connection.flush() before the turn ends.
    virtual void flush_later(ConnectionId id) = 0;
    /// Calls connection.go_on() in a later turn.
    virtual void go_on_later(ConnectionId id) = 0;

    /// The opening handshake has succeeded. From now on, any thread may send to the connection.
    virtual void on_opened(ConnectionId id) = 0;
    /// on_close() of its handler is about to be called. Returns false if it must not be called, because the end of the
    /// owner has reported that it is not.
    virtual bool on_close_called(ConnectionId) noexcept { return true; }
    /// The connection holds memory. Called again after Connection::forget_holder(). Returns false if it must be called
    /// again sooner.
    virtual bool on_memory_held(ConnectionId) noexcept { return true; }
    /// True if reading must be paused for some connections now, because all together hold much memory.
    virtual bool is_memory_short() const noexcept { return false; }
    /// `bytes` wait to be sent on the connection or are in flight. Called while its send queue exists and when it is
    /// removed.
    virtual void on_queued(ConnectionId, std::size_t /*bytes*/) noexcept {}
    /// No more data may be sent, because the closing handshake has begun or the connection has ended.
    virtual void on_closing(ConnectionId id) noexcept = 0;
    /// Something besides messages happened: see ConnectionEvent.
    virtual void on_event(const ConnectionEvent&) {}
    /// Called exactly once for each connection, when nothing more is received from it.
    virtual void on_ended(const ConnectionEnd& end) = 0;
    /// The last call. The connection may be destroyed, also within this call.
    virtual void on_released(ConnectionId id) = 0;

   protected:
    ~ConnectionOwner() = default;
    /// Sets options(). They apply to the next frame, timer or queued message.
    void use_options(const ConnectionOptions& options) noexcept {
        connection_options_ = options;
        protocol_options_.max_message = options.max_message;
        protocol_options_.max_fragments = options.max_fragments;
    }

    ProtocolOptions protocol_options_;  ///< for protocol_options(); use_options() sets the limits
    ConnectionCounters counters_;       ///< for counts()
    std::shared_ptr<Hub> hub_;          ///< for hub(); may be null
    bool receives_little_ = false;      ///< for receives_little()

   private:
    friend class HandlerCall;
    ConnectionOptions connection_options_;
    HandshakeResultCache handshake_results_;
    std::atomic<const AnyHandler*> running_{nullptr};
    std::atomic<bool> muted_{false};
};

/// Tells the owner for its lifetime which handler is being called.
class HandlerCall {
   public:
    /// `handler` is about to be called. `owner` must outlive the object.
    HandlerCall(ConnectionOwner& owner, const AnyHandler* handler) noexcept
        : owner_(owner), outer_(owner.running_.load(std::memory_order_relaxed)) {
        // In one order with mute() and running_handler(): either mute() comes first and the call is not allowed, or the
        // thread that has called mute() sees the handler.
        owner_.running_.store(handler);
    }
    HandlerCall(const HandlerCall&) = delete;
    HandlerCall& operator=(const HandlerCall&) = delete;
    ~HandlerCall() { owner_.running_.store(outer_, std::memory_order_relaxed); }

    /// False if the owner is muted: the handler must not be called.
    bool allowed() const noexcept { return !owner_.muted_.load(); }

   private:
    ConnectionOwner& owner_;
    const AnyHandler* const outer_;  ///< the handler whose reaction led to this call
};

/// The owner of a server's connections.
class ServerOwner : public ConnectionOwner {
   public:
    /// True if `peer` may send a header of the PROXY protocol.
    virtual bool trusts_proxy(std::string_view peer) {
        static_cast<void>(peer);
        return false;
    }
    /// The address of the client for which a trusted proxy has sent the request; nothing: it is `peer`. Called for
    /// each request that is valid HTTP, before choose() and answer().
    virtual std::optional<std::string> client_behind(std::string_view peer, const HttpRequest& request) {
        static_cast<void>(peer), static_cast<void>(request);
        return std::nullopt;
    }
    /// Chooses the handler and the subprotocol for a client, or refuses it.
    virtual OfferDecision choose(OwnedConnection& connection, const Offer& offer) = 0;
    /// Chooses as the program has decided, after choose() returned DecidesLater, of which `pending` is the member.
    /// Moves from what it points to.
    virtual OfferDecision choose_as(OwnedConnection&, const Offer&, UpgradeDecision&&, PendingAcceptance* /*pending*/) {
        return Errc::upgrade_undecided;
    }
    /// The response of the program to a request that is not an upgrade. Empty: the request is refused with 426.
    virtual std::optional<HttpResponse> answer(const HttpRequest& request) = 0;
    /// The routes of the program for plain requests; null: there are none, and answer() is asked.
    virtual const HttpRoutes* http_routes() const noexcept { return nullptr; }
    /// An opening handshake was refused, or a plain request answered. Returns true if its connection does not count in
    /// the limit of connections any more, although it has not ended. See Connection::has_place().
    virtual bool give_up_place(ConnectionId) noexcept { return false; }
    /// The connection belongs to `user` from now on; empty: to none. Returns the limit that does not permit it; then,
    /// and if it throws std::bad_alloc, it counts for the user before.
    virtual std::optional<Errc> change_user_group(ConnectionId, std::string_view /*user*/) { return std::nullopt; }
    /// See OwnedConnection::join_group().
    virtual std::optional<Errc> join(ConnectionId, GroupKind, std::string_view) { return std::nullopt; }
    /// What the connection shares with others of its address and of its user; null: nothing.
    virtual std::array<SharedPace*, 2> shared_paces(ConnectionId) noexcept { return {}; }
    /// False if shared_paces() need not be asked.
    bool has_shared_paces() const noexcept { return has_shared_paces_; }

    /// Sends the broadcasts that wait for the end of the turn to be sent together. Called before a connection sends, so
    /// that its message does not overtake them.
    void broadcasts_first() {
        if (broadcasts_wait_) send_broadcasts();
    }

    /// The rooms and users of its connections.
    Memberships& memberships() noexcept { return memberships_; }
    /// The Server field of responses; empty: no such field.
    const std::string& server_name() const noexcept { return server_name_; }
    /// The Date field of responses at `now`. Valid until the next call.
    std::string_view date_at(std::chrono::sys_seconds now) noexcept { return date_.at(now); }
    /// True if opening handshakes must be refused, because all connections together hold too much memory.
    bool is_over_memory_limit() const noexcept { return over_memory_limit_; }
    /// The longest body of a request that the memory budget can hold, in bytes.
    std::size_t longest_body() const noexcept { return longest_body_; }

   protected:
    ~ServerOwner() = default;
    /// Sends the broadcasts that wait.
    virtual void send_broadcasts() = 0;

    Memberships memberships_;         ///< for memberships()
    std::string server_name_{};       ///< for server_name()
    bool over_memory_limit_ = false;  ///< for is_over_memory_limit()
    bool has_shared_paces_ = false;   ///< for has_shared_paces()
    bool broadcasts_wait_ = false;    ///< send_broadcasts() has something to send
    /// For longest_body().
    std::size_t longest_body_ = std::numeric_limits<std::size_t>::max();

   private:
    DateField date_;
};

/// The owner of a client's connections.
class ClientOwner : public ConnectionOwner {
   public:
    /// Called with the response of the server, whether it accepts or refuses.
    virtual void on_response(const HttpResponse&) {}

   protected:
    ~ClientOwner() = default;
};

/// An owner whose connections are all on one transport.
template <Transport T, Role role>
class OwnerOn : public std::conditional_t<role == Role::server, ServerOwner, ClientOwner> {
   public:
    /// `transport` must outlive the connections.
    explicit OwnerOn(T& transport) noexcept : transport_(transport) {}

    /// The transport of all its connections.
    T& transport() const noexcept { return transport_; }

   protected:
    ~OwnerOn() = default;

   private:
    T& transport_;
};

}  // namespace wsserver
