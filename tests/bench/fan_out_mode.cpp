// Compares servers that send each publication to all, for each size, number in flight and number of receivers.
#include "fan_out_mode.hpp"

#include <memory>

#include "cost_comparison.hpp"
#include "load/fan_out_load.hpp"

namespace wsserver::bench {

void run_fan_out(const Options& options) {
    Table table{
        options,
        "server CPU per delivery in microseconds when one connection publishes to all, medians of alternating windows"};
    for (const std::size_t size : options.sizes) {
        for (const std::size_t in_flight : options.in_flight) {
            for (const std::size_t receivers : options.connections) {
                const auto make_load = [&](const Contender& contender, std::uint16_t port) {
                    const bool rooms = contender.name.starts_with("room-");
                    return std::make_unique<FanOutLoad>(FanOutLoadOptions{.port = port,
                                                                          .target = options.target,
                                                                          .kind = {options.text, size},
                                                                          .receivers = receivers,
                                                                          .in_flight = in_flight,
                                                                          .bystanders = rooms ? options.bystanders : 0,
                                                                          .websocket = contender.websocket});
                };
                const std::vector<Cell> labels{{"receivers", receivers}, {"in_flight", in_flight}, {"size", size}};
                compare_cost(options, {labels, receivers + 1 + options.bystanders, make_load}, table);
            }
        }
    }
}

}  // namespace wsserver::bench
