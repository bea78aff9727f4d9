// `wsd-ctl connect URL`: a client at whose end somebody types, or a script writes and reads.
#pragma once

#include "wsd-ctl/connect/connect_options.hpp"
#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl {

/// Returns the exit code, when the connection has ended.
int connect(const ConnectOptions& options, const Terminal& terminal);

}  // namespace wsd::ctl
