// Compares echo servers for each size, number in flight and number of connections.
#include "echo_mode.hpp"

#include <memory>

#include "cost_comparison.hpp"
#include "load/echo_load.hpp"

namespace wsserver::bench {

void run_echo(const Options& options) {
    Table table{options, "server CPU per echoed message in microseconds, medians of alternating windows"};
    for (const std::size_t size : options.sizes) {
        for (const std::size_t in_flight : options.in_flight) {
            for (const std::size_t connections : options.connections) {
                const auto make_load = [&](const Contender& contender, std::uint16_t port) {
                    return std::make_unique<EchoLoad>(EchoLoadOptions{.port = port,
                                                                      .target = options.target,
                                                                      .websocket = contender.websocket,
                                                                      .kind = {options.text, size},
                                                                      .connections = connections,
                                                                      .in_flight = in_flight});
                };
                const std::vector<Cell> labels{{"connections", connections}, {"in_flight", in_flight}, {"size", size}};
                compare_cost(options, {labels, connections, make_load}, table);
            }
        }
    }
}

}  // namespace wsserver::bench
