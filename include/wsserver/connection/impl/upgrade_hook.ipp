#pragma once

#include "wsserver/connection/upgrade_hook.hpp"

#include <exception>
#include <mutex>
#include <string>
#include <utility>

#include "wsserver/handshake/offer_request.hpp"
#include "wsserver/scheduling/detail/waiting_task.hpp"

namespace wsserver {

namespace {

class HubTicket : public detail::UpgradeTicket {
   public:
    HubTicket(std::shared_ptr<ItemHub> hub, ConnectionId id) noexcept : hub_(std::move(hub)), id_(id) {}

    SendStatus answer(UpgradeDecision&& decision) final { return hub_->decide(id_, std::move(decision)); }

   private:
    const std::shared_ptr<ItemHub> hub_;
    const ConnectionId id_;
};

/// What a pooled function is asked.
struct Question {
    Offer offer;
    std::string peer;
};

/// Frees the question as soon as the client does not wait any more.
class QuestionTicket final : public HubTicket {
   public:
    QuestionTicket(std::shared_ptr<ItemHub> hub, ConnectionId id, Question question)
        : HubTicket(std::move(hub), id), question_(std::make_unique<const Question>(std::move(question))) {}

    /// Null if the client does not wait any more.
    std::unique_ptr<const Question> take() noexcept {
        const std::lock_guard lock(mutex_);
        return std::move(question_);
    }

   private:
    void on_void() noexcept override { (void)take(); }

    std::mutex mutex_;
    std::unique_ptr<const Question> question_;
};

/// The program's function failed.
UpgradeDecision failed(std::string_view what) { return Unexpected{std::string{"it threw: "}.append(what)}; }

/// Asks `decide`, which calls the program. An exception becomes a text.
template <class F>
UpgradeDecision guarded_decision(ProgramCaller& caller, F&& decide) {
    UpgradeDecision decision = Unexpected{std::string{"the server has stopped"}};
    try {
        (void)caller.call([&] { decision = decide(); });
        return decision;
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

UpgradeHook::Answer UpgradeHook::ask(const OwnedConnection& connection, const Offer& offer) const {
    if (now_ && runs_ == Runs::pooled) return ask_on_worker(connection, offer, TaskName{"on_upgrade"}, now_);
    const std::string peer = connection.peer();
    const OfferRequest request{offer, peer};
    if (now_) return guarded_decision(*caller_, [&] { return UpgradeDecision{(*now_)(request)}; });
    const auto ticket = std::make_shared<HubTicket>(hub_, connection.id());
    // If the function throws, the reply that it got is destroyed, which answers, too. The text here says more.
    auto decision = guarded_decision(*caller_, [&] {
        later_(request, UpgradeReply{ticket});
        return UpgradeDecision{Admission{}};
    });
    if (decision) return DecidesLater{ticket};
    ticket->void_it();
    return decision;
}

/// The workers know the task by the handler's name, so that one that hangs leaves a worker to the others.
UpgradeHook::Answer UpgradeHook::ask_handler(const OwnedConnection& connection, const Offer& offer,
                                             std::shared_ptr<AnyHandler> handler) const {
    const TaskName name{handler->name()};
    return ask_on_worker(connection, offer, name,
                         std::make_shared<const Decide>([handler = std::move(handler)](const UpgradeRequest& request) {
                             return handler->on_upgrade(request);
                         }));
}

UpgradeHook::Answer UpgradeHook::ask_on_worker(const OwnedConnection& connection, const Offer& offer, TaskName name,
                                               std::shared_ptr<const Decide> decide) const {
    if (waiting_->load(std::memory_order_relaxed) >= most_waiting) return Refusal{Errc::too_many_connections};
    const auto ticket = std::make_shared<QuestionTicket>(hub_, connection.id(), Question{offer, connection.peer()});
    const bool runs =
        caller_->run_on_worker(name, [decide = std::move(decide), caller = caller_, reply = UpgradeReply{ticket},
                                      ticket, waiting = detail::WaitingTask{waiting_}]() mutable {
            const auto question = ticket->take();
            if (!question) return;  // a worker was free too late
            auto decision = guarded_decision(*caller, [&] {
                return UpgradeDecision{(*decide)(OfferRequest{question->offer, question->peer})};
            });
            decision ? reply(*std::move(decision)) : reply.fail(decision.error());
        });
    if (!runs) return Refusal{Errc::too_many_connections};
    return DecidesLater{ticket};
}

}  // namespace wsserver
