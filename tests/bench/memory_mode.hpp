// `bench memory`: the memory of the server per idle connection.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_memory(const Options& options);

}  // namespace wsserver::bench
