// The program's function that decides about opening handshakes, and the three ways to call it.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <variant>

#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/handshake/upgrade_request.hpp"
#include "wsserver/server/detail/handler_workers.hpp"
#include "wsserver/server/detail/server_hub.hpp"

namespace wsserver {

/// The function is set before the server starts; then any reactor's thread may call the other members.
class UpgradeHook {
   public:
    using Decide = std::function<Admission(const UpgradeRequest&)>;
    using DecideLater = std::function<void(const UpgradeRequest&, UpgradeReply)>;

    UpgradeHook(std::shared_ptr<ServerHub> hub, HandlerWorkers& workers) noexcept
        : hub_(std::move(hub)), workers_(workers) {}

    void set(Decide decide, Runs runs);
    void set(DecideLater decide);
    bool is_set() const noexcept { return now_ || later_; }

    /// Asks the program about an offer. Throws std::system_error if there is no worker for a pooled function. Refuses
    /// if too many offers wait for one.
    std::variant<UpgradeDecision, DecidesLater, Refusal> ask(const OwnedConnection& connection,
                                                             const Offer& offer) const;

   private:
    /// The most questions that wait for a worker, including those of clients that are gone.
    static constexpr std::size_t most_waiting = 4096;

    DecidesLater ask_on_worker(const OwnedConnection& connection, const Offer& offer) const;

    const std::shared_ptr<ServerHub> hub_;
    HandlerWorkers& workers_;
    std::shared_ptr<const Decide> now_;  ///< shared with workers, which may be stuck in it when the server is gone
    DecideLater later_;
    Runs runs_ = Runs::inline_;
    const std::shared_ptr<std::atomic<std::size_t>> waiting_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace wsserver
