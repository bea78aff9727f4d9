// Handlers that are programs in any language: processes that serve many connections over their standard streams.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handler/script_frame.hpp"
#include "wsserver/handler/shared_object.hpp"

namespace wsserver {

/// How a script runs.
struct ScriptOptions {
    std::vector<std::string> command{};  ///< the path of the program, and its arguments
    std::size_t processes = 1;           ///< 1 to 64; a connection stays with one
    /// `NAME=VALUE`, the whole environment of the program apart from PATH, LANG and WSD_CONFIG.
    std::vector<std::string> environment{};
    std::chrono::milliseconds start_timeout{7'000};  ///< until it says that it is ready
    std::chrono::milliseconds deadline{30'000};      ///< after which a process that does not go on is killed
    std::chrono::milliseconds end_timeout{3'000};    ///< after which a process that should end is killed
    std::size_t high_mark = 1024 * 1024;  ///< bytes of events that wait: over it, those who send more are not read
    std::size_t hard_limit = 16 * 1024 * 1024;  ///< the same: over it, their messages are dropped and they are closed
    ScriptFrameLimits frames{};                 ///< of what the script writes
    std::chrono::milliseconds first_restart{100};       ///< the pause before a process is started again
    std::chrono::milliseconds longest_restart{10'000};  ///< it doubles up to this while the process ends soon
};

/// Starts the processes of a script, and waits until they are ready. The channel is that of docs/script-channel.md.
///
/// Its reactions run inline, since they only queue events. When a process ends, its connections stay, and the next one
/// is told about them. As a version of a ReplaceableHandler, a script can be replaced: each connection moves when the
/// old process has done its work for it.
///
/// name    of the handler in lists and logs
/// config  the script finds it in the environment, as WSD_CONFIG
/// log     receives what the script logs or writes to its standard error; null: written to standard error
/// An error says what is wrong. Any thread.
Result<std::shared_ptr<AnyHandler>, std::string> start_script(std::string name, ScriptOptions options,
                                                              std::string_view config = {}, HandlerLog log = {});

}  // namespace wsserver
