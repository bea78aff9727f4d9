// The bodies of a Connection's opening handshake (RFC 6455 §4), up to on_open() or the refusal. Included by
// connection.hpp only.
#pragma once

namespace wsserver {

template <Role role, Transport T>
void Connection<role, T>::start(std::optional<Errc> turned_away) requires(role == Role::server) {
    in_one_turn([&] {
        stream_.start(*this);  // first: from now on, on_released() follows every end
        extra().opening.emplace(owner_.options().handshake, owner_.server_name());
        if (owner_.http_routes() != nullptr) extra_->opening->serve_http();
        extra().turned_away = turned_away;
        begin();
        if (!expects_proxy_header_) return;
        extra_->proxy_header = std::make_unique<ProxyProtocolReader>();
        if (!owner_.trusts_proxy(peer_.text())) refuse_proxy("it is not in trusted_proxies", Errc::untrusted_proxy);
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
void Connection<role, T>::receive_proxy_header(MutableBytes& bytes) {
    ProxyProtocolReader& header = *extra_->proxy_header;
    const auto step = header.receive(bytes);
    bytes = bytes.subspan(header.consumed());
    std::visit(overloaded{
                   [](const ProxyProtocolReader::NeedMore&) {},
                   [&](const ProxyProtocolReader::Done& done) {
                       if (done.address) set_peer(*done.address);
                       extra_->proxy_header.reset();
                   },
                   [&](const ProxyProtocolReader::Malformed& malformed) {
                       refuse_proxy(malformed.text, Errc::malformed_proxy_header);
                   },
               },
               step);
}

/// What a proxy understands is not known, so nothing is sent.
template <Role role, Transport T>
void Connection<role, T>::refuse_proxy(std::string_view cause, Errc error) {
    owner_.counts().refused.add();
    finish(std::string{message_of(error)}.append(": ").append(cause), make_error_code(error));
}

template <Role role, Transport T>
void Connection<role, T>::receive_opening(MutableBytes& bytes) {
    if constexpr (role == Role::server) {
        if (extra_->proxy_header) receive_proxy_header(bytes);
        if (bytes.empty() || phase_ != Phase::opening) return;
        if (owner_.http_routes() != nullptr) return receive_requests(bytes);
    }
    (void)receive_header(bytes);
}

/// Returns false if the header is not complete.
template <Role role, Transport T>
bool Connection<role, T>::receive_header(MutableBytes& bytes) {
    OpeningHandshake& opening = *extra_->opening;
    auto step = [&] {
        if constexpr (role == Role::server) {
            return opening.receive(bytes, date());
        } else {
            return opening.receive(bytes);
        }
    }();
    bytes = bytes.subspan(opening.consumed());
    if constexpr (role == Role::server) {
        std::visit(overloaded{
                       [&](const ServerHandshake::NeedMore&) { header_begun(); },
                       [&](ServerHandshake::Upgrade& upgrade) { judge_offer(std::move(upgrade.offer)); },
                       [&](ServerHandshake::Plain& plain) {
                           if (owner_.http_routes() != nullptr) return begin_exchange(std::move(plain));
                           answer_request(plain.request);
                       },
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
    return !std::holds_alternative<typename OpeningHandshake::NeedMore>(step);
}

template <Role role, Transport T>
void Connection<role, T>::judge_offer(Offer&& offer) {
    find_client(offer.request);
    const std::string& target = offer.request.target;
    if (extra_->turned_away) return refuse(*extra_->turned_away, {}, target);
    if (owner_.is_over_memory_limit()) return refuse_for_memory(target);
    auto decision = owner_.choose(*this, offer);
    apply(std::move(offer), std::move(decision));
}

/// The client may be behind proxies.
template <Role role, Transport T>
void Connection<role, T>::find_client(const HttpRequest& request) {
    const bool had_other = has_http() && extra_->http->proxy;  // an earlier request of another client, perhaps
    if (had_other) set_peer(*extra_->http->proxy);
    const auto client = owner_.client_behind(peer_.text(), request);
    if (has_http() && client && !had_other) extra_->http->proxy = peer_.text();
    if (client) set_peer(*client);
    if (has_http() && (client || had_other)) extra_->http->exchange.set_peer(peer());
}

template <Role role, Transport T>
void Connection<role, T>::refuse_for_memory(std::string_view target, bool head_request) {
    owner_.counts().refused_for_memory.add();
    refuse(Errc::memory_limit_reached, {}, target, head_request);
}

template <Role role, Transport T>
void Connection<role, T>::apply(Offer&& offer, OfferDecision decision) {
    std::visit(overloaded{
                   [&](Acceptance& acceptance) { accept_offer(offer, acceptance); },
                   [&](Refusal& refusal) { refuse_offer(offer, std::move(refusal)); },
                   [&](DecidesLater& later) {
                       if (has_http()) set_timer(owner_.options().handshake_timeout);
                       extra().undecided = std::make_unique<Undecided>(std::move(offer), std::move(later));
                   },
               },
               decision);
}

template <Role role, Transport T>
void Connection<role, T>::accept_offer(const Offer& offer, Acceptance& acceptance) {
    handshake_result_ = owner_.handshake_results().of(acceptance.handler, acceptance.subprotocol, offer.request.target,
                                                      acceptance.route, acceptance.kept);
    if (acceptance.data) own_data(std::move(acceptance.data));
    if (!acceptance.user.empty()) (void)owner_.memberships().users.join(id_.slot, acceptance.user, 1);
    write(bytes_of(accept_response(offer, acceptance.subprotocol, owner_.server_name(), acceptance.fields)));
    opened();
}

template <Role role, Transport T>
void Connection<role, T>::refuse_offer(const Offer& offer, Refusal refusal) {
    if (!refusal.response) return refuse(refusal.error, std::move(refusal.detail), offer.request.target);
    const unsigned status = refusal.response->status;
    std::string detail = std::to_string(status).append(" ").append(reason_phrase(status));
    if (!refusal.detail.empty()) detail.append(": ").append(refusal.detail);
    refuse({refusal.error, http_response(*refusal.response, offer.request, owner_.server_name(), date()),
            std::move(detail), offer.request.target},
           status);
}

template <Role role, Transport T>
void Connection<role, T>::decide(UpgradeDecision program) requires(role == Role::server) {
    if (!is_undecided()) return;  // its time is over
    in_one_turn([&] {
        if (out_.idle()) return carry_out(std::move(program));
        extra_->undecided->decision.emplace(std::move(program));  // exchange_sent() goes on
    });
}

/// Does what the program has decided. Precondition: all output before has left, since a send queue that has bytes of
/// HTTP answers takes no frames.
template <Role role, Transport T>
void Connection<role, T>::carry_out(UpgradeDecision program) requires(role == Role::server) {
    const auto undecided = std::move(extra_->undecided);
    if (owner_.is_over_memory_limit()) {
        refuse_for_memory(undecided->offer.request.target);
    } else {
        auto decision = owner_.choose_as(*this, undecided->offer, std::move(program), undecided->later.pending.get());
        apply(std::move(undecided->offer), std::move(decision));
    }
    if (is_undecided()) return;                // the handler is asked, too
    if (!is_listening()) return drop_early();  // on_open() may have closed: then the peer's Close frame is awaited
    if (has_backlog()) hold(Hold::decision, false);
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
    find_client(request);
    const auto response = owner_.answer(request);  // also on a full server: a health check must not fail
    if (!response) return refuse(Errc::not_an_upgrade, {}, request.target, request.method == "HEAD");
    owner_.counts().http_answered.add();
    write(bytes_of(http_response(*response, request, owner_.server_name(), date())));
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

/// A part of a header was received on a stream that was kept.
template <Role role, Transport T>
void Connection<role, T>::header_begun() requires(role == Role::server) {
    if (!has_http() || extra_->http->exchange.is_busy() || extra_->http->header_began) return;
    extra_->http->header_began = true;
    extra_->http->deadline = {};
    await(owner_.options().handshake_timeout);
}

/// A client that was refused or answered must not keep others out until it hangs up.
template <Role role, Transport T>
void Connection<role, T>::linger_without_place() {
    if (has_place_) has_place_ = !owner_.give_up_place(id_);
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
    if (rejected.error == Errc::unexpected_status) extra().ending.refused_with = rejected.response.status;
    finish(rejected.text, make_error_code(rejected.error));
}

template <Role role, Transport T>
void Connection<role, T>::opened() {
    auto early = std::exchange(extra_, nullptr);  // the opening handshake, and perhaps bytes that came too soon
    if (early && early->backlog) extra().backlog = std::move(early->backlog);
    early.reset();
    hold(Hold::rate, false);  // until when it was is forgotten, too
    phase_ = Phase::open;
    opened_ = true;
    if (handler()->takes_parts()) protocol_.deliver_parts();
    owner_.counts().opened.add();
    owner_.on_opened(id_);
    watch_silence();
    guarded([&] { handler()->on_open(*this); });
}

/// Sends bytes that are not frames, after all that was sent before.
template <Role role, Transport T>
void Connection<role, T>::write(Bytes bytes) {
    const auto written = out_.mark(transport());
    transport().output().append(bytes);
    out_.settle_raw(transport(), owner_, written);
}

}  // namespace wsserver
