// The life of the process that serves, from its configuration to its end.
#pragma once

#include "common/config.hpp"

namespace wsd {

/// Returns the process's exit code. What keeps it from starting is told on stderr.
int serve(const ConfigRequest& request);

}  // namespace wsd
