// Exit codes and texts for connections that could not be opened or have ended.
#pragma once

#include <string>

#include "wsd-ctl/terminal.hpp"
#include "wsserver/connection/connection_info.hpp"

namespace wsd::ctl {

/// The exit code. Precondition: the connection was never open.
Exit exit_code_of_unopened(const wsserver::ConnectionEnd& end) noexcept;

/// `1008 log in first (cause)`. Precondition: the connection was open.
std::string describe_end(const wsserver::ConnectionEnd& end);

}  // namespace wsd::ctl
