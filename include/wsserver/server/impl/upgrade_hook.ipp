#pragma once

#include "wsserver/server/detail/upgrade_hook.hpp"

#include <exception>
#include <string>
#include <utility>

namespace wsserver {

namespace {

class HubTicket final : public detail::UpgradeTicket {
   public:
    HubTicket(std::shared_ptr<ServerHub> hub, ConnectionId id) noexcept : hub_(std::move(hub)), id_(id) {}

    SendStatus answer(UpgradeDecision decision) override { return hub_->decide(id_, std::move(decision)); }

   private:
    const std::shared_ptr<ServerHub> hub_;
    const ConnectionId id_;
};

/// The program's function failed.
UpgradeDecision failed(std::string_view what) { return Unexpected{std::string{"it threw: "}.append(what)}; }

/// Calls `f`, which decides. An exception becomes a text.
template <class F>
UpgradeDecision guarded_decision(CallbackGate& gate, F&& f) {
    const CallbackGate::Call call{gate};
    if (!call) return Unexpected{std::string{"the server has stopped"}};
    try {
        return f();
    } catch (const std::exception& exception) {
        return failed(exception.what());
    } catch (...) {
        return failed("an exception that is not a std::exception");
    }
}

}  // namespace

void UpgradeHook::set(Decide decide, Runs runs) {
    now_ = decide ? std::make_shared<const Decide>(std::move(decide)) : nullptr;
    later_ = nullptr;
    runs_ = runs;
}

void UpgradeHook::set(DecideLater decide) {
    later_ = std::move(decide);
    now_ = nullptr;
}

std::variant<UpgradeDecision, DecidesLater> UpgradeHook::ask(const OwnedConnection& connection,
                                                             const Offer& offer) const {
    if (now_ && runs_ == Runs::pooled) return ask_on_worker(connection, offer);
    const std::string peer = connection.peer();
    const UpgradeRequest request{offer, peer};
    if (now_) return guarded_decision(*hub_->gate(), [&] { return UpgradeDecision{(*now_)(request)}; });
    const auto ticket = std::make_shared<HubTicket>(hub_, connection.id());
    // If the function throws, the reply that it got is destroyed, which answers, too. The text here says more.
    auto decision = guarded_decision(*hub_->gate(), [&] {
        later_(request, UpgradeReply{ticket});
        return UpgradeDecision{Admission{}};
    });
    if (!decision) return decision;
    return DecidesLater{ticket};
}

DecidesLater UpgradeHook::ask_on_worker(const OwnedConnection& connection, const Offer& offer) const {
    struct Question {
        Offer offer;
        std::string peer;
    };
    const auto ticket = std::make_shared<HubTicket>(hub_, connection.id());
    workers_.run(TaskName{"on_upgrade"},
                 [decide = now_, gate = hub_->gate(), reply = UpgradeReply{ticket},
                  question = std::make_unique<const Question>(Question{offer, connection.peer()})]() mutable {
                     if (reply.is_gone()) return;  // a worker was free too late
                     auto decision = guarded_decision(*gate, [&] {
                         return UpgradeDecision{(*decide)(UpgradeRequest{question->offer, question->peer})};
                     });
                     decision ? reply(*std::move(decision)) : reply.fail(std::move(decision.error()));
                 });
    return {ticket};
}

}  // namespace wsserver
