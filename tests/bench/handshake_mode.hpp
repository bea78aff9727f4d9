// `bench handshake`: CPU time per connection, from accept to close.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_handshake(const Options& options);

}  // namespace wsserver::bench
