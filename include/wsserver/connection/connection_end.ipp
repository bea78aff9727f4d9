// The bodies of the end of a Connection: closing handshake, timers and report. Included by connection.hpp only.
#pragma once

namespace wsserver {

// --- Closing (RFC 6455 §7) ---

template <Role role, Transport T>
SendStatus Connection<role, T>::close(CloseCode code, std::string_view reason) {
    return begin_close(code, reason);
}

template <Role role, Transport T>
SendStatus Connection<role, T>::begin_close(CloseCode code, std::string_view reason) {
    return contained([&] {
        broadcasts_first();
        if (phase_ != Phase::open) return SendStatus::closed;
        const auto written = out_.mark(transport());
        if (!protocol_.close(code, reason, transport().output())) return SendStatus::refused;
        out_.settle(transport(), owner_, written, SendKind::close);
        report_close_sent(reason);
        enter_closing();
        send_soon();
        return SendStatus::queued;
    });
}

/// Fails the connection (RFC 6455 §7.1.7). What the peer still sends is ignored.
template <Role role, Transport T>
void Connection<role, T>::fail_connection(CloseCode code, std::string_view reason, std::error_code error) {
    const auto written = out_.mark(transport());
    protocol_.fail_connection(code, reason, transport().output());
    out_.settle(transport(), owner_, written, SendKind::close);
    report_close_sent(reason);
    enter_closing();
    note(reason, error);
    report_closed({code, reason});
    linger();
}

template <Role role, Transport T>
void Connection<role, T>::going_away() {
    if (phase_ == Phase::opening) {
        if constexpr (role == Role::server) {
            if (has_http() && !is_undecided()) return stop_exchange();
        }
        return finish("the server stops", {});
    }
    begin_close(CloseCode::going_away, "the server stops");
}

/// From now on, nothing but the closing handshake is sent.
template <Role role, Transport T>
void Connection<role, T>::enter_closing() {
    if (phase_ != Phase::open) return;
    phase_ = Phase::closing;
    if (const std::size_t lost = out_.abandon_message(); lost > 0) count_dropped(lost);
    if (extra_) extra_->delayed.reset();
    if (is_held(Hold::rate)) end_pause(Hold::rate);  // the peer's Close frame may wait unread
    if (is_held(Hold::program)) end_pause(Hold::program);
    owner_.on_closing(id_);
    handler()->on_closing();
    set_timer(owner_.options().close_timeout);
    if (is_held(Hold::memory)) wake_by(transport().now());  // calls give_up_message(); a reaction may be running now
}

template <Role role, Transport T>
void Connection<role, T>::report_closed(const Close& close) {
    if (!opened_ || close_reported_) return;
    close_reported_ = true;
    if (within_memory([this] { extra(); })) {
        extra_->ending.code = close.code;
        (void)within_memory([&] { extra_->ending.reason = close.reason; });
    }
    guarded([&] {
        if (owner_.on_close_called(id_)) handler()->on_close(*this, close);
    });
    if (owner_.running_handler() == nullptr) own_data(nullptr);  // otherwise a reaction may use it: with the connection
    if constexpr (role == Role::server) owner_.memberships().leave_all(id_.slot);
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
    if (phase_ >= Phase::lingering) return;
    phase_ = Phase::lingering;
    abandon_exchange();
    if (extra_) extra_->http.reset();
    hold(Hold::send_queue, false);
    hold(Hold::handler, false);
    hold(Hold::memory, false);
    hold(Hold::receivers, false);
    hold(Hold::program, false);
    hold(Hold::rate, false);
    set_timer(owner_.options().close_timeout);
    send_soon();
}

template <Role role, Transport T>
void Connection<role, T>::linger_when_sent() {
    if (!out_.idle()) return;
    if (peer_ended_) return finish({}, {});
    if (!RoleRules<role>::ends_stream || send_ended_) return;
    send_ended_ = true;
    stream_.shutdown_send();
}

template <Role role, Transport T>
void Connection<role, T>::on_end(std::error_code error) {
    in_one_turn([&] { stream_ended(error); });
}

template <Role role, Transport T>
void Connection<role, T>::stream_ended(std::error_code error) {
    if (phase_ == Phase::ending) return;
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
        if (has_http() && !is_undecided()) return exchange_ended();
        finish("the client went away during the opening handshake", {});
    }
}

template <Role role, Transport T>
void Connection<role, T>::opening_timed_out() {
    if constexpr (role == Role::server) {
        if (!is_undecided()) return refuse(Errc::handshake_timeout);
        const auto undecided = std::move(extra_->undecided);
        if (undecided->decision) {
            return finish("the peer takes no more output", std::make_error_code(std::errc::timed_out));
        }
        refuse(Errc::upgrade_undecided, {}, undecided->offer.request.target);
        drop_early();
    } else {
        const auto so_far = extra_->opening->receive_eof();
        if (so_far.response.status != 0) return rejected(so_far);  // a refusal whose text arrives slowly
        finish("no answer to the opening handshake in time", std::make_error_code(std::errc::timed_out));
    }
}

/// Memory ran out, so the state of protocol and output is not known any more. The end of the turn reports it, or the
/// timer if this is not the connection's own turn.
template <Role role, Transport T>
void Connection<role, T>::out_of_memory() {
    if (phase_ >= Phase::ending) return;
    if (phase_ == Phase::open) {
        owner_.on_closing(id_);
        handler()->on_closing();
    }
    phase_ = Phase::ending;
    note("out of memory", std::make_error_code(std::errc::not_enough_memory));
    if (!out_.in_turn()) owner_.schedule(*this, transport().now());
}

/// Needs no memory. Without memory the report at the end lacks some texts.
template <Role role, Transport T>
void Connection<role, T>::finish(std::string_view cause, std::error_code error) {
    if (phase_ == Phase::closed) return;
    note(cause, error);
    if (extra_) extra_->undecided.reset();
    if (extra_) extra_->delayed.reset();
    abandon_exchange();
    enter_closing();
    report_closed({CloseCode::abnormal, cause});
    phase_ = Phase::closed;
    owner_.cancel(*this);
    stream_.close();
    discard_queue();
    report_end();
}

template <Role role, Transport T>
void Connection<role, T>::report_end() {
    ConnectionEnd brief;  // if there is no memory for all of it
    (void)within_memory([&] { brief.cause = "out of memory"; });
    brief.error = std::make_error_code(std::errc::not_enough_memory);
    ConnectionEnd& end = within_memory([this] { extra(); }) ? extra_->ending : brief;
    end.opened = opened_;
    add_counts(end.info);
    (void)within_memory([&] {
        add_texts(end.info);
        if (opened_) end.target = target();
    });
    (void)within_memory([&] { owner_.on_ended(end); });
}

/// Only the first cause is kept; none without memory.
template <Role role, Transport T>
void Connection<role, T>::note(std::string_view cause, std::error_code error) noexcept {
    if (cause.empty()) return;
    (void)within_memory([&] {
        ConnectionEnd& ending = extra().ending;
        if (!ending.cause.empty()) return;
        ending.cause = cause;
        ending.error = error;
    });
}

// --- Timers ---

template <Role role, Transport T>
void Connection<role, T>::on_timer() {
    in_one_turn([this] { timer_fired(); });
}

template <Role role, Transport T>
void Connection<role, T>::timer_fired() {
    switch (phase_) {
        case Phase::opening:
            if constexpr (role == Role::server) {
                if (has_http() && !is_undecided()) return exchange_timer();
            }
            if (looks_again(owner_.options().handshake_timeout)) return;
            owner_.counts().handshake_timeouts.add();
            return opening_timed_out();
        case Phase::open:
            return watch();
        case Phase::closing:
            if (is_held(Hold::memory)) return give_up_message();
            if (still_leaving() || looks_again(owner_.options().close_timeout)) return;
            owner_.counts().close_timeouts.add();
            return finish(out_.idle() ? "no answer to the Close frame in time" : "the peer takes no more output",
                          std::make_error_code(std::errc::timed_out));
        case Phase::lingering:
            if (still_leaving() || looks_again(owner_.options().close_timeout)) return;
            // If all output is sent, a peer that keeps the stream open does not break a rule.
            return finish(out_.idle() ? "" : "the peer takes no more output", {});
        case Phase::ending:
        case Phase::closed:
            return;
    }
}

/// Called from time to time while the connection is open.
template <Role role, Transport T>
void Connection<role, T>::watch() {
    make_due_calls();
    if (phase_ != Phase::open) return;
    if (is_held(Hold::rate)) {
        if (transport().now() < extra_->paused_until) {
            return owner_.schedule(*this, std::min(extra_->paused_until, next_call()));
        }
        end_pause(Hold::rate);
    }
    if (is_held(Hold::receivers)) limit_publish_pause();
    if (looked_again_ && extra_ && transport().now() < extra_->second_look) {  // a call was due before
        return owner_.schedule(*this, std::min(extra_->second_look, next_call()));
    }
    if (is_paused_too_long() || message_is_late() || open_message_is_late()) {
        if (phase_ == Phase::open && next_call() < due()) owner_.schedule(*this, next_call());
        return;
    }
    watch_silence();
    if (phase_ != Phase::open) return;
    const auto now = transport().now();
    if (is_held(Hold::receivers)) wake_by(publish_deadline(now));
    if (is_held(Hold::memory)) wake_by(memory_deadline(now));
    if (within_message_) wake_by(message_deadline(now));
    if (out_.delays_messages()) wake_by(part_deadline(now));
    if (extra_ && extra_->delayed) wake_by(next_call());
}

/// Called before the connection is ended because of its peer's silence. True: the timer was set again, because the
/// peer's bytes may wait unread. After a pause of the whole process the peer has all its time once more.
template <Role role, Transport T>
bool Connection<role, T>::looks_again(std::chrono::milliseconds whole_time) {
    if (looked_again_) return false;
    looked_again_ = true;
    const auto now = transport().now();
    const bool late = now - due() >= stood_still;
    const auto when = later(now, late ? whole_time : std::min(whole_time / 10, second_look_time));
    if (extra_) extra_->second_look = when;
    owner_.schedule(*this, when);
    return true;
}

/// Checks from time to time whether the peer is silent. So a message does not have to reschedule the timer.
template <Role role, Transport T>
void Connection<role, T>::watch_silence() {
    const ConnectionOptions& options = owner_.options();
    if (options.ping_interval.count() == 0) return;
    // The peer may have sent bytes that we do not read.
    if (waits_for_others() || is_held(Hold::turn)) {
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

/// Called after bytes were handled, with the number of messages before them. Usually the timer is due before the
/// message's deadline anyway, so a message does not reschedule it.
template <Role role, Transport T>
void Connection<role, T>::watch_message(std::uint64_t messages_before) {
    const bool is_same = within_message_ && messages_in_ == messages_before;
    within_message_ = protocol_.is_within_message();
    if (!within_message_ || is_same) return;
    message_began_ = in_milliseconds(transport().now());
    looked_again_ = false;
    if (phase_ == Phase::open) wake_by(message_deadline(transport().now()));
}

template <Role role, Transport T>
std::chrono::milliseconds Connection<role, T>::message_timeout() const {
    constexpr std::chrono::milliseconds by_default{role == Role::server ? 60'000 : 0};
    return owner_.options().message_timeout.value_or(by_default);
}

template <Role role, Transport T>
Clock::time_point Connection<role, T>::message_deadline(Clock::time_point now) const {
    const auto timeout = message_timeout();
    if (timeout.count() == 0) return Clock::time_point::max();
    // Less than 0 if several pauses that overlap have moved the beginning.
    const std::chrono::milliseconds so_far{static_cast<std::int32_t>(in_milliseconds(now) - message_began_)};
    return later(now, timeout - so_far);
}

/// Closes with 1008 if a message has not ended in time. True if that was decided, or if its last bytes may wait unread.
template <Role role, Transport T>
bool Connection<role, T>::message_is_late() {
    if (!within_message_) return false;
    const auto now = transport().now();  // once: some transports look at the clock each time
    if (waits_for_others())
        message_began_ = in_milliseconds(now);  // it waits for our handler or for other peers, not for its own
    if (now < message_deadline(now)) return false;
    if (looks_again(message_timeout())) return true;
    owner_.counts().message_timeouts.add();
    constexpr auto error = Errc::message_timeout;
    fail_connection(close_code_for(error), message_of(error), make_error_code(error));
    return true;
}

/// Messages wait for the end of the open one. A program that forgets to end it would never send anything again.
template <Role role, Transport T>
void Connection<role, T>::watch_open_message() {
    if (phase_ != Phase::open || out_.delays_since()->has_value()) return;
    const auto now = transport().now();
    *out_.delays_since() = in_milliseconds(now);
    wake_by(part_deadline(now));
}

/// The open message has got a part, or could not get one. The timer stays, and looks again.
template <Role role, Transport T>
void Connection<role, T>::part_came() noexcept {
    auto* const since = out_.delays_since();
    if (since != nullptr && *since) *since = in_milliseconds(transport().now());
}

/// The default holds for clients, too: a message from a server may take any time, but this one is ours.
template <Role role, Transport T>
std::chrono::milliseconds Connection<role, T>::part_timeout() const {
    return owner_.options().message_timeout.value_or(std::chrono::minutes{1});
}

/// Precondition: messages wait for the end of the open one.
template <Role role, Transport T>
Clock::time_point Connection<role, T>::part_deadline(Clock::time_point now) {
    const auto timeout = part_timeout();
    if (timeout.count() == 0) return Clock::time_point::max();
    const std::uint32_t since = out_.delays_since()->value_or(in_milliseconds(now));
    return later(now, timeout - std::chrono::milliseconds{in_milliseconds(now) - since});
}

/// Closes with 1011 if the open message has got no part in time while others wait for its end, although there is space
/// for it, and although we do not pause reading, which its parts may depend on. True if that was decided.
template <Role role, Transport T>
bool Connection<role, T>::open_message_is_late() {
    if (!out_.delays_messages() || !out_.delays_since()->has_value()) return false;
    if (!out_.is_low() || is_held(Hold::memory) || is_held(Hold::receivers)) part_came();
    const auto now = transport().now();
    if (now < part_deadline(now)) return false;
    if (looks_again(part_timeout())) return true;
    owner_.counts().message_timeouts.add();
    note("a message in pieces got no piece in time, and others waited for its end", {});
    begin_close(CloseCode::internal_error, "a message could not be completed");
    return true;
}

template <Role role, Transport T>
ConnectionInfo Connection<role, T>::info() const {
    ConnectionInfo info;
    add_counts(info);
    add_texts(info);
    return info;
}

template <Role role, Transport T>
void Connection<role, T>::add_texts(ConnectionInfo& info) const {
    info.state = phase_ == Phase::opening ? (has_http() ? "http" : "opening")
                 : phase_ == Phase::open  ? "open"
                                          : "closing";
    info.peer = peer();
    info.subprotocol = subprotocol();
    info.user = user();
    if (handshake_result_) info.handler = handshake_result_->handler()->name();
}

template <Role role, Transport T>
void Connection<role, T>::add_counts(ConnectionInfo& info) const noexcept {
    const auto now = transport().now();
    info.id = id_;
    info.age = std::chrono::duration_cast<std::chrono::milliseconds>(now - started_);
    info.idle = std::chrono::duration_cast<std::chrono::milliseconds>(now - keep_alive_.last_heard());
    info.round_trip = keep_alive_.round_trip();
    info.bytes_in = bytes_in_;
    info.bytes_out = bytes_out_;
    info.messages_in = messages_in_;
    info.messages_out = messages_out_;
    if (extra_) info.dropped = extra_->dropped;
    info.queued = out_.queued();
}

}  // namespace wsserver
