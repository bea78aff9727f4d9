// What it means for us that a connection couldn't be had, or ended.
#pragma once

#include <string>

#include "wsd-ctl/terminal.hpp"
#include "wsserver/connection/connection_info.hpp"

namespace wsd::ctl {

/// The exit code for it. Precondition: it hasn't been open.
Exit exit_code_of_unopened(const wsserver::ConnectionEnd& end) noexcept;

/// `1008 log in first (cause)`. Precondition: it has been open.
std::string describe_end(const wsserver::ConnectionEnd& end);

}  // namespace wsd::ctl
