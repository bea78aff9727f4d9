// Compares servers that answer plain HTTP requests, for each number in flight and number of connections.
#include "http_mode.hpp"

#include <memory>

#include "cost_comparison.hpp"
#include "load/http_load.hpp"

namespace wsserver::bench {

void run_http(const Options& options) {
    Table table{options, "server CPU per HTTP request in microseconds, medians of alternating windows"};
    for (const std::size_t in_flight : options.in_flight) {
        for (const std::size_t connections : options.connections) {
            const auto make_load = [&](const Contender& contender, std::uint16_t port) {
                return std::make_unique<HttpLoad>(HttpLoadOptions{.port = port,
                                                                  .target = options.target,
                                                                  .http = contender.websocket,
                                                                  .connections = connections,
                                                                  .in_flight = in_flight});
            };
            const std::vector<Cell> labels{{"connections", connections}, {"in_flight", in_flight}};
            compare_cost(options, {labels, connections, make_load}, table);
        }
    }
}

}  // namespace wsserver::bench
