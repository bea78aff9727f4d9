// Logs one line for each connection that ended.
#pragma once

#include "wsd/log.hpp"
#include "wsserver/connection/connection_info.hpp"

namespace wsd {

/// Logs connections that were open and refused opening handshakes at level info. Peers that requested a page or closed
/// without a request are logged at level debug, since load balancers do that all day.
void log_end(Log& log, const wsserver::ConnectionEnd& end);

}  // namespace wsd
