// The bodies of Connection, in the order of its phases; its pauses are in connection_pauses.ipp, and its end is in
// connection_end.ipp. Included by connection.hpp only.
#pragma once

namespace wsserver {

// --- Turns ---

template <Role role, Transport T>
template <class F>
void Connection<role, T>::in_one_turn(F&& f) {
    if (out_.in_turn()) return f();
    out_.begin_turn(transport());
    try {
        f();
        send_output();
    } catch (const std::bad_alloc&) {
        out_of_memory();
    } catch (...) {  // of a client's listener
        out_.end_turn(transport());
        throw;
    }
    out_.end_turn(transport());
    if (phase_ == Phase::ending) finish("out of memory", std::make_error_code(std::errc::not_enough_memory));
}

/// Sends or closes, perhaps within a reaction to this connection or to another one. If memory runs out, the end waits
/// until no reaction is running.
template <Role role, Transport T>
template <class F>
SendStatus Connection<role, T>::contained(F&& send) {
    const auto written = out_.mark(transport());
    try {
        return send();
    } catch (const std::bad_alloc&) {
        transport().output().truncate(written);
        out_of_memory();
        return SendStatus::closed;
    }
}

// --- Opening handshake (RFC 6455 §4) ---

template <Role role, Transport T>
void Connection<role, T>::start(std::optional<Errc> turned_away) requires(role == Role::server) {
    in_one_turn([&] {
        stream_.start(*this);  // first: from now on, on_released() follows every end
        extra().opening.emplace(owner_.options().handshake, owner_.server_name());
        extra().turned_away = turned_away;
        begin();
    });
}

template <Role role, Transport T>
void Connection<role, T>::begin() {
    started_ = transport().now();
    keep_alive_.heard(started_);
    const auto time = owner_.options().handshake_timeout;
    set_timer(extra().turned_away ? std::min(time, turned_away_time) : time);
}

template <Role role, Transport T>
void Connection<role, T>::receive_opening(MutableBytes& bytes) {
    OpeningHandshake& opening = *extra_->opening;
    auto step = opening.receive(bytes);
    bytes = bytes.subspan(opening.consumed());
    if constexpr (role == Role::server) {
        std::visit(overloaded{
                       [](const ServerHandshake::NeedMore&) {},
                       [&](ServerHandshake::Upgrade& upgrade) { judge_offer(std::move(upgrade.offer)); },
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
void Connection<role, T>::judge_offer(Offer&& offer) {
    const std::string& target = offer.request.target;
    if (extra_->turned_away) return refuse(*extra_->turned_away, {}, target);
    if (owner_.is_over_memory_limit()) return refuse_for_memory(target);
    auto decision = owner_.choose(*this, offer);
    apply(std::move(offer), std::move(decision));
}

template <Role role, Transport T>
void Connection<role, T>::refuse_for_memory(std::string_view target) {
    owner_.counts().refused_for_memory.add();
    refuse(Errc::memory_limit_reached, {}, target);
}

template <Role role, Transport T>
void Connection<role, T>::apply(Offer&& offer, OfferDecision decision) {
    std::visit(overloaded{
                   [&](const Acceptance& acceptance) { accept_offer(offer, acceptance); },
                   [&](Refusal& refusal) { refuse_offer(offer, std::move(refusal)); },
                   [&](DecidesLater& later) {
                       extra().undecided = std::make_unique<Undecided>(std::move(offer), std::move(later.ticket));
                   },
               },
               decision);
}

template <Role role, Transport T>
void Connection<role, T>::accept_offer(const Offer& offer, const Acceptance& acceptance) {
    handshake_result_ = owner_.handshake_results().of(acceptance.handler, acceptance.subprotocol, offer.request.target,
                                                      acceptance.route);
    write(bytes_of(accept_response(offer, acceptance.subprotocol, owner_.server_name(), acceptance.fields)));
    opened();
}

template <Role role, Transport T>
void Connection<role, T>::refuse_offer(const Offer& offer, Refusal refusal) {
    if (!refusal.response) return refuse(refusal.error, std::move(refusal.detail), offer.request.target);
    const unsigned status = refusal.response->status;
    std::string detail = std::to_string(status).append(" ").append(reason_phrase(status));
    refuse({refusal.error, http_response(*refusal.response, offer.request, owner_.server_name()), std::move(detail),
            offer.request.target},
           status);
}

template <Role role, Transport T>
void Connection<role, T>::decide(UpgradeDecision program) requires(role == Role::server) {
    if (!is_undecided()) return;  // its time is over
    in_one_turn([&] {
        const auto undecided = std::move(extra_->undecided);
        if (owner_.is_over_memory_limit()) {
            refuse_for_memory(undecided->offer.request.target);
        } else {
            apply(Offer{undecided->offer}, owner_.choose_as(*this, undecided->offer, std::move(program)));
        }
        if (!is_listening()) return drop_early();  // on_open() may have closed: then the peer's Close frame is awaited
        if (has_backlog()) hold(Hold::decision, false);
    });
}

/// A client may send frames right after its request, although it does not know yet whether it is accepted.
template <Role role, Transport T>
void Connection<role, T>::keep_early(Bytes bytes) {
    if (bytes.empty()) return;
    if (!has_backlog()) extra().backlog = std::make_unique<Backlog>(owner_.protocol_options().memory);
    extra_->backlog->append(bytes);
    hold(Hold::decision, true);
    hold(Hold::turn, true);
}

/// The client was refused.
template <Role role, Transport T>
void Connection<role, T>::drop_early() {
    if (!has_backlog()) return;
    extra_->backlog.reset();
    hold(Hold::decision, false);
    hold(Hold::turn, false);
}

template <Role role, Transport T>
void Connection<role, T>::answer_request(const HttpRequest& request) {
    const auto response = owner_.answer(request);  // also on a full server: a health check must not fail

    if (!response) return refuse(Errc::not_an_upgrade, {}, request.target, request.method == "HEAD");
    owner_.counts().http_answered.add();
    write(bytes_of(http_response(*response, request, owner_.server_name())));
    note("answered a plain HTTP request", {});
    note_target(request.target);
    extra().opening.reset();
    linger_without_place();
}

template <Role role, Transport T>
void Connection<role, T>::refuse(const ServerHandshake::Refused& refused, unsigned status) {
    const bool full = refused.error == Errc::too_many_connections;
    (full ? owner_.counts().turned_away : owner_.counts().refused).add();
    note_target(refused.target);
    write(bytes_of(refused.response));
    std::string cause{message_of(refused.error)};
    if (!refused.detail.empty()) cause.append(": ").append(refused.detail);
    note(cause, make_error_code(refused.error));
    extra().ending.refused_with = status;
    extra_->opening.reset();
    linger_without_place();
}

/// A client that was refused or answered must not keep others out until it hangs up.
template <Role role, Transport T>
void Connection<role, T>::linger_without_place() {
    if (has_place_) has_place_ = !owner_.give_up_place();
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
    auto early = std::exchange(extra_, nullptr);  // the opening handshake, and perhaps bytes that came too soon
    if (early && early->backlog) extra().backlog = std::move(early->backlog);
    early.reset();
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
    in_one_turn([&] { receive(bytes); });
}

template <Role role, Transport T>
void Connection<role, T>::receive(MutableBytes bytes) {
    if (phase_ == Phase::ending) return;
    keep_alive_.heard(transport().now());
    bytes_in_ += bytes.size();
    owner_.counts().bytes_in.add(bytes.size());
    if (is_undecided()) return keep_early(bytes);
    if (has_backlog()) return extra_->backlog->append(bytes);
    if (phase_ == Phase::opening) receive_opening(bytes);
    if (is_undecided()) return keep_early(bytes);
    // Frames may follow the opening handshake in the same bytes.
    handle_some(bytes);
    if (bytes.empty()) return;
    extra().backlog = std::make_unique<Backlog>(owner_.protocol_options().memory);
    extra_->backlog->append(bytes);
    hold(Hold::turn, true);  // calls go_on_later(), unless reading is held for another reason, too
}

template <Role role, Transport T>
ReceiveBuffer Connection<role, T>::prepare_buffer() noexcept {
    try {
        ReceiveBuffer buffer = protocol_.prepare_buffer();
        if (owner_.receives_little()) buffer.size = std::min(buffer.size, little_at_once);
        return buffer;
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
    in_one_turn([this] { continue_backlog(); });
}

template <Role role, Transport T>
void Connection<role, T>::continue_backlog() {
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
    const std::uint64_t messages_before = messages_in_;
    const std::size_t bytes_before = bytes.size();
    const bool paced = is_paced();
    const int most = paced ? events_allowed() : events_per_turn;
    const std::size_t allowed = paced ? bytes_allowed(bytes.size()) : bytes.size();
    MutableBytes now = bytes.first(allowed);
    int events = 0;
    while (is_listening() && events < most && handle_next(now)) ++events;
    bytes = bytes.subspan(allowed - now.size());
    watch_message(messages_before);
    if (!is_listening()) bytes = {};  // bytes received while lingering are ignored
    if (paced) keep_pace(events, bytes_before - bytes.size());
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
    report({.kind = ConnectionEvent::Kind::ping_received, .id = id_, .count = ping.payload.size()});
    guarded([&] { handler()->on_ping(*this, ping); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Pong& pong) {
    if (pong.payload.size() == sizeof(std::uint64_t)) {
        keep_alive_.ponged(load_big_endian<std::uint64_t>(pong.payload), transport().now());
    }
    report({.kind = ConnectionEvent::Kind::pong_received, .id = id_, .count = pong.payload.size()});
    guarded([&] { handler()->on_pong(*this, pong); });
}

template <Role role, Transport T>
void Connection<role, T>::react(const Close& close) {
    report({ConnectionEvent::Kind::close_received, id_, close.code, close.reason});
    report_close_sent({});  // the protocol has repeated the code
    enter_closing();
    report_closed(close);
    linger();
}

template <Role role, Transport T>
void Connection<role, T>::react(const Failed& failed) {
    report_close_sent(message_of(failed.error));
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
    const bool noted = within_memory([&] { note(std::string{"the handler threw: "}.append(what), {}); });
    if (!noted) note("the handler threw", {});
    begin_close(CloseCode::internal_error, "the handler failed");
}

// --- Output ---

template <Role role, Transport T>
SendStatus Connection<role, T>::send_as(SendKind kind, const AnyMessage& message) {
    assert(is_message(kind));
    return contained([&] {
        broadcasts_first();
        if (phase_ != Phase::open) return SendStatus::closed;
        const auto written = out_.mark(transport());
        const auto sent = message.visit([this](const auto& m) { return protocol_.send(m, transport().output()); });
        if (!sent) return SendStatus::closed;
        return queued(out_.settle(transport(), owner_, written, kind));
    });
}

template <Role role, Transport T>
SendStatus Connection<role, T>::send_shared(const std::shared_ptr<const void>& owner, Bytes frames, SendKind kind) {
    if (phase_ != Phase::open) return SendStatus::closed;
    return contained([&] { return queued(out_.push_shared(owner_, owner, frames, kind)); });
}

template <Role role, Transport T>
bool Connection<role, T>::send_directly(const std::shared_ptr<const void>& owner, Bytes frames, std::size_t messages) {
    if (phase_ != Phase::open || !out_.is_free_for(frames)) return false;
    if (!within_memory([&] { out_.send_directly(stream_, owner_, owner, frames); })) {
        out_of_memory();
        return false;
    }
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
    if (within_memory([this] { extra(); })) extra_->dropped += messages;
    owner_.counts().messages_dropped.add(messages);
    report({.kind = ConnectionEvent::Kind::messages_dropped, .id = id_, .count = messages});
}

template <Role role, Transport T>
SendStatus Connection<role, T>::ping(Bytes payload) {
    if (phase_ != Phase::open) return SendStatus::closed;
    std::array<std::uint8_t, sizeof(std::uint64_t)> number{};
    if (payload.empty()) {
        store_big_endian(MutableBytes{number}, keep_alive_.pinged(transport().now()));
        payload = number;
    }
    return contained([&] {
        const auto written = out_.mark(transport());
        if (!protocol_.ping(payload, transport().output())) return SendStatus::refused;
        if (out_.settle(transport(), owner_, written, SendKind::control).must_close) slow_consumer();
        send_soon();
        return SendStatus::queued;
    });
}

/// The end of in_one_turn() sends the output. Outside of it, the end of the reactor's turn sends it.
template <Role role, Transport T>
void Connection<role, T>::send_soon() {
    if (out_.in_turn() || dirty_) return;
    owner_.flush_later(id_);
    dirty_ = true;
}

template <Role role, Transport T>
void Connection<role, T>::send_output() {
    dirty_ = false;
    if (phase_ >= Phase::ending) return;
    const std::uint64_t bytes = out_.send(stream_, transport(), owner_);
    bytes_out_ += bytes;
    owner_.counts().bytes_out.add(bytes);
    if (within_message_ || !out_.idle() || has_backlog()) note_memory();
    if (phase_ >= Phase::closing) watch_leaving();
    if (phase_ == Phase::lingering) return linger_when_sent();
    hold(Hold::send_queue, out_.holds_reading());
}

template <Role role, Transport T>
void Connection<role, T>::on_sent() {
    in_one_turn([this] {
        keep_alive_.heard(transport().now());  // a peer that takes our bytes is alive, even if it sends none meanwhile
        out_.on_sent();
    });
}

}  // namespace wsserver
