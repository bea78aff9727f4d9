// The bodies of a Connection that carries plain HTTP requests (HttpExchange), before an upgrade or instead of one.
// Included by connection.hpp only.
#pragma once

namespace wsserver {

/// An exchange, and what its connection must know about it.
template <Role role, Transport T>
struct Connection<role, T>::Http {
    using Time = Clock::time_point;

    Http(const HttpExchange::Server& server, ConnectionId id, MemoryAccount* account) noexcept
        : exchange(server, id, account) {}

    HttpExchange exchange;
    Time deadline = Time::max();       ///< for what the exchange waits for
    Time send_deadline = Time::max();  ///< for the peer to take output
    std::uint64_t taken = 0;           ///< taken() when it was last looked at
    bool header_began = false;         ///< of the next request; `deadline` is its own
    std::optional<std::string> proxy;  ///< the peer of the stream, if its requests are those of other clients
};

/// Sends what an exchange sends.
template <Role role, Transport T>
class Connection<role, T>::Carrier final : public HttpCarrier {
   public:
    explicit Carrier(Connection& connection) noexcept : connection_(connection) {}

    void send(std::string_view bytes) override {
        const auto written = connection_.out_.mark(transport());
        transport().output().append(bytes_of(bytes));
        connection_.out_.settle_raw(transport(), connection_.owner_, written);
    }
    void send_long(std::string&& bytes) override {
        const auto owner = std::make_shared<const std::string>(std::move(bytes));
        connection_.out_.push_raw_shared(connection_.owner_, owner, bytes_of(*owner));
    }
    std::string_view date() override { return connection_.date(); }
    std::size_t longest_body() override { return connection_.owner_.longest_body(); }
    std::optional<HttpResponse> answer(const HttpRequest& request) override {
        return connection_.owner_.answer(request);
    }

   private:
    T& transport() const noexcept { return connection_.transport(); }

    Connection& connection_;
};

template <Role role, Transport T>
bool Connection<role, T>::waits_for_program() const noexcept {
    if (!extra_) return false;
    // One answer at a time: the next request is not looked at before the peer's system has taken this one.
    return extra_->undecided || (extra_->http && (extra_->http->exchange.waits_for_program() || !out_.idle()));
}

/// Reads requests and their bodies, one after the other, until they are too many for one turn or wait for the program.
template <Role role, Transport T>
void Connection<role, T>::receive_requests(MutableBytes& bytes) requires(role == Role::server) {
    const bool has_rates = owner_.options().receive_rates.any() || has_shared_paces();
    // The first header is received whatever the rates are: the time of the opening handshake limits it.
    const bool paced = has_rates && has_http();
    const int most = paced ? events_allowed() : has_rates ? 1 : events_per_turn;
    const std::size_t before = bytes.size();
    const std::size_t allowed = paced ? bytes_allowed(before) : before;
    MutableBytes now = bytes.first(allowed);
    int requests = 0;
    while (phase_ == Phase::opening && !now.empty() && !waits_for_program() && requests < most &&
           out_.written(transport()) <= most_written) {
        if (has_http() && extra_->http->exchange.is_busy()) {
            receive_body(now);
        } else if (receive_header(now)) {
            ++requests;
        }
    }
    bytes = bytes.subspan(allowed - now.size());
    if (has_rates && has_http() && phase_ == Phase::opening) keep_pace(requests, before - bytes.size());
}

template <Role role, Transport T>
void Connection<role, T>::receive_body(MutableBytes& bytes) requires(role == Role::server) {
    Bytes input = bytes;
    Carrier carrier{*this};
    const auto next = extra_->http->exchange.receive(input, carrier);
    const bool any = input.size() < bytes.size();
    bytes = bytes.subspan(bytes.size() - input.size());
    note_memory();
    const bool goes_on = any && extra_->http->exchange.is_upload();
    if (goes_on || next == HttpExchange::Next::program) extra_->http->deadline = {};  // the time of the body is over
    act_on(next);
}

/// A plain request whose header was received.
template <Role role, Transport T>
void Connection<role, T>::begin_exchange(ServerHandshake::Plain&& plain) requires(role == Role::server) {
    if (!has_http()) {
        const HttpExchange::Server server{*owner_.http_routes(), owner_.options(), owner_.server_name(),
                                          owner_.counts()};
        extra().http = std::make_unique<Http>(server, id_, owner_.protocol_options().memory);
        extra_->http->exchange.set_peer(peer());
    }
    find_client(plain.request);
    if (owner_.is_over_memory_limit()) {
        return refuse_for_memory(plain.request.target, plain.request.method == "HEAD");
    }
    Carrier carrier{*this};
    extra_->http->deadline = {};
    extra_->http->header_began = false;
    act_on(extra_->http->exchange.begin(std::move(plain), extra_->turned_away, carrier));
}

template <Role role, Transport T>
void Connection<role, T>::act_on(HttpExchange::Next next) requires(role == Role::server) {
    using Next = HttpExchange::Next;
    HttpExchange& exchange = extra_->http->exchange;
    switch (next) {
        case Next::body:
            return await(message_timeout());
        case Next::program:
            return await(exchange.is_streaming() ? std::chrono::milliseconds{0} : owner_.options().http.answer_timeout);
        case Next::next:
            extra_->opening->next_request(exchange.take_request());
            extra_->http->deadline = {};
            return await(owner_.options().http.idle_timeout);
        case Next::close:
            note("answered a plain HTTP request", {});
            note_target(exchange.request().target);
            return end_exchange();
        case Next::refuse: {
            const HttpExchange::Refusal refusal = exchange.refusal();
            const HttpRequest request = exchange.take_request();
            return refuse(refusal.error, std::string{refusal.text}, request.target, exchange.is_head());
        }
        case Next::cut:
            return finish("the program did not complete its answer", {});
    }
}

/// The stream ends after what is still to be sent.
template <Role role, Transport T>
void Connection<role, T>::end_exchange() requires(role == Role::server) {
    extra().opening.reset();
    linger_without_place();
    drop_early();
}

/// Something must happen within `time`, counted from when the exchange began to wait for it; 0: at any time.
template <Role role, Transport T>
void Connection<role, T>::await(std::chrono::milliseconds time) requires(role == Role::server) {
    Http& http = *extra_->http;
    if (time.count() == 0) http.deadline = Clock::time_point::max();
    if (http.deadline != Clock::time_point{}) return;
    looked_again_ = false;
    http.deadline = later(transport().now(), time);
    wake_by(http.deadline);
}

/// The body was not read while memory was short.
template <Role role, Transport T>
void Connection<role, T>::give_whole_time() {
    if constexpr (role == Role::server) {
        extra_->http->deadline = {};
        await(message_timeout());
    }
}

/// The program has asked something.
template <Role role, Transport T>
void Connection<role, T>::serve_http() requires(role == Role::server) {
    if (phase_ != Phase::opening || !has_http() || !extra_->http->exchange.is_busy()) return;
    in_one_turn([this] {
        Carrier carrier{*this};
        HttpExchange& exchange = extra_->http->exchange;
        const bool waited = exchange.waits_for_program();
        const auto next = exchange.serve(carrier);
        if (waited && next != HttpExchange::Next::program) extra_->http->deadline = {};
        act_on(next);
        go_on_with_requests();
    });
}

/// The bytes that waited for an answer may be handled now.
template <Role role, Transport T>
void Connection<role, T>::go_on_with_requests() requires(role == Role::server) {
    if (phase_ == Phase::opening && !waits_for_program() && is_held(Hold::decision)) hold(Hold::decision, false);
}

/// Output was passed to the transport, or taken from it.
template <Role role, Transport T>
void Connection<role, T>::exchange_sent() requires(role == Role::server) {
    if (!has_http()) return;
    Http& http = *extra_->http;
    const bool idle = out_.idle();
    if (is_undecided()) {  // only the time of the opening handshake counts
        if (idle && extra_->undecided->decision) owner_.go_on_later(id_);
        return;
    }
    if (idle) {
        http.send_deadline = Clock::time_point::max();
    } else if (http.send_deadline == Clock::time_point::max()) {
        http.taken = taken();
        http.send_deadline = later(transport().now(), owner_.options().http.send_timeout);
        wake_by(http.send_deadline);
    }
    http.exchange.note_queued(out_.queued());
    if (idle) go_on_with_requests();
}

/// The time of the pause is not that of the client, which was not read.
template <Role role, Transport T>
void Connection<role, T>::end_rate_pause() requires(role == Role::server) {
    Http& http = *extra_->http;
    const std::chrono::milliseconds pause{in_milliseconds(transport().now()) - extra_->paused_at};
    end_pause(Hold::rate);
    const bool is_limited = http.deadline != Clock::time_point{} && http.deadline != Clock::time_point::max();
    if (is_limited && !http.exchange.waits_for_program()) http.deadline = later(http.deadline, pause);
}

template <Role role, Transport T>
void Connection<role, T>::exchange_timer() requires(role == Role::server) {
    if (is_held(Hold::rate)) end_rate_pause();
    if (is_held(Hold::memory)) {
        if (is_paused_too_long()) return;
        if (is_held(Hold::memory)) return owner_.schedule(*this, memory_deadline(transport().now()));
    }
    Http& http = *extra_->http;
    const auto now = transport().now();
    if (now >= http.send_deadline) {
        const std::uint64_t now_taken = taken();  // what waits may grow meanwhile
        if (now_taken <= http.taken) {
            owner_.counts().http_timeouts.add();
            return finish("the peer takes no more output", std::make_error_code(std::errc::timed_out));
        }
        http.taken = now_taken;
        http.send_deadline = later(now, owner_.options().http.send_timeout);
    }
    if (!out_.idle() && now >= http.deadline) {  // nothing is read before what was sent has left
        if (!http.exchange.is_busy()) http.deadline = later(now, owner_.options().http.idle_timeout);
        if (http.exchange.is_upload()) http.deadline = later(now, message_timeout());
    }
    if (now >= http.deadline) return exchange_timed_out();
    const auto next = std::min(http.deadline, http.send_deadline);
    if (next != Clock::time_point::max()) owner_.schedule(*this, next);
}

template <Role role, Transport T>
void Connection<role, T>::exchange_timed_out() requires(role == Role::server) {
    HttpExchange& exchange = extra_->http->exchange;
    const bool is_idle = !exchange.is_busy() && extra_->opening->is_empty();
    if (exchange.waits_for_program() && exchange.is_busy()) {
        owner_.counts().http_timeouts.add();
        return refuse_late(Errc::answer_timeout);
    }
    if (looks_again(is_idle ? owner_.options().http.idle_timeout : owner_.options().handshake_timeout)) return;
    if (is_idle) {
        note("no further HTTP request", {});
        return end_exchange();
    }
    const bool in_body = exchange.is_busy();
    (in_body ? owner_.counts().message_timeouts : owner_.counts().handshake_timeouts).add();
    refuse_late(in_body ? Errc::body_timeout : Errc::handshake_timeout);
}

/// A request took too long. After a part of an answer nothing else can be sent.
template <Role role, Transport T>
void Connection<role, T>::refuse_late(Errc error) requires(role == Role::server) {
    HttpExchange& exchange = extra_->http->exchange;
    if (exchange.is_streaming()) return finish(message_of(error), make_error_code(error));
    const bool is_head = exchange.is_busy() && exchange.is_head();  // otherwise its header is not complete
    exchange.abandon();
    refuse(error, {}, exchange.request().target, is_head);
    drop_early();
}

/// No answer is sent any more.
template <Role role, Transport T>
void Connection<role, T>::abandon_exchange() noexcept {
    if constexpr (role == Role::server) {
        if (has_http()) extra_->http->exchange.abandon();
    }
}

template <Role role, Transport T>
std::size_t Connection<role, T>::held() const noexcept {
    std::size_t bytes = protocol_.held() + out_.memory();
    if (has_backlog()) bytes += extra_->backlog->bytes.size();
    if (has_http()) bytes += extra_->http->exchange.held();
    return bytes;
}

/// The peer has ended its direction of the stream. It is gone, unless its last answer is complete.
template <Role role, Transport T>
void Connection<role, T>::exchange_ended() requires(role == Role::server) {
    const HttpExchange& exchange = extra_->http->exchange;
    if (exchange.is_busy()) return finish("the client went away before the answer to its request", {});
    if (!extra_->opening->is_empty()) return finish("the client went away within a request", {});
    end_exchange();
    send_soon();
}

/// The server stops. An answer that the program owes, or that is on its way, is still sent. One that is streamed may
/// have no end.
template <Role role, Transport T>
void Connection<role, T>::stop_exchange() requires(role == Role::server) {
    HttpExchange& exchange = extra_->http->exchange;
    if (exchange.is_busy() && !exchange.is_streaming()) return exchange.close_soon();
    if (exchange.is_busy() || out_.idle()) return finish("the server stops", {});
    note("the server stops", {});
    in_one_turn([this] { end_exchange(); });
}

}  // namespace wsserver
