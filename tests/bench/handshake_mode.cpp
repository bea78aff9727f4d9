// Compares servers that open and close connections, for each number of connections at a time.
#include "handshake_mode.hpp"

#include <memory>

#include "cost_comparison.hpp"
#include "load/handshake_load.hpp"

namespace wsserver::bench {

void run_handshake(const Options& options) {
    Table table{options,
                "server CPU per connection in microseconds, from accept to close, medians of alternating windows"};
    for (const std::size_t at_a_time : options.connections) {
        const auto make_load = [&](const Contender& contender, std::uint16_t port) {
            return std::make_unique<HandshakeLoad>(HandshakeLoadOptions{
                .port = port, .target = options.target, .websocket = contender.websocket, .at_a_time = at_a_time});
        };
        compare_cost(options, {{{"at_a_time", at_a_time}}, at_a_time, make_load}, table);
    }
}

}  // namespace wsserver::bench
