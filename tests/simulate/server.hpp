// The server of a simulation: real reactors, hub and queue of tasks, but no thread. The scheduler says who runs next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "simulate/ledger.hpp"
#include "simulate/random.hpp"
#include "support/test_worker.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/scheduling/priority_task_queue.hpp"
#include "wsserver/server/detail/memory_reactors.hpp"
#include "wsserver/server/detail/pooled_handler.hpp"

namespace wsserver::simulate {

/// Faults that a simulation can put into its own server, to show that they are found.
enum class Sabotage : std::uint8_t {
    none,
    lose_reply,
    repeat_reply,
    forget_close,
    lose_count,
    ignore_memory,
    leak_memory
};

class SimulatedServer final : public ReactorShared {
   public:
    SimulatedServer(MemoryNetwork& network, const Endpoint& place, const ReactorOptions& options, std::size_t reactors,
                    Ledger& ledger, Random& random, Sabotage sabotage);
    ~SimulatedServer();

    std::size_t reactors() const noexcept { return count_; }
    MemoryTransport& transport(std::size_t reactor) noexcept { return reactors_[reactor].transport(); }
    /// Runs at most that many turns on a reactor's thread. Returns their number.
    std::size_t run(std::size_t reactor, std::size_t turns);
    /// A worker takes a task from the queue or ends the one that it has. False if there is nothing to do.
    bool work();
    /// Runs reactors and workers until nothing is left to do. Throws Violation if that never happens.
    void run_until_idle();
    /// Begins to stop.
    void stop(Clock::time_point deadline);
    bool has_stopped() const noexcept { return stopped_ == count_; }
    /// Terminates what is left, as at the end of a stop.
    void finish();

    /// Sends a numbered message to a connection, as another thread does.
    void send(ConnectionId to);
    /// Sends a numbered message to all, as another thread does.
    void broadcast(const Audience& audience);
    std::optional<ConnectionInfo> info(ConnectionId id) { return reactors_[id.reactor].info(id); }
    /// The connections of accepted streams that have not ended.
    std::size_t admitted() const noexcept { return admitted_; }
    std::optional<ConnectionId> id_of(std::size_t client) const;
    /// What the memory budget counts.
    std::size_t memory() const noexcept;

    // ReactorShared
    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub_; }
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override;
    std::optional<HttpResponse> answer(const HttpRequest&) override { return std::nullopt; }
    void on_ended(const ConnectionEnd& end) override {
        ledger_.watch([&] { ledger_.ended(end); });
    }
    void on_event(const ConnectionEvent& event) override {
        if (event.kind == ConnectionEvent::Kind::close_sent) ledger_.watch([&] { ledger_.close_sent(event); });
    }
    StreamAdmission admit() noexcept override {
        ++admitted_;
        return StreamAdmission::welcome;
    }
    void released() noexcept override { --admitted_; }
    MemoryUse memory_use() const noexcept override;
    void on_memory_short() override;
    void on_stopped(std::uint16_t) override { ++stopped_; }

   private:
    struct Program;

    void add_counts();
    Clock::time_point now() const noexcept { return reactors_[0].transport().now(); }
    void check_rates(ConnectionId id, std::uint64_t messages);

    Ledger& ledger_;
    Random& random_;
    const Sabotage sabotage_;
    const ReceiveRates rates_;
    const std::size_t count_;
    std::size_t admitted_ = 0;
    std::size_t stopped_ = 0;
    bool finished_ = false;
    std::optional<std::size_t> running_;       ///< the reactor whose thread this is now
    std::map<std::size_t, ConnectionId> ids_;  ///< by client
    std::shared_ptr<ServerHub> hub_;
    std::shared_ptr<Hub> any_hub_;
    std::shared_ptr<AnyHandler> inline_;
    std::shared_ptr<AnyHandler> pooled_;
    PriorityTaskQueue queue_;
    test::TestWorker worker_;
    std::vector<TaskPtr> held_;  ///< by worker: a task that it has taken and not run yet
    std::vector<std::unique_ptr<ReadyMailboxes>> ready_;
    MemoryReactors reactors_;  // last: their connections use all members above until they are gone
};

}  // namespace wsserver::simulate
