// One line in the log for each connection that ended.
#pragma once

#include "wsd/log.hpp"
#include "wsserver/connection/connection_info.hpp"

namespace wsd {

/// A connection that was open, and an opening handshake that was refused: info. Who only asked for a page, or went
/// away without a word: debug, for load balancers do that all day.
void log_end(Log& log, const wsserver::ConnectionEnd& end);

}  // namespace wsd
