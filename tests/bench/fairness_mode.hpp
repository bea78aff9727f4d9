// `bench fairness`: how long quiet connections wait for a reply, alone and while another one takes what it can.
#pragma once

#include "options.hpp"

namespace wsserver::bench {

/// Prints a table, or JSON lines. Throws std::runtime_error.
void run_fairness(const Options& options);

}  // namespace wsserver::bench
