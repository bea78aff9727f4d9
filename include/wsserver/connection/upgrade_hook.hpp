// The program's function that decides about opening handshakes, and the three ways to call it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <variant>

#include "wsserver/base/callback.hpp"
#include "wsserver/base/unique_function.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/item_hub.hpp"
#include "wsserver/handshake/upgrade_request.hpp"
#include "wsserver/scheduling/task.hpp"

namespace wsserver {

/// How a server calls the program. As it is, it does so at once, on the calling thread. A worker that is stuck in the
/// program may use it when the server is gone.
class ProgramCaller {
   public:
    ProgramCaller() = default;
    ProgramCaller(const ProgramCaller&) = delete;
    ProgramCaller& operator=(const ProgramCaller&) = delete;
    virtual ~ProgramCaller() = default;

    /// Calls `f`, and passes on what it throws. Returns false, and does not call it, if the server has stopped. Any
    /// thread.
    virtual bool call(const std::function<void()>& f) {
        f();
        return true;
    }
    /// Runs `task`, which may block, on a worker. Called on the thread of a connection. Returns false if no worker can
    /// be started.
    virtual bool run_on_worker(TaskName, UniqueFunction<void()> task) {
        task();
        return true;
    }
};

/// The function is set before the server starts; then any thread of connections may call the other members.
class UpgradeHook {
   public:
    /// Decides at once.
    using Decide = std::function<Admission(const UpgradeRequest&)>;
    /// Decides now or later, by the reply.
    using DecideLater = Callback<void(const UpgradeRequest&, UpgradeReply)>;
    /// A decision; that it comes later; or that too many offers wait, or there is no worker.
    using Answer = std::variant<UpgradeDecision, DecidesLater, Refusal>;

    /// `hub` passes decisions on to the connections. Neither may be null.
    UpgradeHook(std::shared_ptr<ItemHub> hub, std::shared_ptr<ProgramCaller> caller) noexcept
        : hub_(std::move(hub)), caller_(std::move(caller)) {}

    /// Sets the function, or none.
    void set(Decide decide, Runs runs);
    /// The same for one that decides later.
    void set(DecideLater decide);
    /// Whether there is a function.
    bool is_set() const noexcept { return now_ || later_; }

    /// Asks the program about an offer.
    Answer ask(const OwnedConnection& connection, const Offer& offer) const;
    /// Asks the handler that would serve the client, on a worker.
    Answer ask_handler(const OwnedConnection& connection, const Offer& offer,
                       std::shared_ptr<AnyHandler> handler) const;

   private:
    /// The most questions that wait for a worker, including those of clients that are gone.
    static constexpr std::size_t most_waiting = 4096;

    Answer ask_on_worker(const OwnedConnection& connection, const Offer& offer, TaskName name,
                         std::shared_ptr<const Decide> decide) const;

    const std::shared_ptr<ItemHub> hub_;
    const std::shared_ptr<ProgramCaller> caller_;
    std::shared_ptr<const Decide> now_;  ///< shared with workers, which may be stuck in it when the server is gone
    DecideLater later_;
    Runs runs_ = Runs::inline_;
    const std::shared_ptr<std::atomic<std::size_t>> waiting_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace wsserver
