// Measures the waits of quiet connections while another connection disturbs the server.
#include "fairness_mode.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "load/disturbance.hpp"
#include "load/quiet_load.hpp"
#include "series.hpp"
#include "server_process.hpp"
#include "table.hpp"

namespace wsserver::bench {

namespace {

constexpr DisturbanceKind disturbances[] = {
    {.name = "none", .size = 0, .messages = 0, .reads = false},
    {.name = "huge messages", .size = std::size_t{1} << 20, .messages = 1, .reads = true},
    {.name = "never reads", .size = std::size_t{64} << 10, .messages = 16, .reads = false},
    {.name = "tiny frames", .size = 1, .messages = 8192, .reads = true},
};

/// The waits of quiet connections during one disturbance, one figure per round.
struct Felt {
    std::vector<double> p50, p99, most;  ///< microseconds
    std::vector<double> taken;           ///< MB/s that the server took from the disturbance
};

class Subject {
   public:
    Subject(const Contender& contender, const Options& options, std::size_t connections, std::size_t size)
        : contender_(&contender),
          server_(contender.start(options.server_core())),
          quiet_({.port = server_.port(),
                  .target = options.target,
                  .websocket = contender.websocket,
                  .kind = {options.text, size},
                  .connections = connections}) {}

    void measure(const Options& options, const DisturbanceKind& kind, Felt& felt) {
        std::optional<Disturbance> disturbance;
        if (kind.messages > 0) {
            disturbance.emplace(DisturbanceOptions{.port = server_.port(),
                                                   .target = options.target,
                                                   .websocket = contender_->websocket,
                                                   .core = options.load_core(),
                                                   .kind = kind});
        }
        quiet_.run(options.warm_up);
        const std::uint64_t before = disturbance ? disturbance->taken() : 0;
        std::vector<double> waits = quiet_.run(options.window);
        const std::uint64_t after = disturbance ? disturbance->taken() : 0;
        std::sort(waits.begin(), waits.end());
        felt.p50.push_back(waits[waits.size() / 2]);
        felt.p99.push_back(waits[waits.size() * 99 / 100]);
        felt.most.push_back(waits.back());
        felt.taken.push_back(static_cast<double>(after - before) / 1e6 /
                             std::chrono::duration<double>(options.window).count());
    }

    const std::string& name() const noexcept { return contender_->name; }

   private:
    const Contender* contender_;
    ServerProcess server_;
    QuietLoad quiet_;
};

void compare(const Options& options, std::size_t connections, std::size_t size, Table& table) {
    std::vector<std::unique_ptr<Subject>> subjects;
    for (const Contender& contender : options.contenders) {
        subjects.push_back(std::make_unique<Subject>(contender, options, connections, size));
    }
    for (const DisturbanceKind& kind : disturbances) {
        std::vector<Felt> felt(subjects.size());
        for (std::size_t round = 0; round < options.rounds; ++round) {
            for (std::size_t i = 0; i < subjects.size(); ++i) subjects[i]->measure(options, kind, felt[i]);
        }
        for (std::size_t i = 0; i < subjects.size(); ++i) {
            table.row({{"connections", connections},
                       {"size", size},
                       {"beside", std::string{kind.name}},
                       {"server", subjects[i]->name()},
                       {"p50_us", median(felt[i].p50)},
                       {"p99_us", median(felt[i].p99)},
                       {"max_us", median(felt[i].most)},
                       {"taken_mb_s", median(felt[i].taken)}});
        }
    }
}

}  // namespace

void run_fairness(const Options& options) {
    Table table{options,
                "microseconds that quiet connections wait for an echo while another one takes what it can; medians"};
    for (const std::size_t size : options.sizes) {
        for (const std::size_t connections : options.connections) compare(options, connections, size, table);
    }
}

}  // namespace wsserver::bench
