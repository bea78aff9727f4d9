// The running daemon: connects a server, its handlers, the log and the observer.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/config.hpp"
#include "wsd/handler_set.hpp"
#include "wsd/log.hpp"
#include "wsd/notify.hpp"
#include "wsserver/control/observer.hpp"
#include "wsserver/control/server_control.hpp"
#include "wsserver/server.hpp"

namespace wsd {

/// Why the daemon could not start, one line for each reason.
using StartErrors = std::vector<std::string>;

/// Executes commands on the observer's thread and signals on the main thread, so every function may be called on both.
class Daemon final : public wsserver::ServerControl {
   public:
    /// Reads the configuration again, from the same sources.
    using Reread = std::function<wsserver::Result<Config, ConfigErrors>()>;

    /// `log` is shared, since a thread that a handler blocks forever outlives the daemon and may still write to it.
    Daemon(Config config, std::shared_ptr<Log> log, Notifier notifier, Reread reread);
    ~Daemon() override;

    /// Listens, becomes the configured user, opens the spool, loads the handlers and starts the threads. Returns the
    /// URLs on which it listens.
    wsserver::Result<std::vector<std::string>, StartErrors> start();
    /// Returns when stop() was called and everything has ended; false if a command does not return, whose thread still
    /// uses this object. Precondition: start() succeeded.
    bool wait();
    /// Stops within the configured grace, which is for connections to close and for the command that is being executed.
    /// A second call stops at once. Returns without waiting. `why` is for the log.
    void stop_on(std::string_view why);
    void reopen_log();

    // ServerControl
    wsserver::StatusReport status() override;
    wsserver::Outcome load_handler(const std::string& subprotocol, const std::string& what) override;
    wsserver::Outcome unload_handler(const std::string& subprotocol) override;
    wsserver::Outcome set_log_level(const std::string& level) override;
    wsserver::Outcome reload() override;
    wsserver::Outcome drain() override;
    wsserver::Outcome stop() override;

   private:
    std::string source_of(const std::string& subprotocol) override;
    wsserver::Result<void, StartErrors> create_observer();
    wsserver::Result<void, StartErrors> load_handlers();
    wsserver::Result<void, StartErrors> listen();
    wsserver::Result<void, StartErrors> give_up_root();
    void wire_log();
    /// Applies a valid configuration. Precondition: mutex_ is locked.
    wsserver::Outcome apply(Config wanted);
    /// Logs the errors and keeps the old configuration.
    wsserver::Outcome refuse(const ConfigErrors& errors);
    std::string ready_text() const;
    std::chrono::milliseconds rest_of_grace() const;
    bool is_stopping() const;

    const std::shared_ptr<Log> log_;
    const Notifier notifier_;
    const Reread reread_;
    const Config started_with_;

    mutable std::timed_mutex mutex_;  ///< guards config_ and handlers_; locked while a handler is loaded
    Config config_;
    mutable std::mutex stop_mutex_;  ///< never locked over code of a handler, so that TERM is always obeyed
    std::chrono::milliseconds grace_;
    bool stopping_ = false;
    std::chrono::steady_clock::time_point stop_by_{};
    wsserver::Server server_;
    HandlerSet handlers_;

    std::unique_ptr<wsserver::Observer> observer_;  // last: its thread uses all other members
};

}  // namespace wsd
