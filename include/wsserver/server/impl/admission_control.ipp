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

}  // namespace

AdmissionControl::AdmissionControl(const ServerOptions& options, std::shared_ptr<ServerHub> hub,
                                   HandlerWorkers& workers, const ProgramCallbacks& callbacks)
    : hub_(std::move(hub)),
      workers_(workers),
      callbacks_(callbacks),
      max_connections_(options.max_connections != 0 ? options.max_connections : nine_tenths_of_descriptors()),
      rate_(options.connections_per_second),
      rules_(options) {}

ReactorShared::Admission AdmissionControl::admit() noexcept {
    const auto place = rate_.is_limited() ? rate_.take(Clock::now()) : ConnectionRate::Place::within;
    if (place == ConnectionRate::Place::far_over) return ReactorShared::Admission::close_for_rate;
    if (place == ConnectionRate::Place::over) {
        return count_refused() ? ReactorShared::Admission::answer_503_for_rate
                               : ReactorShared::Admission::close_for_rate;
    }
    if (open_.fetch_add(1, std::memory_order_relaxed) < max_connections_) return ReactorShared::Admission::welcome;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return count_refused() ? ReactorShared::Admission::answer_503 : ReactorShared::Admission::close_at_once;
}

bool AdmissionControl::count_refused() noexcept {
    if (refused_.fetch_add(1, std::memory_order_relaxed) < extra_503_connections) return true;
    refused_.fetch_sub(1, std::memory_order_relaxed);
    return false;
}

/// If very many refused clients do not hang up, the next ones keep their places, so that descriptors do not run out.
bool AdmissionControl::give_up_place() noexcept {
    if (!count_refused()) return false;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return true;
}

std::variant<Acceptance, Refusal> AdmissionControl::choose(OwnedConnection& connection, const Offer& offer) {
    const bool is_local = is_loopback_peer(connection.peer());
    HandlerTable::Choice choice;
    {
        const std::shared_lock lock(mutex_);
        if (auto wrong = check_offer(offer, rules_.origins, is_local)) return Refusal{wrong->error, wrong->detail};
        choice = handlers_.choose(offer, rules_.strict_subprotocol);
    }
    if (!choice.handler) return handlers_.why_none(offer);
    return accept(connection, offer, std::move(choice));
}

std::variant<Acceptance, Refusal> AdmissionControl::accept(OwnedConnection& connection, const Offer& offer,
                                                           HandlerTable::Choice choice) {
    if (choice.handler->runs() == Runs::pooled) {
        ReadyMailboxes* ready = nullptr;
        try {
            ready = &workers_.ready_mailboxes(connection.id().reactor);
        } catch (const std::system_error& no_thread) {
            callbacks_.log(LogLevel::error, std::string{"cannot start workers for pooled handlers: "} +
                                                no_thread.what() + "; raise the limit of threads (ulimit -u)");
            return Errc::too_many_connections;
        }
        choice.handler = make_pooled(std::move(choice.handler), connection, choice.subprotocol, offer.request.target,
                                     hub_, *ready, choice.route);
    }
    callbacks_.accepted({connection, offer.request, choice.subprotocol, choice.handler->name()});
    return Acceptance{std::move(choice.handler), choice.subprotocol, std::move(choice.route)};
}

void AdmissionControl::reconfigure(const ServerOptions& changed) {
    rate_.set(changed.connections_per_second);
    HandshakeRules rules{changed};
    const std::unique_lock lock(mutex_);
    std::swap(rules_, rules);
}

}  // namespace wsserver
