// `bench echo`: CPU time per echoed message.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_echo(const Options& options);

}  // namespace wsserver::bench
