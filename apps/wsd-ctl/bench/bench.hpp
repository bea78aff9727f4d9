// `wsd-ctl bench URL`: loads any WebSocket server and reports how it performs.
#pragma once

#include "wsd-ctl/bench/options.hpp"
#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl::bench {

/// Runs the load to its end. Returns the exit code.
int bench(const Options& options, const Terminal& terminal);

}  // namespace wsd::ctl::bench
