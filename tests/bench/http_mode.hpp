// `bench http`: CPU time per plain HTTP request on a kept stream.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_http(const Options& options);

}  // namespace wsserver::bench
