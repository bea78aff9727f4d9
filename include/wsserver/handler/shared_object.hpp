// Handlers from shared objects that speak the C interface of handler.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"

namespace wsserver {

/// Hears what shared objects log, with the handler's name; on any thread.
using HandlerLog = std::function<void(LogLevel, std::string_view name, std::string_view text)>;

/// Loads a private copy of the file and starts its handler: what happens to the file afterwards harms nobody. The
/// handler is ended and its code unloaded when the last shared_ptr to it is gone.
///
/// path    of the shared object; relative ones as the process's directory says
/// name    what it is called in lists and logs; empty: as it calls itself
/// config  handed to the handler as it is
/// log     where it logs to; none: standard error
/// An error names the file, says what is wrong with it and what to do.
///
/// One handler serves one server: what it sends to connections by their id goes to the server whose connection
/// it saw last.
Result<std::shared_ptr<AnyHandler>, std::string> load_handler(const std::string& path, std::string_view name = {},
                                                              std::string_view config = {}, HandlerLog log = {});

}  // namespace wsserver
