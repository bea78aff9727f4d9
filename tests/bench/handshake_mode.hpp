// `bench handshake`: CPU time per connection, from its opening handshake to the end.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_handshake(const Options& options);

}  // namespace wsserver::bench
