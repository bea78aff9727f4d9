// Handlers from shared objects with the C interface of handler.h.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"

namespace wsserver {

/// Receives the log entries of a shared object, with the handler's name. Called on any thread.
using HandlerLog = std::function<void(LogLevel, std::string_view name, std::string_view text)>;

/// Loads a private copy of the file and starts its handler. Later changes of the file have no effect on it. The last
/// shared_ptr to the handler ends it and unloads its code.
///
/// Runs the handler's constructors and create() on this thread, and returns when they do. See load_within().
/// Its destroy() runs on a thread of its own. The thread that lets go of the last shared_ptr waits for it, at most for
/// handler_end_deadline, and not at all from within a call of the handler.
///
/// path    of the shared object; a relative path starts at the process's working folder
/// name    of the handler in lists and logs; empty: the name in the handler's table, or that of the file
/// config  passed to the handler unchanged
/// log     receives its log entries; null: they are written to standard error
/// An error names the file, and says what is wrong and what to do. No handler is loaded while 16 do not end. Throws
/// std::bad_alloc only. Any thread may call it.
///
/// A handler must serve one server only: messages that it sends by connection id go to the server of the connection
/// that it opened last.
Result<std::shared_ptr<AnyHandler>, std::string> load_handler(const std::string& path, std::string_view name = {},
                                                              std::string_view config = {}, HandlerLog log = {});

/// What load_within() runs. It must own what it uses, and must not throw.
using HandlerLoader = std::function<Result<std::shared_ptr<AnyHandler>, std::string>()>;

/// Runs `load` on a thread of its own, since the handler's constructors and create() may hang, and waits for the result
/// until the deadline or until `stop` is requested. After that it continues. A handler that it loads too late is ended
/// at once.
///
/// what  for errors and for ForeignCalls::states(): the path of the shared object
/// An error names `what`. At most ForeignCalls::most loads may hang; a further one is an error.
Result<std::shared_ptr<AnyHandler>, std::string> load_within(std::chrono::milliseconds deadline, std::stop_token stop,
                                                             const std::string& what, HandlerLoader load);

/// How long wsd and ServerControl wait for a handler to start, together with its trial. A trial takes 5 s at most
/// (HandlerTrial), and wsd-ctl waits 10 s for an answer.
inline constexpr std::chrono::milliseconds handler_load_deadline{8'000};

/// How long a thread waits for destroy() when it lets go of the last shared_ptr to a handler.
inline constexpr std::chrono::milliseconds handler_end_deadline{5'000};

/// While an object exists, its thread does not wait for destroy(). Use it to end many handlers at the same time; then
/// call wait_for_handler_ends().
class HandlersEndLater {
   public:
    HandlersEndLater() noexcept : within_another_(std::exchange(is_on_this_thread(), true)) {}
    HandlersEndLater(const HandlersEndLater&) = delete;
    HandlersEndLater& operator=(const HandlersEndLater&) = delete;
    ~HandlersEndLater() { is_on_this_thread() = within_another_; }

    /// Whether there is an object on this thread.
    static bool& is_on_this_thread() noexcept;

   private:
    const bool within_another_;
};

/// Waits until all destroy() that have begun have returned, at most for `most`. Returns whether they have. A program
/// whose main() returns before that unloads code that still runs.
bool wait_for_handler_ends(std::chrono::milliseconds most);

}  // namespace wsserver
