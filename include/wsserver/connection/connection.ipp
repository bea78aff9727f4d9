// The bodies of Connection, in the order of its phases. Included by connection.hpp only.
#pragma once

namespace wsserver {

// --- Opening handshake (RFC 6455 §4) ---

template <Role role, Transport T>
void Connection<role, T>::begin() {
    started_ = transport().now();
    keep_alive_.heard(started_);
    const auto time = owner_.options().handshake_timeout;
    set_timer(extra().turned_away ? std::min(time, turned_away_time) : time);
    stream_.start(*this);
}

template <Role role, Transport T>
void Connection<role, T>::receive_opening(MutableBytes& bytes) {
    OpeningHandshake& opening = *extra_->opening;
    const auto step = opening.receive(bytes);
    bytes = bytes.subspan(opening.consumed());
    if constexpr (role == Role::server) {
        std::visit(overloaded{
                       [](const ServerHandshake::NeedMore&) {},
                       [&](const ServerHandshake::Upgrade& upgrade) { accept_offer(upgrade.offer); },
                       [&](const ServerHandshake::Plain& plain) { answer_request(plain.request); },
                       [&](const ServerHandshake::Refused& refused) { refuse(refused); },
                   },
                   step);
    } else {
        std::visit(overloaded{
                       [](const ClientHandshake::NeedMore&) {},
                       [&](const ClientHandshake::Accepted& response) { accepted(response); },
                       [&](const ClientHandshake::Rejected& response) { rejected(response); },
                   },
                   step);
    }
}

template <Role role, Transport T>
void Connection<role, T>::accept_offer(const Offer& offer) {
    if (extra_->turned_away) return refuse(Errc::too_many_connections);
    auto choice = owner_.choose(*this, offer);
    if (auto* refusal = std::get_if<Refusal>(&choice)) return refuse(refusal->error, std::move(refusal->detail));
    const auto& acceptance = std::get<Acceptance>(choice);
    handshake_result_ = owner_.handshake_results().of(acceptance.handler, acceptance.subprotocol, offer.request.target);
    write(bytes_of(accept_response(offer, acceptance.subprotocol, owner_.options().server_name)));
    opened();
}

template <Role role, Transport T>
void Connection<role, T>::answer_request(const HttpRequest& request) {
    const auto response = owner_.answer(request);  // also on a full server: a health check must not fail

    if (!response) return refuse(Errc::not_an_upgrade, {}, request.method == "HEAD");
    owner_.counts().http_answered.add();
    write(bytes_of(http_response(*response, request, owner_.options().server_name)));
    note("answered a plain HTTP request", {});
    extra().opening.reset();
    linger();
}

template <Role role, Transport T>
void Connection<role, T>::refuse(const ServerHandshake::Refused& refused) {
    const bool full = refused.error == Errc::too_many_connections;
    (full ? owner_.counts().turned_away : owner_.counts().refused).add();
    write(bytes_of(refused.response));
    std::string cause{message_of(refused.error)};
    if (!refused.detail.empty()) cause.append(": ").append(refused.detail);
    note(cause, make_error_code(refused.error));
    extra().opening.reset();
    linger();
}

template <Role role, Transport T>
void Connection<role, T>::accepted(const ClientHandshake::Accepted& accepted) {
    owner_.on_response(accepted.response);
    if (phase_ != Phase::opening) return;  // on_response() has ended the connection
    handshake_result_ = owner_.handshake_results().of(handshake_result_->handler(), accepted.subprotocol, target());
    opened();
}

template <Role role, Transport T>
void Connection<role, T>::rejected(const ClientHandshake::Rejected& rejected) {
    owner_.on_response(rejected.response);
    finish(rejected.text, make_error_code(rejected.error));
}

template <Role role, Transport T>
void Connection<role, T>::opened() {
    extra_.reset();  // only the opening handshake was in it
    phase_ = Phase::open;
    opened_ = true;
    owner_.counts().opened.add();
    owner_.on_opened(id_);
    watch_silence();
    guarded([&] { handler()->on_open(*this); });
}

template <Role role, Transport T>
void Connection<role, T>::write(Bytes bytes) {
    transport().output().append(bytes);
}

// --- Input ---

template <Role role, Transport T>
void Connection<role, T>::on_bytes(MutableBytes bytes) {
    const Turn turn(*this);
    keep_alive_.heard(transport().now());
    bytes_in_ += bytes.size();
    owner_.counts().bytes_in.add(bytes.size());
    if (has_backlog()) return extra_->backlog->bytes.append(bytes);
    if (phase_ == Phase::opening) receive_opening(bytes);
    // Frames may follow the opening handshake in the same bytes.
    handle_some(bytes);
    if (bytes.empty()) return;
    extra().backlog = std::make_unique<Backlog>();
    extra_->backlog->bytes.append(bytes);
    hold(Hold::turn, true);  // calls go_on_later(), unless reading is held for another reason, too
}

template <Role role, Transport T>
ReceiveBuffer Connection<role, T>::prepare_buffer() noexcept {
    try {
        return protocol_.prepare_buffer();
    } catch (const std::bad_alloc&) {
        return {};  // the next allocation fails as well and is reported
    }
}

template <Role role, Transport T>
void Connection<role, T>::commit_buffer(ReceiveBuffer buffer, std::size_t count) {
    const MutableBytes come = protocol_.commit_buffer(std::move(buffer), count);
    if (!come.empty()) on_bytes(come);
}

template <Role role, Transport T>
void Connection<role, T>::go_on() {
    // If reading is paused for another reason, continue when it resumes.
    if (!has_backlog() || held_ != static_cast<std::uint8_t>(Hold::turn)) return;
    const Turn turn(*this);
    auto backlog = std::move(extra_->backlog);
    MutableBytes left = backlog->bytes.bytes().subspan(backlog->done);
    handle_some(left);
    if (left.empty()) return hold(Hold::turn, false);
    backlog->done = backlog->bytes.size() - left.size();
    extra_->backlog = std::move(backlog);
    owner_.go_on_later(id_);
}

/// Handles `bytes` and removes the handled part from their front: all of them, unless that is too much for one turn.
template <Role role, Transport T>
void Connection<role, T>::handle_some(MutableBytes& bytes) {
    try {
        for (int events = 0; is_listening() && events < events_per_turn; ++events) {
            if (!handle_next(bytes)) break;
        }
    } catch (const std::bad_alloc&) {  // a message that is too large for memory ends only its own connection
        finish("out of memory", std::make_error_code(std::errc::not_enough_memory));
    }
    if (!is_listening()) bytes = {};  // bytes received while lingering are ignored
}

template <Role role, Transport T>
bool Connection<role, T>::handle_next(MutableBytes& bytes) {
    const auto written = out_.mark(transport());
    const std::optional<Event> event = protocol_.next_event(bytes, transport().output());
    if (!event) return false;
    // The output has the reply to a Ping, the echo of a Close, or the Close for a broken rule. Settle it first.
    const SendKind kind = protocol_.finished() ? SendKind::close : SendKind::control;
    if (out_.settle(transport(), owner_, written, kind).must_close) slow_consumer();
    std::visit([this](const auto& what) { this->react(what); }, *event);
    return true;
}

template <Role role, Transport T>
template <class M>
void Connection<role, T>::deliver(const M& message) {
    ++messages_in_;
    owner_.counts().messages_in.add();
    guarded([&] { handler()->on_message(*this, message); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Ping& ping) {
    guarded([&] { handler()->on_ping(*this, ping); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Pong& pong) {
    if (pong.payload.size() == sizeof(std::uint64_t)) {
        keep_alive_.ponged(load_big_endian<std::uint64_t>(pong.payload), transport().now());
    }
    guarded([&] { handler()->on_pong(*this, pong); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Close& close) {
    enter_closing();
    report_closed(close);
    linger();
}

template <Role role, Transport T>
void Connection<role, T>::react(const Failed& failed) {
    enter_closing();
    note(message_of(failed.error), make_error_code(failed.error));
    report_closed({close_code_for(failed.error), message_of(failed.error)});
    linger();
}

/// Calls the handler, unless the owner is muted. An exception closes only this connection.
template <Role role, Transport T>
template <class F>
void Connection<role, T>::guarded(F&& call) {
    const HandlerCall handler_call{owner_, handler()};
    if (!handler_call.allowed()) return;
    try {
        call();
    } catch (const std::exception& exception) {
        fail_handler(exception.what());
    } catch (...) {
        fail_handler("an exception that is not a std::exception");
    }
}

template <Role role, Transport T>
void Connection<role, T>::fail_handler(std::string_view what) {
    owner_.counts().handler_exceptions.add();
    note(std::string{"the handler threw: "}.append(what), {});
    begin_close(CloseCode::internal_error, "the handler failed");
}

// --- Output ---

template <Role role, Transport T>
template <class M>
SendStatus Connection<role, T>::send_as(SendKind kind, const M& message) {
    assert(is_message(kind));
    broadcasts_first();
    if (phase_ != Phase::open) return SendStatus::closed;
    const auto written = out_.mark(transport());
    if (!protocol_.send(message, transport().output())) return SendStatus::closed;
    return queued(out_.settle(transport(), owner_, written, kind));
}

template <Role role, Transport T>
SendStatus Connection<role, T>::send_shared(const std::shared_ptr<const void>& owner, Bytes frames) {
    if (phase_ != Phase::open) return SendStatus::closed;
    return queued(out_.push_shared(owner_, owner, frames));
}

template <Role role, Transport T>
bool Connection<role, T>::send_directly(const std::shared_ptr<const void>& owner, Bytes frames, std::size_t messages) {
    if (phase_ != Phase::open || !out_.is_free_for(frames)) return false;
    out_.send_directly(stream_, owner_, owner, frames);
    bytes_out_ += frames.size();
    messages_out_ += messages;
    owner_.counts().bytes_out.add(frames.size());
    owner_.counts().messages_out.add(messages);
    hold(Hold::send_queue, out_.holds_reading());
    return true;
}

/// Counts the result of queueing a message.
template <Role role, Transport T>
SendStatus Connection<role, T>::queued(const PushResult& pushed) {
    if (pushed.dropped > 0) count_dropped(pushed.dropped);
    if (pushed.must_close) slow_consumer();
    if (pushed.status != SendStatus::queued) return pushed.status;
    ++messages_out_;
    owner_.counts().messages_out.add();
    send_soon();
    return SendStatus::queued;
}

/// The peer will probably never take what is queued. Only the Close frame is still sent.
template <Role role, Transport T>
void Connection<role, T>::slow_consumer() {
    if (phase_ != Phase::open) return;
    owner_.counts().slow_consumers.add();
    note("slow consumer: its send queue was full", {});
    discard_queue();
    begin_close(CloseCode::try_again_later, "slow consumer");
}

template <Role role, Transport T>
void Connection<role, T>::discard_queue() {
    if (const std::size_t discarded = out_.discard(); discarded > 0) count_dropped(discarded);
}

template <Role role, Transport T>
void Connection<role, T>::count_dropped(std::size_t messages) {
    extra().dropped += messages;
    owner_.counts().messages_dropped.add(messages);
}

template <Role role, Transport T>
SendStatus Connection<role, T>::ping(Bytes payload) {
    if (phase_ != Phase::open) return SendStatus::closed;
    std::array<std::uint8_t, sizeof(std::uint64_t)> number{};
    if (payload.empty()) {
        store_big_endian(MutableBytes{number}, keep_alive_.pinged(transport().now()));
        payload = number;
    }
    const auto written = out_.mark(transport());
    if (!protocol_.ping(payload, transport().output())) return SendStatus::refused;
    if (out_.settle(transport(), owner_, written, SendKind::control).must_close) slow_consumer();
    send_soon();
    return SendStatus::queued;
}

/// The end of the Turn sends the output. Outside of a Turn, the end of the reactor's turn sends it.
template <Role role, Transport T>
void Connection<role, T>::send_soon() {
    if (out_.in_turn() || dirty_) return;
    owner_.flush_later(id_);
    dirty_ = true;
}

template <Role role, Transport T>
void Connection<role, T>::flush() {
    dirty_ = false;
    if (phase_ == Phase::closed) return;
    const std::uint64_t bytes = out_.send(stream_, transport(), owner_);
    bytes_out_ += bytes;
    owner_.counts().bytes_out.add(bytes);
    if (phase_ >= Phase::closing) watch_leaving();
    if (phase_ == Phase::lingering) return linger_when_sent();
    hold(Hold::send_queue, out_.holds_reading());
}

template <Role role, Transport T>
void Connection<role, T>::on_sent() {
    const Turn turn(*this);
    keep_alive_.heard(transport().now());  // a peer that takes our bytes is alive, even if it sends none meanwhile
    out_.on_sent();
}

template <Role role, Transport T>
void Connection<role, T>::hold(Hold why, bool held) {
    const auto bit = static_cast<std::uint8_t>(why);
    const auto before = std::exchange(held_, static_cast<std::uint8_t>(held ? held_ | bit : held_ & ~bit));
    if (before != held_ && has_backlog() && held_ == static_cast<std::uint8_t>(Hold::turn)) owner_.go_on_later(id_);
    if ((before == 0) == (held_ == 0) || phase_ == Phase::closed) return;
    held_ != 0 ? stream_.pause_receiving() : stream_.resume_receiving();
}

// --- Closing (RFC 6455 §7) ---

template <Role role, Transport T>
SendStatus Connection<role, T>::close(CloseCode code, std::string_view reason) {
    return begin_close(code, reason);
}

template <Role role, Transport T>
SendStatus Connection<role, T>::begin_close(CloseCode code, std::string_view reason) {
    broadcasts_first();
    if (phase_ != Phase::open) return SendStatus::closed;
    const auto written = out_.mark(transport());
    if (!protocol_.close(code, reason, transport().output())) return SendStatus::refused;
    out_.settle(transport(), owner_, written, SendKind::close);
    enter_closing();
    send_soon();
    return SendStatus::queued;
}

template <Role role, Transport T>
void Connection<role, T>::going_away() {
    if (phase_ == Phase::opening) return finish("the server stops", {});
    begin_close(CloseCode::going_away, "the server stops");
}

/// From now on, nothing but the closing handshake is sent.
template <Role role, Transport T>
void Connection<role, T>::enter_closing() {
    if (phase_ != Phase::open) return;
    phase_ = Phase::closing;
    owner_.on_closing(id_);
    set_timer(owner_.options().close_timeout);
}

template <Role role, Transport T>
void Connection<role, T>::report_closed(const Close& close) {
    if (!opened_ || std::exchange(close_reported_, true)) return;
    extra().ending.code = close.code;
    extra().ending.reason = close.reason;
    guarded([&] {
        owner_.on_close_called(id_);
        handler()->on_close(*this, close);
    });
}

/// The closing handshake begins when the Close frame is sent (RFC 6455 §7.1.3). Its time begins then, too.
template <Role role, Transport T>
void Connection<role, T>::watch_leaving() {
    const bool leaving = !out_.idle();
    if (leaving == (extra_ && extra_->leaving)) return;
    extra().leaving = leaving;
    extra().left = leaving ? bytes_left() : unknown_left;
    if (!leaving) set_timer(owner_.options().close_timeout);
}

/// Called after each close_timeout of a closing or lingering connection. True while the peer takes output: then it has
/// as much time again, also after it has taken the last byte.
template <Role role, Transport T>
bool Connection<role, T>::still_leaving() {
    const std::uint64_t left = bytes_left();
    const std::uint64_t before = std::exchange(extra().left, left == 0 ? unknown_left : left);
    if (left == 0 ? before == unknown_left : left >= before) return false;
    // What the kernel holds is not watched from the start. A second look soon tells whether the peer takes it.
    const auto whole_time = owner_.options().close_timeout;
    set_timer(before == unknown_left ? std::min<std::chrono::milliseconds>(whole_time, stood_still) : whole_time);
    return true;
}

/// From now on, only the end of the stream is expected from the peer. Queued output is still sent.
template <Role role, Transport T>
void Connection<role, T>::linger() {
    if (phase_ == Phase::lingering || phase_ == Phase::closed) return;
    phase_ = Phase::lingering;
    hold(Hold::send_queue, false);
    hold(Hold::handler, false);
    set_timer(owner_.options().close_timeout);
    send_soon();
}

template <Role role, Transport T>
void Connection<role, T>::linger_when_sent() {
    if (!out_.idle()) return;
    if (peer_ended_) return finish({}, {});
    if (RoleRules<role>::ends_stream && !std::exchange(send_ended_, true)) stream_.shutdown_send();
}

template <Role role, Transport T>
void Connection<role, T>::on_end(std::error_code error) {
    const Turn turn(*this);
    if (error) return finish(error.message(), error);
    peer_ended_ = true;
    protocol_.receive_eof();
    if (phase_ == Phase::opening) return opening_ended();
    if (phase_ == Phase::open || phase_ == Phase::closing) {
        note("the peer ended the stream without a Close frame", {});
        enter_closing();
        report_closed({CloseCode::abnormal, "the peer ended the stream without a Close frame"});
    }
    linger();
    send_soon();
}

/// The peer ended the stream before the opening handshake was complete.
template <Role role, Transport T>
void Connection<role, T>::opening_ended() {
    if constexpr (role == Role::client) {
        rejected(extra_->opening->receive_eof());
    } else {
        finish("the client went away during the opening handshake", {});
    }
}

template <Role role, Transport T>
void Connection<role, T>::opening_timed_out() {
    if constexpr (role == Role::server) {
        refuse(Errc::handshake_timeout);
    } else {
        const auto so_far = extra_->opening->receive_eof();
        if (so_far.response.status != 0) return rejected(so_far);  // a refusal whose text arrives slowly
        finish("no answer to the opening handshake in time", std::make_error_code(std::errc::timed_out));
    }
}

template <Role role, Transport T>
void Connection<role, T>::finish(std::string_view cause, std::error_code error) {
    if (phase_ == Phase::closed) return;
    note(cause, error);
    enter_closing();
    report_closed({CloseCode::abnormal, cause});
    phase_ = Phase::closed;
    owner_.cancel(*this);
    stream_.close();
    discard_queue();
    extra().ending.info = info();
    extra().ending.opened = opened_;
    owner_.on_ended(extra().ending);
}

/// Only the first cause is kept.
template <Role role, Transport T>
void Connection<role, T>::note(std::string_view cause, std::error_code error) {
    if (cause.empty() || !extra().ending.cause.empty()) return;
    extra().ending.cause = cause;
    extra().ending.error = error;
}

// --- Timers ---

template <Role role, Transport T>
void Connection<role, T>::on_timer() {
    const Turn turn(*this);
    switch (phase_) {
        case Phase::opening:
            if (looks_again(owner_.options().handshake_timeout)) return;
            owner_.counts().handshake_timeouts.add();
            return opening_timed_out();
        case Phase::open:
            return watch_silence();
        case Phase::closing:
            if (still_leaving() || looks_again(owner_.options().close_timeout)) return;
            owner_.counts().close_timeouts.add();
            return finish(out_.idle() ? "no answer to the Close frame in time" : "the peer takes no more output",
                          std::make_error_code(std::errc::timed_out));
        case Phase::lingering:
            if (still_leaving() || looks_again(owner_.options().close_timeout)) return;
            // If all output is sent, a peer that keeps the stream open does not break a rule.
            return finish(out_.idle() ? "" : "the peer takes no more output", {});
        case Phase::closed:
            return;
    }
}

/// Called before the connection is ended because of its peer's silence. True: the timer was set again, because the
/// peer's bytes may wait unread. After a pause of the whole process the peer has all its time once more.
template <Role role, Transport T>
bool Connection<role, T>::looks_again(std::chrono::milliseconds whole_time) {
    if (std::exchange(looked_again_, true)) return false;
    const auto now = transport().now();
    const bool late = now - due() >= stood_still;
    owner_.schedule(*this, later(now, late ? whole_time : std::min(whole_time / 10, second_look_time)));
    return true;
}

/// Checks from time to time whether the peer is silent. So a message does not have to reschedule the timer.
template <Role role, Transport T>
void Connection<role, T>::watch_silence() {
    const ConnectionOptions& options = owner_.options();
    if (options.ping_interval.count() == 0) return;
    if (is_held(Hold::handler)) {  // the peer may have sent bytes that we do not read
        keep_alive_.stop_probing();
        return set_timer(options.ping_interval);
    }
    using Act = KeepAlive::Decision::Act;
    const auto decision = keep_alive_.decide(transport().now(), options.ping_interval, options.pong_timeout);
    switch (decision.act) {
        case Act::wait:
            return owner_.schedule(*this, decision.at);
        case Act::ping:
            ping({});
            if (phase_ != Phase::open) return;  // the send queue was full: the timer is the closing handshake's now
            keep_alive_.probe();
            return set_timer(std::min(options.ping_interval, options.pong_timeout));
        case Act::give_up:
            if (looks_again(options.pong_timeout)) return;
            owner_.counts().pong_timeouts.add();
            return finish("no answer to a ping in time", std::make_error_code(std::errc::timed_out));
    }
}

template <Role role, Transport T>
ConnectionInfo Connection<role, T>::info() const {
    const auto now = transport().now();
    ConnectionInfo info;
    info.id = id_;
    info.peer = peer();
    info.subprotocol = subprotocol();
    if (handshake_result_) info.handler = handshake_result_->handler()->name();
    info.state = phase_ == Phase::opening ? "opening" : phase_ == Phase::open ? "open" : "closing";
    info.age = std::chrono::duration_cast<std::chrono::milliseconds>(now - started_);
    info.idle = std::chrono::duration_cast<std::chrono::milliseconds>(now - keep_alive_.last_heard());
    info.round_trip = keep_alive_.round_trip();
    info.bytes_in = bytes_in_;
    info.bytes_out = bytes_out_;
    info.messages_in = messages_in_;
    info.messages_out = messages_out_;
    if (extra_) info.dropped = extra_->dropped;
    info.queued = out_.queued();
    return info;
}

}  // namespace wsserver
