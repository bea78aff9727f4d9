// How important a log line is.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>

namespace wsserver {

/// Least important first, so that levels can be compared. The numbers are those of `WSSERVER_LOG_DEBUG` and so on in
/// handler.h.
enum class LogLevel : std::uint8_t {
    debug = 0,    ///< detail for someone who looks for a fault
    info = 1,     ///< normal operation
    warning = 2,  ///< works, but an operator should look at it
    error = 3,    ///< something failed
};

}  // namespace wsserver
