// One thread that takes commands: from the spool, and from lines on a descriptor (`--control-stdin`). It executes them
// itself and so waits for no worker: with every worker stuck, commands still come through.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/control/control_target.hpp"
#include "wsserver/control/spool.hpp"

namespace wsserver {

struct ObserverOptions {
    SpoolOptions spool{};  ///< an empty path: no spool

    bool use_inotify = true;                           ///< false: as if the kernel had none left
    std::chrono::milliseconds poll_interval{200};      ///< between looks into new/ where there is no inotify
    std::chrono::milliseconds safety_interval{2'000};  ///< and where there is: an event may get lost
    std::chrono::milliseconds retry_interval{1'000};   ///< after a full disk and the like
    std::chrono::milliseconds sweep_interval{30'000};

    /// Lines of words, one command each, and where their answers go; -1: none. Not closed, and left blocking as
    /// they are. An answer is its first line (`ok` or `error CODE TEXT`), the output, and an empty line.
    int control_in = -1;
    int control_out = -1;

    /// Each command and what became of it; trouble with the spool. Called on the observer's thread; one line each.
    std::function<void(LogLevel, std::string_view)> log{};
};

class Observer {
   public:
    /// Opens the spool and takes its lock, so that a second daemon on the same spool fails before it does anything.
    /// An error says what is wrong and what to do. `target` must outlive the observer.
    static Result<std::unique_ptr<Observer>, std::string> create(ControlTarget& target, ObserverOptions options);
    ~Observer();
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;

    /// Begins to execute; what lay in the spool already goes first. Once.
    void start();
    /// Returns when the command that is being executed is done and answered. May be called again, from any thread
    /// but the observer's own.
    void stop();

    /// Takes new limits for the spool; its path and the rest stay. From any thread.
    void reconfigure(const SpoolOptions& spool);

   private:
    struct Impl;
    explicit Observer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace wsserver
