// `bench fan-out`: CPU time per delivery when one connection publishes to all.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_fan_out(const Options& options);

}  // namespace wsserver::bench
