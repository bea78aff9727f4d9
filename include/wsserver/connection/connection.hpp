// One WebSocket connection, server or client, from its first byte to its last. It joins a protocol and a stream.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/http/exchange.hpp"
#include "wsserver/connection/item_hub.hpp"
#include "wsserver/connection/keep_alive.hpp"
#include "wsserver/connection/memory_budget.hpp"
#include "wsserver/connection/publish_window.hpp"
#include "wsserver/connection/receive_pace.hpp"
#include "wsserver/connection/send_kind.hpp"
#include "wsserver/connection/send_path.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/proxy_protocol.hpp"
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
///
/// If memory runs out, the connection ends: members that send return `closed`, and no member throws std::bad_alloc,
/// except the constructor and the members that return a text or a ConnectionInfo. on_close() is called when no reaction
/// to the connection is running.
template <Role role, Transport T>
class Connection final : public OwnedConnection, public StreamUser {
   public:
    /// `owner` must outlive the connection. Call start() next.
    Connection(ConnectionId id, OwnerOn<T, role>& owner, typename T::Socket socket)
        : owner_(owner),
          id_(id),
          stream_(owner.transport(), std::move(socket)),
          protocol_(owner.protocol_options()),
          peer_(stream_.peer()) {}
    ~Connection() { own_data(nullptr); }

    /// The peer will first send a header of the PROXY protocol. Call it before start().
    void expect_proxy_header() noexcept requires(role == Role::server) { expects_proxy_header_ = true; }
    /// Begins the opening handshake: waits for the request of the client.
    void start() requires(role == Role::server) { start(std::optional<Errc>{}); }
    /// The same for a client over a limit, which is `why`: refuses an upgrade, and answers other requests as always. It
    /// has less time for its request.
    void start_turned_away(Errc why) requires(role == Role::server) {
        has_place_ = false;
        start(why);
    }
    /// The first bytes of the client, which were read before the stream was made. Call it right after the start.
    void receive_first(MutableBytes bytes) requires(role == Role::server) { on_bytes(bytes); }
    /// Begins the opening handshake: sends `request`. `handler` will serve the connection.
    void start(ClientRequest request, const std::shared_ptr<AnyHandler>& handler) requires(role == Role::client) {
        in_one_turn([&] {
            stream_.start(*this);
            handshake_result_ = owner_.handshake_results().of(handler, {}, request.target);
            auto& opening = extra().opening.emplace(std::move(request), owner_.options().handshake);
            begin();
            write(bytes_of(opening.request()));
        });
    }

    // For the handler; see AnyConnection.
    SendStatus send(const AnyMessage& message) override {
        return may_be_sent(message) ? send_as(SendKind::reply, message) : SendStatus::refused;
    }
    SendStatus begin_message(Opcode type) override;
    SendStatus append(const AnyMessage& piece) override { return send_part(piece.payload(), false); }
    SendStatus end_message() override { return send_part({}, true); }
    SendStatus ping(Bytes payload) override;
    SendStatus close(CloseCode code, std::string_view reason) override;
    std::size_t queued() const noexcept override { return out_.queued(transport()); }
    bool has_space() noexcept override {
        if (!paces_itself_) pace_itself();
        return phase_ == Phase::open && !out_.holds_reading();
    }
    SendStatus send_waiting(const AnyMessage& message) override {
        return handler() != nullptr && handler()->runs() == Runs::pooled ? send(message) : SendStatus::refused;
    }
    SendStatus pause_receiving() override;
    SendStatus resume_receiving() override;
    SendStatus publish(const AnyMessage& message) override {
        return publish_to({.subprotocol = std::string{subprotocol()}, .except = id_}, message);
    }
    SendStatus publish(std::string_view room, const AnyMessage& message) override {
        return publish_to({.room = std::string{room}, .except = id_}, message);
    }
    SendStatus join(std::string_view room) override;
    SendStatus leave(std::string_view room) override;
    std::string_view user() const noexcept override {
        if constexpr (role == Role::server) return owner_.memberships().users.room_of(id_.slot);
        return {};
    }
    SendStatus set_user(std::string_view user) override;
    std::vector<std::string> rooms() const override {
        if constexpr (role == Role::server) return owner_.memberships().rooms.rooms_of(id_.slot);
        return {};
    }
    ConnectionId id() const noexcept override { return id_; }
    std::string_view subprotocol() const noexcept override {
        return handshake_result_ ? handshake_result_->subprotocol() : std::string_view{};
    }
    std::string peer() const override { return peer_.text(); }
    std::string_view target() const noexcept override {
        return handshake_result_ ? handshake_result_->target() : std::string_view{};
    }
    std::optional<std::string> parameter(std::string_view name) const override {
        const auto* its_route = route();
        return its_route != nullptr ? its_route->parameter(target(), name) : std::nullopt;
    }
    std::optional<std::string_view> request_field(std::string_view name) const noexcept override {
        return handshake_result_ ? handshake_result_->kept_fields().find(name) : std::nullopt;
    }
    const std::shared_ptr<Hub>& hub() const noexcept override { return owner_.hub(); }
    ConnectionData* owned_data() const noexcept override {
        return owns_data_ ? static_cast<ConnectionData*>(data_) : nullptr;
    }
    void own_data(std::unique_ptr<ConnectionData> data) noexcept override;
    void* user_data() const noexcept override { return owns_data_ ? owned_data()->user_data : data_; }
    void set_user_data(void* data) noexcept override { (owns_data_ ? owned_data()->user_data : data_) = data; }

    SendStatus after(std::chrono::milliseconds delay, ConnectionCall call) override;

    // For the owner.

    /// Sends a message of the connection's own handler (`reply`) or of any other sender (`message`).
    /// Precondition: may_be_sent(message). The hub has checked it.
    SendStatus send_as(SendKind kind, const AnyMessage& message);
    /// Sends one message, encoded as `frames`. `owner` keeps them alive. `kind` is as for send_as(); `reply` if the
    /// sender waits for slow receivers.
    SendStatus send_shared(const std::shared_ptr<const void>& owner, Bytes frames, SendKind kind = SendKind::message);
    /// The same for a message that several connections share.
    SendStatus send_shared(const std::shared_ptr<const SharedMessage>& message, SendKind kind);
    /// Sends `frames`, which are `messages` messages, at once and by reference. Returns false and sends nothing if the
    /// connection is not open, if other output is before them, or if they are too long for one send.
    bool send_directly(const std::shared_ptr<const void>& owner, Bytes frames, std::size_t messages);
    /// The handler threw an exception, described by `what`: closes with 1011.
    void fail_handler(std::string_view what);
    /// The same as begin_message() for a message whose sender checks its pieces: they are not checked again.
    SendStatus begin_checked_message(Opcode type) {
        const SendStatus status = begin_message(type);
        if (status == SendStatus::queued) out_.open_message()->trust();
        return status;
    }
    /// The open message will not end, because of `cause`: closes with 1011, as the peer must not get a message that
    /// looks whole.
    void fail_message(std::string_view cause, std::error_code error = {});
    void hold_receiving() override { hold(Hold::handler, true); }
    std::optional<Errc> join_group(GroupKind kind, std::string_view name) override {
        if constexpr (role == Role::server) return owner_.join(id_, kind, name);
        return std::nullopt;
    }
    std::size_t send_window() const noexcept override {
        const SendQueueLimits& limits = owner_.options().send_queue;
        return std::min(limits.high_mark, limits.hard_limit) / 2;
    }
    /// Tells the handler when what was sent before has left, or when little of it waits.
    SendStatus ask_for_receipt(std::uint64_t number);
    /// The handler can take messages again.
    void release_receiving() {
        if (is_held(Hold::handler)) end_pause(Hold::handler);
    }
    /// The receivers of a broadcast have caught up.
    void acknowledge();
    /// Calls a function of the program, now or later. Not for calls within a reaction if it is due now.
    SendStatus take_call(PostedCall& posted);
    /// True if senders of broadcasts must wait for it, because its send queue is too long. Not while a message is open:
    /// what others send is after it, and waits for our handler then, not for the peer.
    bool is_lagging() const noexcept {
        return phase_ == Phase::open && out_.holds_reading() && !out_.has_open_message();
    }
    /// How many bytes the peer's system has taken so far. Precondition: the stream is not closed.
    std::uint64_t taken() const { return bytes_out_ - stream_.unsent(bytes_out_); }
    /// The peer takes too little for senders to wait for it: closes with 1013. Not for calls within a reaction.
    void close_for_lagging() {
        in_one_turn([this] { slow_consumer(); });
    }
    /// Sends the output that was queued since the last turn.
    void flush() {
        in_one_turn([] {});
    }
    void on_timer() override;
    void note_memory() noexcept override {
        if (!memory_noted_) memory_noted_ = owner_.on_memory_held(id_);
    }
    /// The memory of the connection now.
    MemoryHolder memory_holder() const {
        std::size_t waiting = handler() != nullptr ? handler()->waiting_bytes() : 0;
        if (has_http()) waiting += extra_->http->exchange.waiting();
        return {.id = id_,
                .held = held(),
                .waiting = waiting,
                .paused = is_held(Hold::memory),
                .shared = out_.shared(),
                .left = out_.shared_left(),
                .can_pause = can_wait_for_memory()};
    }
    /// True if it holds no memory. Then it calls note_memory() when it holds some again.
    bool forget_holder() noexcept {
        const MemoryHolder holder = memory_holder();
        if (holder.size() + holder.shared > 0 || holder.paused) return false;
        memory_noted_ = false;
        return true;
    }
    /// Memory is short: pauses reading, or continues it.
    void hold_for_memory(bool held);
    /// Memory has run short: frees it at once, and closes with 1013, or with a 503 instead of an answer. Not for calls
    /// within a reaction.
    void close_for_memory();
    /// Continues with the bytes that were too much for one turn.
    void go_on();
    /// False if it does not count in the owner's limit: it was turned away, or only its refusal is still sent.
    bool has_place() const noexcept { return has_place_; }
    /// Ends an opening handshake about which the program decides later.
    void decide(UpgradeDecision program) requires(role == Role::server);
    /// Does what the program has asked of its HTTP exchange.
    void serve_http() requires(role == Role::server);
    /// The state and the counts of the connection now.
    ConnectionInfo info() const;
    /// Calls `f` and then sends its output in one send. Each call of the loop that may need memory is made in here: if
    /// memory runs out, the connection has ended when this returns.
    template <class F>
    void in_one_turn(F&& f);
    /// Null until the handler is known.
    AnyHandler* handler() const noexcept { return handshake_result_ ? handshake_result_->handler().get() : nullptr; }
    /// The pattern of the path that the handler serves. Null before the opening handshake ends, or if it serves all.
    const PathPattern* route() const noexcept { return handshake_result_ ? handshake_result_->route().get() : nullptr; }
    /// True during the opening handshake.
    bool is_opening() const noexcept { return phase_ == Phase::opening; }
    /// True if the peer has taken all output.
    bool has_sent_all() const noexcept { return out_.idle(); }
    /// True from the end of the opening handshake to the start of the closing handshake.
    bool is_open() const noexcept { return phase_ == Phase::open; }

    /// The server stops: closes with 1001.
    void going_away();
    /// Closes at once, without a closing handshake. `cause` and `error` are reported.
    void terminate(std::string_view cause, std::error_code error = {}) { finish(cause, error); }

   private:
    using OpeningHandshake = std::conditional_t<role == Role::server, ServerHandshake, ClientHandshake>;
    /// In `ending`, memory has run out: nothing is received or sent, and the end of the turn or the timer leads to
    /// `closed`.
    enum class Phase : std::uint8_t { opening, open, closing, lingering, ending, closed };
    /// The reasons why the connection does not read. It reads when no bit is set.
    enum class Hold : std::uint8_t {
        send_queue = 1,
        handler = 2,
        turn = 4,
        memory = 8,
        rate = 16,
        receivers = 32,
        decision = 64,
        program = 128
    };

    /// Handles at most this many events of one connection in a turn, and then serves the others first. An echo costs
    /// 0.3 us with 16 in flight, so this takes about 0.15 ms. A well-behaved peer rarely has 512 messages in flight.
    static constexpr int events_per_turn = 512;
    /// The most bytes that are received at once into a message while the owner receives little.
    static constexpr std::size_t little_at_once = std::size_t{64} << 10;
    /// Further HTTP requests wait for a later turn if the answers of this one are longer.
    static constexpr std::size_t most_written = std::size_t{64} << 10;
    /// Received bytes that wait for the next turn.
    struct Backlog {
        explicit Backlog(MemoryAccount* memory) noexcept : charge(memory) {}
        void append(Bytes more) {
            bytes.append(more);
            charge.set(bytes.size());
        }

        OutputBuffer bytes;
        std::size_t done = 0;
        MemoryCharge charge;
    };
    /// An opening handshake about which the program decides later.
    struct Undecided {
        Undecided(Offer&& of_client, DecidesLater&& of_program) noexcept
            : offer(std::move(of_client)), later(std::move(of_program)) {}
        Undecided(const Undecided&) = delete;
        Undecided& operator=(const Undecided&) = delete;
        ~Undecided() { later.ticket->void_it(); }

        Offer offer;
        const DecidesLater later;
        std::optional<UpgradeDecision> decision{};  ///< made, but answers to earlier requests have not left yet
    };
    struct Http;
    class Carrier;
    /// The calls of after(), by time.
    using DelayedCalls = std::multimap<Clock::time_point, ConnectionCall>;
    static constexpr std::uint64_t unknown_left = std::numeric_limits<std::uint64_t>::max();
    /// State that is needed only for a while or rarely. An idle connection has none.
    struct Extra {
        std::optional<OpeningHandshake> opening{};            ///< until the opening handshake is complete
        std::optional<Errc> turned_away{};                    ///< why an upgrade is refused
        std::unique_ptr<ProxyProtocolReader> proxy_header{};  ///< until the header is complete
        std::unique_ptr<Undecided> undecided{};               ///< while the program decides
        std::unique_ptr<Http> http{};                         ///< after the first plain request, if there are routes
        std::unique_ptr<Backlog> backlog{};
        std::unique_ptr<DelayedCalls> delayed{};  ///< not empty between turns
        std::uint64_t dropped = 0;
        bool leaving = false;                   ///< after the start of the closing: output waits or is in flight
        std::uint64_t left = unknown_left;      ///< bytes_left() when it was last looked at
        ReceivePace pace{};                     ///< if the owner limits what a peer may send
        PublishWindow published{};              ///< what was broadcast by publish()
        std::weak_ptr<bool> acknowledgement{};  ///< the last one of these; expired if it is not due any more
        std::uint32_t paused_at = 0;            ///< in_milliseconds(), while Hold::rate is set
        Clock::time_point paused_until{};       ///< while Hold::rate is set
        Clock::time_point second_look{};        ///< of looks_again()
        std::uint32_t published_at = 0;         ///< in_milliseconds(), while Hold::receivers is set
        std::uint32_t short_at = 0;             ///< in_milliseconds(), while Hold::memory is set
        ConnectionEnd ending{};                 ///< what is known about the end before it is reported
    };
    /// How long a connection over the limit may take for its request, so that silent ones do not keep others from
    /// theirs.
    static constexpr std::chrono::milliseconds turned_away_time{1'000};
    /// A timer that fires this much after it was due shows that the whole reactor stood still.
    static constexpr std::chrono::seconds stood_still{1};
    /// How long the bytes that wait in sockets may take to be read before a silent peer is given up, at most a tenth of
    /// its whole time.
    static constexpr std::chrono::milliseconds second_look_time{100};

    // StreamUser
    void on_bytes(MutableBytes bytes) override;
    bool wants_buffer() const noexcept override { return !has_backlog() && protocol_.wants_buffer(); }
    ReceiveBuffer prepare_buffer() noexcept override;
    void commit_buffer(ReceiveBuffer buffer, std::size_t count) override;
    void on_sent() override;
    void on_end(std::error_code error) override;
    void on_released() override { owner_.on_released(id_); }

    // Opening handshake
    void start(std::optional<Errc> turned_away) requires(role == Role::server);
    void begin();
    void receive_proxy_header(MutableBytes& bytes);
    void refuse_proxy(std::string_view cause, Errc error);
    void receive_opening(MutableBytes& bytes);
    void judge_offer(Offer&& offer);
    void find_client(const HttpRequest& request);
    void set_peer(std::string_view address) { PeerAddress{address}.swap(peer_); }
    void apply(Offer&& offer, OfferDecision decision);
    void accept_offer(const Offer& offer, Acceptance& acceptance);
    void refuse_offer(const Offer& offer, Refusal refusal);
    void refuse_for_memory(std::string_view target, bool head_request = false);
    void carry_out(UpgradeDecision program) requires(role == Role::server);
    bool become(std::string_view user) requires(role == Role::server);
    bool is_undecided() const noexcept { return extra_ && extra_->undecided; }
    void keep_early(Bytes bytes);
    void drop_early();
    bool receive_header(MutableBytes& bytes);
    void answer_request(const HttpRequest& request);
    void refuse(Errc why, std::string detail = {}, std::string_view target = {}, bool head_request = false) {
        auto response = refusal_response(why, owner_.server_name(), detail, head_request, date());
        refuse({why, std::move(response), std::move(detail), std::string{target}});
    }
    void refuse(const ServerHandshake::Refused& refused) { refuse(refused, http_status_for(refused.error)); }
    void refuse(const ServerHandshake::Refused& refused, unsigned status);
    void accepted(const ClientHandshake::Accepted& accepted);
    void rejected(const ClientHandshake::Rejected& rejected);
    void opened();
    void linger_without_place();
    void write(Bytes bytes);
    std::string_view date() noexcept { return owner_.date_at(wall_time(transport())); }

    // Plain HTTP requests
    bool has_http() const noexcept { return extra_ && extra_->http; }
    bool owes_answer() const noexcept {
        if (phase_ != Phase::opening || !has_http()) return false;
        return extra_->http->exchange.is_busy() && !extra_->http->exchange.is_streaming();
    }
    bool is_reading_body() const noexcept { return owes_answer() && extra_->http->exchange.is_reading_whole(); }
    /// True if reading may be paused while memory is short. It receives messages, or a body that is kept.
    bool can_wait_for_memory() const noexcept { return is_listening() || is_reading_body(); }
    bool waits_for_program() const noexcept;
    void receive_requests(MutableBytes& bytes) requires(role == Role::server);
    void receive_body(MutableBytes& bytes) requires(role == Role::server);
    void begin_exchange(ServerHandshake::Plain&& plain) requires(role == Role::server);
    void act_on(HttpExchange::Next next) requires(role == Role::server);
    void end_exchange() requires(role == Role::server);
    void await(std::chrono::milliseconds time) requires(role == Role::server);
    void give_whole_time();
    void go_on_with_requests() requires(role == Role::server);
    void exchange_sent() requires(role == Role::server);
    void end_rate_pause() requires(role == Role::server);
    void exchange_timer() requires(role == Role::server);
    void exchange_timed_out() requires(role == Role::server);
    void refuse_late(Errc error) requires(role == Role::server);
    void header_begun() requires(role == Role::server);
    void exchange_ended() requires(role == Role::server);
    void stop_exchange() requires(role == Role::server);
    void abandon_exchange() noexcept;

    // Input
    void receive(MutableBytes bytes);
    void continue_backlog();
    void handle_some(MutableBytes& bytes);
    /// What handle_next() has found. A part after which its message goes on does not count as one.
    enum class Handled : std::uint8_t { nothing, event, part };
    Handled handle_next(MutableBytes& bytes);
    template <class E>
    static Handled handled(const E& event) noexcept {
        if constexpr (std::is_same_v<E, Part>) return event.last ? Handled::event : Handled::part;
        return Handled::event;
    }
    bool has_shared_paces() const noexcept {
        if constexpr (role == Role::server) return owner_.has_shared_paces();
        return false;
    }
    bool is_paced() const noexcept {
        return phase_ == Phase::open && (owner_.options().receive_rates.any() || has_shared_paces());
    }
    template <class F>
    void for_each_shared_pace(F&& f);
    int events_allowed();
    std::size_t bytes_allowed(std::size_t bytes);
    void keep_pace(int events, std::size_t bytes);
    bool is_listening() const noexcept { return phase_ == Phase::open || phase_ == Phase::closing; }
    template <class M>
    void deliver(M& message);
    void react(Text& message) { deliver(message); }
    void react(Binary& message) { deliver(message); }
    void react(const Part& part);
    void react(const Ping& ping);
    void react(const Pong& pong);
    void react(const Close& close);
    void react(const Failed& failed);
    template <class F>
    bool guarded(F&& call);

    // Output
    SendStatus send_taken(SendKind kind, const AnyMessage& message);
    SendStatus publish_to(Audience audience, const AnyMessage& message);
    bool is_acknowledged(std::size_t bytes);
    Clock::time_point publish_deadline(Clock::time_point now) const;
    void limit_publish_pause();
    template <class F>
    SendStatus contained(F&& send);
    void send_output();
    void note_queued() noexcept;
    void pace_itself() noexcept;
    /// True if reading must wait until the peer has taken more.
    bool queue_holds_reading() const noexcept { return !paces_itself_ && out_.holds_reading(); }
    void drained_soon();
    void drained();
    std::chrono::milliseconds longest_memory_pause() const;
    Clock::time_point memory_deadline(Clock::time_point now) const;
    bool is_paused_too_long();
    void give_up_memory();
    void give_up_message();
    SendStatus send_part(Bytes bytes, bool last);
    SendStatus refuse_part(bool is_first);
    void watch_open_message();
    void part_came() noexcept;
    bool open_message_is_late();
    std::chrono::milliseconds part_timeout() const;
    Clock::time_point part_deadline(Clock::time_point now);
    SendStatus queued(const PushResult& pushed, std::uint64_t messages = 1);
    void slow_consumer();
    void broadcasts_first() {
        if constexpr (role == Role::server) owner_.broadcasts_first();
    }
    void discard_queue();
    void count_dropped(std::size_t messages);
    void send_soon();
    void hold(Hold why, bool held);
    void end_pause(Hold why);
    /// True if reading is paused for a reason that is not the peer's.
    bool waits_for_others() const noexcept {
        return is_held(Hold::handler) || is_held(Hold::memory) || is_held(Hold::receivers) || is_held(Hold::program);
    }
    bool is_held(Hold why) const noexcept { return (held_ & static_cast<std::uint8_t>(why)) != 0; }

    // Closing
    SendStatus begin_close(CloseCode code, std::string_view reason);
    void fail_connection(CloseCode code, std::string_view reason, std::error_code error);
    void enter_closing();
    void report_closed(const Close& close);
    void watch_leaving();
    bool still_leaving();
    std::uint64_t bytes_left() const { return out_.waiting() + stream_.unsent(bytes_out_); }
    void linger();
    void linger_when_sent();
    void stream_ended(std::error_code error);
    void opening_ended();
    void opening_timed_out();
    void out_of_memory();
    void finish(std::string_view cause, std::error_code error);
    void report_end();
    void report(const ConnectionEvent& event) noexcept {
        (void)within_memory([&] { owner_.on_event(event); });
    }
    void report_close_sent(std::string_view reason) noexcept {
        if (phase_ != Phase::open) return;  // it was sent before
        report({ConnectionEvent::Kind::close_sent, id_, protocol_.sent_close_code(), reason});
    }
    void note(std::string_view cause, std::error_code error) noexcept;
    void note_target(std::string_view target) { extra().ending.target = target; }
    void add_counts(ConnectionInfo& info) const noexcept;
    void add_texts(ConnectionInfo& info) const;

    T& transport() const noexcept { return owner_.transport(); }
    bool has_backlog() const noexcept { return extra_ && extra_->backlog; }
    /// Bytes that are free when the connection closes.
    std::size_t held() const noexcept;
    Extra& extra() {
        if (!extra_) extra_ = std::make_unique<Extra>();
        return *extra_;
    }

    // Calls of the program
    SendStatus call(ConnectionCall& posted);
    SendStatus call_later(PostedCall& posted);
    void make_due_calls();
    Clock::time_point next_call() const noexcept {
        return extra_ && extra_->delayed ? extra_->delayed->begin()->first : Clock::time_point::max();
    }

    // Timers
    void timer_fired();
    void watch();
    /// Makes the timer fire at `when` or before.
    void wake_by(Clock::time_point when) {
        if (!is_scheduled() || when < due()) owner_.schedule(*this, when);
    }
    void set_timer(std::chrono::milliseconds from_now) {
        looked_again_ = false;
        owner_.schedule(*this, later(transport().now(), from_now));
    }
    bool looks_again(std::chrono::milliseconds whole_time);
    void watch_silence();
    void watch_message(std::uint64_t messages_before);
    bool message_is_late();
    std::chrono::milliseconds message_timeout() const;
    Clock::time_point message_deadline(Clock::time_point now) const;
    /// Modulo 2^32, so that a difference is right for 49 days.
    static std::uint32_t in_milliseconds(Clock::time_point time) {
        const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
        return static_cast<std::uint32_t>(count);
    }

    OwnerOn<T, role>& owner_;
    ConnectionId id_;
    Phase phase_ = Phase::opening;
    std::uint8_t held_ = 0;
    bool dirty_ : 1 = false;           ///< the owner will call flush()
    bool looked_again_ : 1 = false;    ///< since set_timer(); see looks_again()
    bool within_message_ : 1 = false;  ///< a message has begun at `message_began_` and has not ended
    bool memory_noted_ : 1 = false;    ///< the owner knows that the connection holds memory
    bool opened_ : 1 = false;          ///< the opening handshake succeeded
    bool close_reported_ : 1 = false;  ///< on_close() was called
    bool peer_ended_ : 1 = false;      ///< the peer ended its direction of the stream
    bool send_ended_ : 1 = false;      ///< we ended ours
    bool has_place_ : 1 = true;        ///< see has_place()
    bool expects_proxy_header_ : 1 = false;
    bool queue_noted_ : 1 = false;   ///< the owner knows that output waits
    bool drain_due_ : 1 = false;     ///< drained() will be called
    bool paces_itself_ : 1 = false;  ///< see has_space()
    bool owns_data_ : 1 = false;     ///< what `data_` is
    typename T::Stream stream_;
    Protocol<role> protocol_;
    SendPath<T> out_;
    HandshakeResultPtr handshake_result_;  ///< null before the opening handshake ends, except for a client
    PeerAddress peer_;
    void* data_ = nullptr;  ///< the connection's own ConnectionData, or user_data()
    std::unique_ptr<Extra> extra_;

    Clock::time_point started_{};
    [[no_unique_address]] KeepAlive keep_alive_;  // the next member is in its last four bytes
    std::uint32_t message_began_ = 0;             ///< in_milliseconds()
    std::uint64_t bytes_in_ = 0, bytes_out_ = 0;
    std::uint64_t messages_in_ = 0, messages_out_ = 0;
};

}  // namespace wsserver

#include "wsserver/connection/connection.ipp"          // IWYU pragma: keep
#include "wsserver/connection/connection_end.ipp"      // IWYU pragma: keep
#include "wsserver/connection/connection_http.ipp"     // IWYU pragma: keep
#include "wsserver/connection/connection_opening.ipp"  // IWYU pragma: keep
#include "wsserver/connection/connection_pauses.ipp"   // IWYU pragma: keep
