// `wsd-ctl connect URL`: a client for a person who types, or for a script.
#pragma once

#include "wsd-ctl/connect/connect_options.hpp"
#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl {

/// Connects and runs until the connection has ended. Returns the exit code.
int connect(const ConnectOptions& options, const Terminal& terminal);

}  // namespace wsd::ctl
