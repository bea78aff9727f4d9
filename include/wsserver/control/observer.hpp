// One thread that executes commands from the spool and from lines on a descriptor (`--control-stdin`). It needs no
// worker, so commands work even if every worker is stuck.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/control/control_target.hpp"
#include "wsserver/control/spool.hpp"

namespace wsserver {

/// Where an Observer gets its commands, and when it looks for them.
struct ObserverOptions {
    SpoolOptions spool{};  ///< an empty path: no spool

    bool use_inotify = true;                           ///< false: look into new/ at intervals only
    std::chrono::milliseconds poll_interval{200};      ///< between looks into new/ without inotify
    std::chrono::milliseconds safety_interval{2'000};  ///< between looks with inotify, whose events can be lost
    std::chrono::milliseconds retry_interval{1'000};   ///< after a full disk and similar trouble
    std::chrono::milliseconds sweep_interval{30'000};  ///< between rounds that remove old files
    std::chrono::milliseconds stop_patience{1'000};    ///< for a command to return after it was given up

    /// Descriptors for command lines and their answers; -1: none. They are not closed, and may be blocking. An answer
    /// is a line `ok` or `error CODE TEXT`, the output, and an empty line.
    int control_in = -1;
    int control_out = -1;  ///< for the answers; see `control_in`

    /// Requested when the command that is being executed is given up. For a target whose functions wait.
    std::stop_source give_up{};

    /// Receives one line for each command with its result, and for trouble with the spool. Called on the observer's
    /// thread; exceptions are ignored. Payloads are never logged.
    std::function<void(LogLevel, std::string_view)> log{};
};

/// Executes commands on its own thread. Members throw std::bad_alloc when memory runs out.
class Observer {
   public:
    /// Opens the spool and takes its lock, so that a second daemon on the same spool fails before it does anything.
    /// `target` must outlive the observer. An error says what is wrong and what to do.
    static Result<std::unique_ptr<Observer>, std::string> create(ControlTarget& target, ObserverOptions options);
    /// stop() without a grace. Waits for the thread.
    ~Observer();
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;

    /// Starts the thread. Commands that are in the spool already are executed first. Call it once. Throws
    /// std::system_error if the thread cannot be started.
    void start();
    /// Ends the thread. Takes no further command and waits at most `grace` for the one that is being executed. If it is
    /// not done by then, a command file is not answered: it stays in the spool, and the next daemon executes it again.
    /// A command line gets CommandErrc::stopping. From any thread except the observer's own.
    ///
    /// returns  false  the command does not return even so, such as a handler that hangs while it is loaded. The thread
    ///                 still runs and uses `target`
    bool stop(std::chrono::milliseconds grace = {});
    /// Takes no further command and ends the wait for the one that is being executed, and so that of a stop() that
    /// another thread has called. From any thread.
    void give_up();

    /// Sets new limits for the spool. Its path stays. From any thread.
    void reconfigure(const SpoolOptions& spool);

   private:
    struct Impl;
    explicit Observer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace wsserver
