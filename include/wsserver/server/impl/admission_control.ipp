#pragma once

#include "wsserver/server/detail/admission_control.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "wsserver/server/detail/pooled_handler.hpp"
#include "wsserver/transport/endpoint.hpp"

namespace wsserver {

namespace {

/// The rest is for listeners, files, and the connections that get a 503.
std::size_t nine_tenths_of_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 900;
    // Divided first, because RLIM_INFINITY is the largest number. A result of 0 would refuse every client.
    return std::max<std::size_t>(1, static_cast<std::size_t>(limit.rlim_cur) / 10 * 9);
}

/// The number of connections besides max_connections that are refused or answered at a time. Further streams over the
/// limit are closed without a response.
constexpr std::size_t extra_503_connections = 256;

/// The same offer, of one subprotocol only, or of none.
Offer narrowed(Offer offer, const std::string& subprotocol) {
    offer.subprotocols.clear();
    if (!subprotocol.empty()) offer.subprotocols.push_back(subprotocol);
    return offer;
}

}  // namespace

AdmissionControl::AdmissionControl(const ServerOptions& options, std::shared_ptr<ServerHub> hub,
                                   HandlerWorkers& workers, const ProgramCallbacks& callbacks)
    : hub_(std::move(hub)),
      workers_(workers),
      callbacks_(callbacks),
      upgrade_hook_(hub_, workers),
      max_connections_(options.max_connections != 0 ? options.max_connections : nine_tenths_of_descriptors()),
      rate_(options.connections_per_second),
      rules_(options) {}

ReactorShared::StreamAdmission AdmissionControl::admit() noexcept {
    const auto place = rate_.is_limited() ? rate_.take(Clock::now()) : ConnectionRate::Place::within;
    if (place == ConnectionRate::Place::far_over) return ReactorShared::StreamAdmission::close_for_rate;
    if (place == ConnectionRate::Place::over) {
        return count_refused() ? ReactorShared::StreamAdmission::answer_503_for_rate
                               : ReactorShared::StreamAdmission::close_for_rate;
    }
    if (open_.fetch_add(1, std::memory_order_relaxed) < max_connections_)
        return ReactorShared::StreamAdmission::welcome;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return count_refused() ? ReactorShared::StreamAdmission::answer_503 : ReactorShared::StreamAdmission::close_at_once;
}

bool AdmissionControl::count_refused() noexcept {
    if (refused_.fetch_add(1, std::memory_order_relaxed) < extra_503_connections) return true;
    refused_.fetch_sub(1, std::memory_order_relaxed);
    return false;
}

/// If very many refused clients do not hang up, the next ones keep their places: those without one have a bound, too.
bool AdmissionControl::give_up_place() noexcept {
    if (!count_refused()) return false;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return true;
}

OfferDecision AdmissionControl::choose(OwnedConnection& connection, const Offer& offer) {
    {
        const bool is_local = is_loopback_peer(connection.peer());
        const std::shared_lock lock(mutex_);
        if (auto wrong = check_offer(offer, rules_.origins, is_local)) return Refusal{wrong->error, wrong->detail};
    }
    return upgrade_hook_.is_set() ? ask(connection, offer) : admit(connection, offer, {});
}

OfferDecision AdmissionControl::ask(OwnedConnection& connection, const Offer& offer) {
    try {
        auto decision = upgrade_hook_.ask(connection, offer);
        if (auto* refusal = std::get_if<Refusal>(&decision)) return std::move(*refusal);
        if (auto* later = std::get_if<DecidesLater>(&decision)) return std::move(*later);
        return choose_as(connection, offer, std::get<UpgradeDecision>(std::move(decision)));
    } catch (const std::system_error& why) {
        return no_worker(why);
    }
}

OfferDecision AdmissionControl::choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision decision) {
    if (!decision) return fail(offer, decision.error());
    return admit(connection, offer, *std::move(decision));
}

/// Does as the program decided. By default the handlers decide.
OfferDecision AdmissionControl::admit(OwnedConnection& connection, const Offer& offer, Admission admission) {
    if (admission.refusal) {
        const unsigned status = admission.refusal->status;
        if (status < 300 || status > 999) return fail(offer, "it refused with the status " + std::to_string(status));
        return Refusal{*std::move(admission.refusal)};
    }
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
    if (admission.handler) choice.handler = std::move(admission.handler);
    if (!choice.handler) return handlers_.why_none(offer);
    return accept(connection, offer, std::move(choice), std::move(admission.fields));
}

HandlerTable::Choice AdmissionControl::choose_handler(const Offer& offer) const {
    const std::shared_lock lock(mutex_);
    return handlers_.choose(offer, rules_.strict_subprotocol);
}

OfferDecision AdmissionControl::fail(const Offer& offer, std::string_view why) const {
    callbacks_.log(LogLevel::error, "on_upgrade failed for " + offer.request.target + ": " + std::string{why});
    return Refusal{
        HttpResponse{.status = 500, .fields = {}, .body = "the server failed to decide about the request\n"}};
}

OfferDecision AdmissionControl::no_worker(const std::system_error& why) const {
    callbacks_.log(LogLevel::error,
                   std::string{"cannot start workers: "} + why.what() + "; raise the limit of threads (ulimit -u)");
    return Errc::too_many_connections;
}

OfferDecision AdmissionControl::accept(OwnedConnection& connection, const Offer& offer, HandlerTable::Choice choice,
                                       std::vector<HttpField> fields) {
    if (choice.handler->runs() == Runs::pooled) {
        ReadyMailboxes* ready = nullptr;
        try {
            ready = &workers_.ready_mailboxes(connection.id().reactor);
        } catch (const std::system_error& why) {
            return no_worker(why);
        }
        choice.handler = make_pooled(std::move(choice.handler), connection, choice.subprotocol, offer.request.target,
                                     hub_, *ready, choice.route);
    }
    callbacks_.accepted({connection, offer.request, choice.subprotocol, choice.handler->name()});
    return Acceptance{std::move(choice.handler), choice.subprotocol, std::move(choice.route), std::move(fields)};
}

void AdmissionControl::reconfigure(const ServerOptions& changed) {
    rate_.set(changed.connections_per_second);
    HandshakeRules rules{changed};
    const std::unique_lock lock(mutex_);
    std::swap(rules_, rules);
}

}  // namespace wsserver
