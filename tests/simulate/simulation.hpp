// One run of a server, its clients, its workers and its spool, in an order of events that a seed decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "simulate/client.hpp"
#include "simulate/ledger.hpp"
#include "simulate/random.hpp"
#include "simulate/server.hpp"
#include "simulate/spool_work.hpp"

namespace wsserver::simulate {

/// What a simulation has done, to show that it was not idle.
struct Summary {
    std::size_t connections = 0, messages = 0, replies = 0, casts = 0, sends = 0, dropped = 0;
    std::size_t closed_for_memory = 0, memory_pauses = 0, rate_pauses = 0, publish_pauses = 0;
    std::size_t excess = 0;  ///< the most bytes that were held over the limit

    void add(const Summary& other) noexcept;
};

class Simulation {
   public:
    /// With `traced`, each event is printed.
    Simulation(std::uint64_t seed, Sabotage sabotage, bool traced);

    /// Throws Violation.
    Summary run(std::size_t steps);

   private:
    void make_server();
    void step();
    void connect();
    void act_as_hub();
    void fail_something();
    /// Lets time pass while everybody runs.
    void pass_time(Clock::duration by, Clock::duration step = std::chrono::milliseconds{50});
    /// Lets time pass while the server stands still.
    void stand_still();
    /// A polite client is answered soon, whatever the others do.
    void probe();
    /// What polite clients have sent is received within a time that the limits decide.
    void check_answers();
    /// The connections hold no more memory than the limit, and what they receive before the server looks again.
    void check_memory();
    /// When all peers are gone, nothing is held.
    void check_no_memory() const;
    /// Polite clients and the server go on until nothing is left to do.
    void settle();
    void stop();
    void check_clients();
    void check_client(const Client& client);
    void check_code(const Client& client, const ConnectionRecord& record) const;
    Clock::duration longest_wait(const Client& client) const;
    ConnectionRecord* record_of(const Client& client);
    ConnectionId some_id();
    void trace(const std::string& what) const;
    void trace_limits() const;

    Random random_;
    const Sabotage sabotage_;
    const bool traced_;
    ReactorOptions options_;
    MemoryNetwork network_;
    const Endpoint place_{"server", 80, {}};
    Ledger ledger_;
    std::unique_ptr<SimulatedServer> server_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::unique_ptr<SpoolWork> spool_;
    std::size_t receive_at_most_ = 0;
    Habits habits_;                  ///< of all clients
    std::size_t excess_ = 0;         ///< see Summary
    bool faults_ = false;            ///< of the transport: a polite client may be hit, too
    std::uint64_t unexplained_ = 0;  ///< messages with the result `queued` that did not arrive
};

}  // namespace wsserver::simulate
