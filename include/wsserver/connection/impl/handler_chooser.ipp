#pragma once

#include "wsserver/connection/handler_chooser.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <variant>

#include "wsserver/transport/endpoint.hpp"

namespace wsserver {

namespace {

/// The same offer, of one subprotocol only, or of none.
Offer narrowed(Offer offer, const std::string& subprotocol) {
    offer.subprotocols.clear();
    if (!subprotocol.empty()) offer.subprotocols.push_back(subprotocol);
    return offer;
}

}  // namespace

HandlerChooser::HandlerChooser(const std::shared_ptr<ItemHub>& hub, std::shared_ptr<ChooserServer> server)
    : server_(std::move(server)), upgrade_hook_(hub, server_), http_routes_(hub, server_) {}

OfferDecision HandlerChooser::choose(OwnedConnection& connection, const Offer& offer) {
    const std::string peer = connection.peer();
    if (const auto over = connection.join_group(GroupKind::address, peer)) return *over;
    {
        const bool is_local = is_loopback_peer(peer);
        const std::shared_lock lock(mutex_);
        if (auto wrong = check_offer(offer, rules_.origins, is_local)) return Refusal{wrong->error, wrong->detail};
    }
    if (!upgrade_hook_.is_set()) return admit(connection, offer, {});
    auto answer = upgrade_hook_.ask(connection, offer);
    if (auto* refusal = std::get_if<Refusal>(&answer)) return std::move(*refusal);
    if (auto* later = std::get_if<DecidesLater>(&answer)) return std::move(*later);
    return choose_as(connection, offer, std::get<UpgradeDecision>(std::move(answer)), nullptr);
}

OfferDecision HandlerChooser::choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision&& decision,
                                        PendingAcceptance* pending) {
    if (!decision) return fail(offer, decision.error());
    return pending != nullptr ? admit_pending(connection, offer, *std::move(decision), std::move(*pending))
                              : admit(connection, offer, *std::move(decision));
}

/// Does as the program decided. By default the handlers decide.
OfferDecision HandlerChooser::admit(OwnedConnection& connection, const Offer& offer, Admission admission) {
    if (admission.refusal) return refuse(offer, *std::move(admission.refusal));
    HandlerTable::Choice choice;
    if (const auto& subprotocol = admission.subprotocol) {
        const auto offered = std::ranges::find(offer.subprotocols, *subprotocol);
        const bool is_offered = offered != offer.subprotocols.end();
        if (!is_offered && !subprotocol->empty()) {
            return fail(offer, "it chose the subprotocol " + *subprotocol + ", which the client does not ask for");
        }
        choice = choose_handler(narrowed(offer, *subprotocol));
        // Not the default handler under another name: remove_handler() would not find the connection.
        const bool is_served = choice.handler && choice.subprotocol == *subprotocol;
        if (!is_served && !admission.handler) {
            return fail(offer, "it chose the subprotocol '" + *subprotocol + "', which has no handler");
        }
        choice.subprotocol = is_offered ? std::string_view{*offered} : std::string_view{};
    } else {
        choice = choose_handler(offer);
    }
    const bool is_served = !admission.handler;
    if (admission.handler) choice.handler = std::move(admission.handler);
    if (!choice.handler) return handlers_.why_none(offer);
    Acceptance acceptance{std::move(choice.handler), choice.subprotocol, std::move(choice.route)};
    acceptance.fields = std::move(admission.fields);
    acceptance.user = std::move(admission.user);
    acceptance.data = std::move(admission.data);
    return ask_handler(connection, offer, {std::move(acceptance), is_served});
}

/// Accepts the client, unless the handler wants to decide.
OfferDecision HandlerChooser::ask_handler(OwnedConnection& connection, const Offer& offer, PendingAcceptance pending) {
    Acceptance& acceptance = pending.acceptance;
    if (!acceptance.handler->decides_upgrades()) return accept(connection, offer, std::move(acceptance));
    auto answer = upgrade_hook_.ask_handler(connection, offer, acceptance.handler);
    if (auto* refusal = std::get_if<Refusal>(&answer)) return std::move(*refusal);
    auto& later = std::get<DecidesLater>(answer);
    later.pending = std::make_unique<PendingAcceptance>(std::move(pending));
    return std::move(later);
}

/// Does as the handler decided. If it was replaced meanwhile, asks the new one.
OfferDecision HandlerChooser::admit_pending(OwnedConnection& connection, const Offer& offer, Admission admission,
                                            PendingAcceptance&& pending) {
    if (admission.refusal) return refuse(offer, *std::move(admission.refusal));
    if (admission.subprotocol || admission.handler) {
        return fail(offer, "a handler chooses no subprotocol and no other handler");
    }
    Acceptance& acceptance = pending.acceptance;
    if (pending.is_served) {
        auto choice = choose_handler(narrowed(offer, std::string{acceptance.subprotocol}));
        const bool has_one = choice.handler && choice.subprotocol == acceptance.subprotocol;
        if (!has_one) return handlers_.why_none(offer);
        if (choice.handler != acceptance.handler) {
            acceptance.handler = std::move(choice.handler);
            acceptance.route = std::move(choice.route);
            return ask_handler(connection, offer, std::move(pending));
        }
    }
    for (HttpField& field : admission.fields) acceptance.fields.push_back(std::move(field));
    if (!admission.user.empty()) acceptance.user = std::move(admission.user);
    if (admission.data) acceptance.data = std::move(admission.data);
    return accept(connection, offer, std::move(acceptance));
}

HandlerTable::Choice HandlerChooser::choose_handler(const Offer& offer) const {
    const std::shared_lock lock(mutex_);
    return handlers_.choose(offer, rules_.strict_subprotocol);
}

std::vector<HttpField> HandlerChooser::kept_fields_of(const HttpRequest& request) const {
    std::vector<HttpField> kept;
    const std::shared_lock lock(mutex_);
    for (const std::string& name : rules_.kept_fields) {
        if (const HttpField* field = find_field(request.fields, name)) kept.push_back(*field);
    }
    return kept;
}

OfferDecision HandlerChooser::accept(OwnedConnection& connection, const Offer& offer, Acceptance acceptance) {
    if (const std::string& user = acceptance.user; !user.empty()) {
        if (!is_room_name(user)) return fail(offer, "it gave a user id that is not 1 to 255 bytes of UTF-8");
        if (const auto over = connection.join_group(GroupKind::user, user)) return *over;
    }
    acceptance.kept = kept_fields_of(offer.request);
    return server_->accept(connection, offer, std::move(acceptance));
}

OfferDecision HandlerChooser::refuse(const Offer& offer, HttpResponse response) const {
    const unsigned status = response.status;
    if (status < 300 || status > 999) return fail(offer, "it refused with the status " + std::to_string(status));
    return Refusal{std::move(response)};
}

OfferDecision HandlerChooser::fail(const Offer& offer, std::string why) const {
    server_->log_failure("on_upgrade failed for " + offer.request.target + ": " + why);
    Refusal refusal{
        HttpResponse{.status = 500, .fields = {}, .body = "the server failed to decide about the request\n"}};
    refusal.detail = std::move(why);
    return refusal;
}

void HandlerChooser::set_rules(ChooserRules rules) {
    const std::unique_lock lock(mutex_);
    std::swap(rules_, rules);
}

void HandlerChooser::set_allowed_origins(std::vector<std::string> origins) {
    const std::unique_lock lock(mutex_);
    std::swap(rules_.origins.allowed_origins, origins);
}

void HandlerChooser::set_hosts(std::vector<std::string> hosts) {
    const std::unique_lock lock(mutex_);
    std::swap(rules_.origins.hosts, hosts);
}

void HandlerChooser::set_kept_fields(std::vector<std::string> names) {
    const std::unique_lock lock(mutex_);
    std::swap(rules_.kept_fields, names);
}

}  // namespace wsserver
