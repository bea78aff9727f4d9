// `wsd-ctl bench URL`: load any WebSocket server and tell how it bears that.
#pragma once

#include "wsd-ctl/bench/options.hpp"
#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl::bench {

/// Returns the exit code, when the load has ended.
int bench(const Options& options, const Terminal& terminal);

}  // namespace wsd::ctl::bench
