// Where protocol and stream meet: one WebSocket connection, server or client, from its first byte to its last.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/connection/send_path.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/protocol/protocol.hpp"
#include "wsserver/scheduling/timer_wheel.hpp"
#include "wsserver/transport/peer_address.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// Lives on its transport's thread, in the owner's keeping, at one address. Its life:
///
///     opening -> open -> closing -> lingering -> closed -> on_released
///
/// `closing` is the closing handshake (RFC 6455 §7.1.2); in `lingering` the last bytes go out and the peer's end
/// of the stream is awaited (§7.1.1); from any state a failure of the stream leads straight to `closed`.
template <Role role, Transport T>
class Connection final : public OwnedConnection, public StreamUser {
   public:
    Connection(ConnectionId id, OwnerOn<T, role>& owner, typename T::Socket socket)
        : owner_(owner),
          id_(id),
          stream_(owner.transport(), std::move(socket)),
          protocol_(owner.options().protocol),
          peer_(stream_.peer()) {}

    /// Begins the opening handshake by waiting for the client's request.
    void start() requires(role == Role::server) {
        extra().opening.emplace(owner_.options().handshake);
        begin();
    }
    /// Begins the opening handshake by sending `request`.
    void start(ClientRequest request, const std::shared_ptr<AnyHandler>& handler) requires(role == Role::client) {
        handshake_result_ = owner_.handshake_results().of(handler, {}, request.target);
        const Turn turn(*this);
        auto& opening = extra().opening.emplace(std::move(request), owner_.options().handshake);
        begin();
        write(bytes_of(opening.request()));
    }

    // What a handler may do.
    SendStatus send(const Text& message) override { return send_as(SendKind::reply, message); }
    SendStatus send(const Binary& message) override { return send_as(SendKind::reply, message); }
    SendStatus ping(Bytes payload) override;
    SendStatus close(CloseCode code, std::string_view reason) override;
    ConnectionId id() const noexcept override { return id_; }
    std::string_view subprotocol() const noexcept override {
        return handshake_result_ ? handshake_result_->subprotocol() : std::string_view{};
    }
    std::string peer() const override { return peer_.text(); }
    std::string_view target() const noexcept override {
        return handshake_result_ ? handshake_result_->target() : std::string_view{};
    }
    const std::shared_ptr<Hub>& hub() const noexcept override { return owner_.hub(); }
    void* user_data() const noexcept override { return user_data_; }
    void set_user_data(void* data) noexcept override { user_data_ = data; }

    // What its owner may do.
    /// Sends a message of its handler (`reply`) or of anyone else (`message`).
    template <class M>
    SendStatus send_as(SendKind kind, const M& message);
    SendStatus send_shared(const std::shared_ptr<const void>& owner, Bytes frames);
    /// All of `frames`, so many messages, at once and by reference. False, and nothing has happened, unless nothing
    /// is before them.
    bool send_directly(const std::shared_ptr<const void>& owner, Bytes frames, std::size_t messages);
    /// Its handler threw: closes with 1011.
    void fail_handler(std::string_view what);
    void hold_receiving() override { hold(Hold::handler, true); }
    /// Its handler can take more again.
    void resume_receiving() {
        probing_ = false;  // an answer may have been there all the time
        hold(Hold::handler, false);
    }
    /// Sends what has been queued since the last turn.
    void flush();
    void on_timer() override;
    /// With what one turn was too short for.
    void go_on();
    ConnectionInfo info() const;
    /// What `f` sends leaves in one go.
    template <class F>
    void in_one_turn(F&& f) {
        const Turn turn(*this);
        f();
    }
    /// Null until it is known.
    AnyHandler* handler() const noexcept { return handshake_result_ ? handshake_result_->handler().get() : nullptr; }
    bool is_opening() const noexcept { return phase_ == Phase::opening; }
    bool is_open() const noexcept { return phase_ == Phase::open; }

    /// The server stops: 1001.
    void going_away();
    /// Ends it without any ceremony: the owner has no more time.
    void terminate(std::string_view cause) { finish(cause, {}); }
    /// It is one too many: answers the request with 503 whatever it asks for. (Server role, before start().)
    void turn_away() { extra().turned_away = true; }

   private:
    using OpeningHandshake = std::conditional_t<role == Role::server, ServerHandshake, ClientHandshake>;
    enum class Phase : std::uint8_t { opening, open, closing, lingering, closed };
    /// Why the connection doesn't read; it does when no bit is set.
    enum class Hold : std::uint8_t { send_queue = 1, handler = 2, turn = 4 };

    /// So much is done for one connection in one turn; then the others come first. At the 0.3 us that an echo costs
    /// with 16 in flight that is some 0.15 ms. Peers that mean well hardly have so many in flight.
    static constexpr int events_per_turn = 512;
    /// What has come and must wait for the next turn.
    struct Backlog {
        OutputBuffer bytes;
        std::size_t done = 0;
    };
    /// What it has for a while only, or hardly ever. An idle connection has none of it.
    struct Extra {
        std::optional<OpeningHandshake> opening{};  ///< until it is done
        bool turned_away = false;                   ///< whatever it asks for, it is refused
        std::unique_ptr<Backlog> backlog{};
        std::uint64_t dropped = 0;
        ConnectionEnd ending{};  ///< what is known of its end before it comes
    };
    /// In microseconds, in four bytes: an hour is the most that can be said.
    static constexpr std::uint32_t no_round_trip = std::numeric_limits<std::uint32_t>::max();

    /// What is written while it lives leaves in one send at its end.
    class Turn {
       public:
        explicit Turn(Connection& connection) noexcept
            : connection_(connection), outermost_(!connection.out_.in_turn()) {
            if (outermost_) connection_.out_.begin_turn(connection_.transport());
        }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (!outermost_) return;
            connection_.flush();
            connection_.out_.end_turn(connection_.transport());
        }

       private:
        Connection& connection_;
        const bool outermost_;
    };

    // StreamUser
    void on_bytes(MutableBytes bytes) override;
    bool wants_buffer() const noexcept override { return !has_backlog() && protocol_.wants_buffer(); }
    ReceiveBuffer prepare_buffer() noexcept override;
    void commit_buffer(ReceiveBuffer buffer, std::size_t count) override;
    void on_sent() override;
    void on_end(std::error_code error) override;
    void on_released() override { owner_.on_released(id_); }

    // Opening handshake
    void begin();
    void receive_opening(MutableBytes& bytes);
    void accept_offer(const Offer& offer);
    void answer_request(const HttpRequest& request);
    void refuse(Errc why);
    void accepted(const ClientHandshake::Accepted& accepted);
    void rejected(const ClientHandshake::Rejected& rejected);
    void opened();
    void write(Bytes bytes);

    // Bytes come in
    void handle_some(MutableBytes& bytes);
    bool handle_next(MutableBytes& bytes);
    bool is_listening() const noexcept { return phase_ == Phase::open || phase_ == Phase::closing; }
    template <class M>
    void deliver(const M& message);
    void react(const Text& message) { deliver(message); }
    void react(const Binary& message) { deliver(message); }
    void react(const Ping& ping);
    void react(const Pong& pong);
    void react(const Close& close);
    void react(const Failed& failed);
    template <class F>
    void guarded(F&& call);

    // Bytes go out
    SendStatus queued(const PushResult& pushed);
    void slow_consumer();
    void broadcasts_first() {
        if constexpr (role == Role::server) owner_.broadcasts_first();
    }
    void discard_queue();
    void count_dropped(std::size_t messages);
    void send_soon();
    void hold(Hold why, bool held);
    bool is_held(Hold why) const noexcept { return (held_ & static_cast<std::uint8_t>(why)) != 0; }

    // The end
    SendStatus begin_close(CloseCode code, std::string_view reason);
    void enter_closing();
    void report_closed(const Close& close);
    void linger();
    void linger_when_sent();
    void opening_ended();
    void opening_timed_out();
    void finish(std::string_view cause, std::error_code error);
    void note(std::string_view cause, std::error_code error);

    T& transport() const noexcept { return owner_.transport(); }
    bool has_backlog() const noexcept { return extra_ && extra_->backlog; }
    Extra& extra() {
        if (!extra_) extra_ = std::make_unique<Extra>();
        return *extra_;
    }

    // Timers
    void set_timer(std::chrono::milliseconds from_now) { owner_.schedule(*this, later(transport().now(), from_now)); }
    void watch_silence();
    /// Has nothing followed the ping that silence made us send?
    bool is_probing() const noexcept { return probing_ && heard_ < pinged_; }

    OwnerOn<T, role>& owner_;
    ConnectionId id_;
    Phase phase_ = Phase::opening;
    std::uint8_t held_ = 0;
    bool probing_ = false;         ///< silence made us send a ping; is_probing() tells whether it still waits
    bool opened_ = false;          ///< the opening handshake succeeded
    bool close_reported_ = false;  ///< the handler had on_close
    bool dirty_ = false;           ///< the owner will call flush()
    bool peer_ended_ = false;      ///< the peer ended its direction of the stream
    bool send_ended_ = false;      ///< we ended ours
    std::uint32_t round_trip_ = no_round_trip;
    typename T::Stream stream_;
    Protocol<role> protocol_;
    SendPath<T> out_;
    HandshakeResultPtr handshake_result_;  ///< from the end of the opening handshake on; a client has one before, too
    PeerAddress peer_;
    void* user_data_ = nullptr;
    std::unique_ptr<Extra> extra_;

    Clock::time_point started_{};
    Clock::time_point heard_{};   ///< when the peer last sent, or took, anything
    Clock::time_point pinged_{};  ///< when the last ping of ours was made
    std::uint64_t bytes_in_ = 0, bytes_out_ = 0;
    std::uint64_t messages_in_ = 0, messages_out_ = 0;
};

}  // namespace wsserver

#include "wsserver/connection/connection.ipp"  // IWYU pragma: keep
