#pragma once

#include "wsserver/server/detail/admission_control.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "wsserver/server/detail/pooled_handler.hpp"

namespace wsserver {

namespace {

/// The descriptors that the process may have. RLIM_INFINITY is the largest number, so divide it first.
std::size_t descriptor_limit() {
    rlimit limit{};
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur) : 1000;
}

/// The default of max_connections. What it leaves is for most_refused(), listeners and files. A result of 0 would
/// refuse every client.
std::size_t nine_tenths_of_descriptors() { return std::max<std::size_t>(1, descriptor_limit() / 10 * 9); }

/// The number of connections besides max_connections that are refused or answered at a time: half of what the default
/// leaves, at most. Further streams over the limit are closed without a response.
std::size_t most_refused() { return std::clamp<std::size_t>(descriptor_limit() / 20, 1, 256); }

/// The workers and the listeners of a Server.
class ChooserOnReactors final : public ChooserServer {
   public:
    ChooserOnReactors(std::shared_ptr<ServerHub> hub, HandlerWorkers& workers, const ProgramCallbacks& callbacks)
        : hub_(std::move(hub)), gate_(hub_->gate()), workers_(workers), callbacks_(callbacks) {}

    bool call(const std::function<void()>& f) override {
        const CallbackGate::Call entered{*gate_};
        if (entered) f();
        return static_cast<bool>(entered);
    }
    bool run_on_worker(TaskName name, UniqueFunction<void()> task) override {
        try {
            workers_.run(name, std::move(task));
            return true;
        } catch (const std::system_error& why) {
            workers_.log_no_worker(why);
            return false;
        }
    }
    OfferDecision accept(OwnedConnection& connection, const Offer& offer, Acceptance acceptance) override;
    void log_failure(std::string_view line) override { callbacks_.log(LogLevel::error, line); }

   private:
    const std::shared_ptr<ServerHub> hub_;
    const std::shared_ptr<CallbackGate> gate_;
    // Not for threads that may be stuck in the program: they only use call().
    HandlerWorkers& workers_;
    const ProgramCallbacks& callbacks_;
};

OfferDecision ChooserOnReactors::accept(OwnedConnection& connection, const Offer& offer, Acceptance acceptance) {
    if (acceptance.handler->runs() == Runs::pooled) {
        try {
            ReadyMailboxes& ready = workers_.ready_mailboxes(connection.id().reactor);
            acceptance.handler = make_pooled(acceptance, connection, offer.request.target, hub_, ready);
        } catch (const std::system_error& why) {
            workers_.log_no_worker(why);
            return Errc::too_many_connections;
        }
    }
    callbacks_.accepted(
        {connection, offer.request, acceptance.subprotocol, acceptance.handler->name(), acceptance.user});
    return acceptance;
}

}  // namespace

AdmissionControl::AdmissionControl(const ServerOptions& options, const std::shared_ptr<ServerHub>& hub,
                                   HandlerWorkers& workers, const ProgramCallbacks& callbacks)
    : callbacks_(callbacks),
      chooser_(hub, std::make_shared<ChooserOnReactors>(hub, workers, callbacks)),
      max_connections_(options.max_connections != 0 ? options.max_connections : nine_tenths_of_descriptors()),
      max_refused_(most_refused()),
      rate_(options.connections_per_second),
      addresses_(options.per_address),
      users_(options.per_user) {
    chooser_.set_rules(chooser_rules(options));
    client_addresses_.set(options.trusted_proxies, options.client_address_field);
}

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
    if (refused_.fetch_add(1, std::memory_order_relaxed) < max_refused_) return true;
    refused_.fetch_sub(1, std::memory_order_relaxed);
    return false;
}

/// If very many refused clients do not hang up, the next ones keep their places: those without one have a bound, too.
bool AdmissionControl::give_up_place() noexcept {
    if (!count_refused()) return false;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return true;
}

void AdmissionControl::reconfigure(const ServerOptions& changed) {
    rate_.set(changed.connections_per_second);
    addresses_.set(changed.per_address);
    users_.set(changed.per_user);
    chooser_.set_rules(chooser_rules(changed));
    client_addresses_.set(changed.trusted_proxies, changed.client_address_field);
    log_faults();
}

void AdmissionControl::log_faults() const {
    if (const std::string fault = client_addresses_.fault(); !fault.empty()) callbacks_.log(LogLevel::error, fault);
}

}  // namespace wsserver
