// The process that serves, from its configuration to its end.
#pragma once

#include "common/config.hpp"

namespace wsd {

/// Serves until a signal or a command stops the daemon. Returns the exit code. Prints to stderr why it cannot start.
int serve(const ConfigRequest& request);

}  // namespace wsd
