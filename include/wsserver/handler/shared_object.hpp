// Handlers from shared objects with the C interface of handler.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"

namespace wsserver {

/// Receives the log entries of a shared object, with the handler's name. Called on any thread.
using HandlerLog = std::function<void(LogLevel, std::string_view name, std::string_view text)>;

/// Loads a private copy of the file and starts its handler. Later changes of the file have no effect on it. The last
/// shared_ptr to the handler ends it and unloads its code.
///
/// path    of the shared object; a relative path starts at the process's working folder
/// name    of the handler in lists and logs; empty: the name in the handler's table, or that of the file
/// config  passed to the handler unchanged
/// log     receives its log entries; null: they are written to standard error
/// An error names the file, and says what is wrong with it and what to do.
///
/// A handler must serve one server only: messages that it sends by connection id go to the server of the connection
/// that it opened last.
Result<std::shared_ptr<AnyHandler>, std::string> load_handler(const std::string& path, std::string_view name = {},
                                                              std::string_view config = {}, HandlerLog log = {});

}  // namespace wsserver
