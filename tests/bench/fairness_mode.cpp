// Measures the waits of quiet connections while another connection disturbs the server.
#include "fairness_mode.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "load/connecting.hpp"
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
    {.name = "dropped messages", .size = 125, .messages = 8192, .reads = false, .subprotocol = "null"},
};

/// The waits of quiet connections during one disturbance, one figure per round.
struct Felt {
    std::vector<double> p50, p99, most;  ///< microseconds
    std::vector<double> opening_p99;     ///< microseconds of opening handshakes
    std::vector<double> taken;           ///< MB/s that the server took from the disturbance
};

/// Connects again and again, and measures how long each opening handshake takes.
class Newcomers {
   public:
    Newcomers(std::uint16_t port, const Options& options, bool websocket)
        : thread_([this, port, target = options.target, websocket, core = options.load_core()](std::stop_token stop) {
              if (core) pin_to(*core);
              while (!stop.stop_requested()) {
                  const auto begin = std::chrono::steady_clock::now();
                  const int socket = connect_to(port);
                  if (websocket) shake_hands(socket, target);
                  close(socket);
                  const auto taken = std::chrono::steady_clock::now() - begin;
                  waits_.push_back(std::chrono::duration<double, std::micro>(taken).count());
                  std::this_thread::sleep_for(std::chrono::milliseconds{5});
              }
          }) {}

    /// Ends them. Returns the microseconds of each handshake.
    std::vector<double> end() {
        thread_.request_stop();
        thread_.join();
        return std::move(waits_);
    }

   private:
    std::vector<double> waits_;
    std::jthread thread_;
};

double p99_of(std::vector<double>& values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[values.size() * 99 / 100];
}

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

    void measure(const Options& options, const DisturbanceKind& kind, std::size_t neighbours, Felt& felt) {
        std::vector<std::unique_ptr<Disturbance>> disturbances_now;
        for (std::size_t i = 0; i < neighbours && kind.messages > 0; ++i) {
            disturbances_now.push_back(
                std::make_unique<Disturbance>(DisturbanceOptions{.port = server_.port(),
                                                                 .target = options.target,
                                                                 .websocket = contender_->websocket,
                                                                 .core = options.load_core(),
                                                                 .kind = kind}));
        }
        const auto taken = [&] {
            std::uint64_t sum = 0;
            for (const auto& one : disturbances_now) sum += one->taken();
            return sum;
        };
        quiet_.run(options.warm_up);
        Newcomers newcomers{server_.port(), options, contender_->websocket};
        const std::uint64_t before = taken();
        std::vector<double> waits = quiet_.run(options.window);
        const std::uint64_t after = taken();
        std::vector<double> openings = newcomers.end();
        felt.p99.push_back(p99_of(waits));
        felt.p50.push_back(waits[waits.size() / 2]);
        felt.most.push_back(waits.back());
        felt.opening_p99.push_back(p99_of(openings));
        felt.taken.push_back(static_cast<double>(after - before) / 1e6 /
                             std::chrono::duration<double>(options.window).count());
    }

    const std::string& name() const noexcept { return contender_->name; }

   private:
    const Contender* contender_;
    ServerProcess server_;
    QuietLoad quiet_;
};

void compare(const Options& options, std::size_t connections, std::size_t neighbours, std::size_t size, Table& table) {
    std::vector<std::unique_ptr<Subject>> subjects;
    for (const Contender& contender : options.contenders) {
        subjects.push_back(std::make_unique<Subject>(contender, options, connections, size));
    }
    for (const DisturbanceKind& kind : disturbances) {
        std::vector<Felt> felt(subjects.size());
        for (std::size_t round = 0; round < options.rounds; ++round) {
            for (std::size_t i = 0; i < subjects.size(); ++i) subjects[i]->measure(options, kind, neighbours, felt[i]);
        }
        for (std::size_t i = 0; i < subjects.size(); ++i) {
            table.row({{"connections", connections},
                       {"size", size},
                       {"neighbours", kind.messages > 0 ? neighbours : 0},
                       {"beside", std::string{kind.name}},
                       {"server", subjects[i]->name()},
                       {"p50_us", median(felt[i].p50)},
                       {"p99_us", median(felt[i].p99)},
                       {"max_us", median(felt[i].most)},
                       {"opening_p99_us", median(felt[i].opening_p99)},
                       {"taken_mb_s", median(felt[i].taken)}});
        }
    }
}

}  // namespace

void run_fairness(const Options& options) {
    Table table{options,
                "microseconds that quiet connections wait for an echo while others take what they can; medians"};
    for (const std::size_t size : options.sizes) {
        for (const std::size_t connections : options.connections) {
            for (const std::size_t neighbours : options.neighbours) {
                compare(options, connections, neighbours, size, table);
            }
        }
    }
}

}  // namespace wsserver::bench
