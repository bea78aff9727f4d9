// One WebSocket connection, server or client, from its first byte to its last. It joins a protocol and a stream.
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
#include "wsserver/connection/keep_alive.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/connection/send_path.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/protocol/protocol.hpp"
#include "wsserver/scheduling/timer_wheel.hpp"
#include "wsserver/transport/peer_address.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// One connection. It is used on the thread of its transport, kept by its owner, and never moved. Its phases:
///
///     opening -> open -> closing -> lingering -> closed -> on_released
///
/// `closing` is the closing handshake (RFC 6455 §7.1.2). In `lingering` the last bytes are sent, and then the end of
/// the peer's stream is awaited (§7.1.1). An error of the stream leads from any phase to `closed`.
template <Role role, Transport T>
class Connection final : public OwnedConnection, public StreamUser {
   public:
    /// `owner` must outlive the connection. Call start() next.
    Connection(ConnectionId id, OwnerOn<T, role>& owner, typename T::Socket socket)
        : owner_(owner),
          id_(id),
          stream_(owner.transport(), std::move(socket)),
          protocol_(owner.options().protocol),
          peer_(stream_.peer()) {}

    /// Begins the opening handshake: waits for the request of the client.
    void start() requires(role == Role::server) {
        extra().opening.emplace(owner_.options().handshake, owner_.options().server_name);
        begin();
    }
    /// Begins the opening handshake: sends `request`. `handler` will serve the connection.
    void start(ClientRequest request, const std::shared_ptr<AnyHandler>& handler) requires(role == Role::client) {
        handshake_result_ = owner_.handshake_results().of(handler, {}, request.target);
        const Turn turn(*this);
        auto& opening = extra().opening.emplace(std::move(request), owner_.options().handshake);
        begin();
        write(bytes_of(opening.request()));
    }

    // For the handler; see AnyConnection.
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

    // For the owner.

    /// Sends a message of the connection's own handler (`reply`) or of any other sender (`message`).
    template <class M>
    SendStatus send_as(SendKind kind, const M& message);
    /// Sends one message, encoded as `frames`. `owner` keeps them alive.
    SendStatus send_shared(const std::shared_ptr<const void>& owner, Bytes frames);
    /// Sends `frames`, which are `messages` messages, at once and by reference. Returns false and sends nothing if the
    /// connection is not open, if other output is before them, or if they are too long for one send.
    bool send_directly(const std::shared_ptr<const void>& owner, Bytes frames, std::size_t messages);
    /// The handler threw an exception, described by `what`: closes with 1011.
    void fail_handler(std::string_view what);
    void hold_receiving() override { hold(Hold::handler, true); }
    /// The handler can take messages again.
    void resume_receiving() {
        keep_alive_.stop_probing();
        hold(Hold::handler, false);
    }
    /// Sends the output that was queued since the last turn.
    void flush();
    void on_timer() override;
    /// Continues with the bytes that were too much for one turn.
    void go_on();
    /// The state and the counts of the connection now.
    ConnectionInfo info() const;
    /// Calls `f` and then sends its output in one send.
    template <class F>
    void in_one_turn(F&& f) {
        const Turn turn(*this);
        f();
    }
    /// Null until the handler is known.
    AnyHandler* handler() const noexcept { return handshake_result_ ? handshake_result_->handler().get() : nullptr; }
    /// True during the opening handshake.
    bool is_opening() const noexcept { return phase_ == Phase::opening; }
    /// True from the end of the opening handshake to the start of the closing handshake.
    bool is_open() const noexcept { return phase_ == Phase::open; }

    /// The server stops: closes with 1001.
    void going_away();
    /// Closes at once, without a closing handshake. `cause` is reported.
    void terminate(std::string_view cause) { finish(cause, {}); }
    /// Over `max_connections`: answers an upgrade with 503, and other requests as always. It has less time for its
    /// request. For servers only, before start().
    void turn_away() { extra().turned_away = true; }

   private:
    using OpeningHandshake = std::conditional_t<role == Role::server, ServerHandshake, ClientHandshake>;
    enum class Phase : std::uint8_t { opening, open, closing, lingering, closed };
    /// The reasons why the connection does not read. It reads when no bit is set.
    enum class Hold : std::uint8_t { send_queue = 1, handler = 2, turn = 4 };

    /// Handles at most this many events of one connection in a turn, and then serves the others first. An echo costs
    /// 0.3 us with 16 in flight, so this takes about 0.15 ms. A well-behaved peer rarely has 512 messages in flight.
    static constexpr int events_per_turn = 512;
    /// Received bytes that wait for the next turn.
    struct Backlog {
        OutputBuffer bytes;
        std::size_t done = 0;
    };
    static constexpr std::uint64_t unknown_left = std::numeric_limits<std::uint64_t>::max();
    /// State that is needed only for a while or rarely. An idle connection has none.
    struct Extra {
        std::optional<OpeningHandshake> opening{};  ///< until the opening handshake is complete
        bool turned_away = false;                   ///< an upgrade is refused
        std::unique_ptr<Backlog> backlog{};
        std::uint64_t dropped = 0;
        bool leaving = false;               ///< after the start of the closing: output waits or is in flight
        std::uint64_t left = unknown_left;  ///< bytes_left() when it was last looked at
        ConnectionEnd ending{};             ///< what is known about the end before it is reported
    };
    /// How long a connection over the limit may take for its request, so that silent ones do not keep others from
    /// theirs.
    static constexpr std::chrono::milliseconds turned_away_time{1'000};
    /// A timer that fires this much after it was due shows that the whole reactor stood still.
    static constexpr std::chrono::seconds stood_still{1};
    /// How long the bytes that wait in sockets may take to be read before a silent peer is given up, at most a tenth of
    /// its whole time.
    static constexpr std::chrono::milliseconds second_look_time{100};

    /// Collects the output of its lifetime and sends it in one send at the end.
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
    void refuse(Errc why, std::string detail = {}, bool head_request = false) {
        auto response = refusal_response(why, owner_.options().server_name, detail, head_request);
        refuse({why, std::move(response), std::move(detail)});
    }
    void refuse(const ServerHandshake::Refused& refused);
    void accepted(const ClientHandshake::Accepted& accepted);
    void rejected(const ClientHandshake::Rejected& rejected);
    void opened();
    void write(Bytes bytes);

    // Input
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

    // Output
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

    // Closing
    SendStatus begin_close(CloseCode code, std::string_view reason);
    void enter_closing();
    void report_closed(const Close& close);
    void watch_leaving();
    bool still_leaving();
    std::uint64_t bytes_left() const { return out_.waiting() + stream_.unsent(bytes_out_); }
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
    void set_timer(std::chrono::milliseconds from_now) {
        looked_again_ = false;
        owner_.schedule(*this, later(transport().now(), from_now));
    }
    bool looks_again(std::chrono::milliseconds whole_time);
    void watch_silence();

    OwnerOn<T, role>& owner_;
    ConnectionId id_;
    Phase phase_ = Phase::opening;
    std::uint8_t held_ = 0;
    bool dirty_ = false;         ///< the owner will call flush()
    bool looked_again_ = false;  ///< since set_timer(); see looks_again()
    typename T::Stream stream_;
    Protocol<role> protocol_;
    SendPath<T> out_;
    HandshakeResultPtr handshake_result_;  ///< null before the opening handshake ends, except for a client
    PeerAddress peer_;
    void* user_data_ = nullptr;
    std::unique_ptr<Extra> extra_;

    Clock::time_point started_{};
    [[no_unique_address]] KeepAlive keep_alive_;  // the flags are in its last four bytes
    bool opened_ = false;                         ///< the opening handshake succeeded
    bool close_reported_ = false;                 ///< on_close() was called
    bool peer_ended_ = false;                     ///< the peer ended its direction of the stream
    bool send_ended_ = false;                     ///< we ended ours
    std::uint64_t bytes_in_ = 0, bytes_out_ = 0;
    std::uint64_t messages_in_ = 0, messages_out_ = 0;
};

}  // namespace wsserver

#include "wsserver/connection/connection.ipp"  // IWYU pragma: keep
