// `bench memory`: what an idle connection takes of the server's memory.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_memory(const Options& options);

}  // namespace wsserver::bench
