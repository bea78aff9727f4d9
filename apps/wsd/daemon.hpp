// The running daemon: connects a server, its handlers, the log and the observer.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/config.hpp"
#include "wsd/connection_log.hpp"
#include "wsd/handler_set.hpp"
#include "wsd/log.hpp"
#include "wsd/notify.hpp"
#include "wsd/pid_file.hpp"
#include "wsserver/control/observer.hpp"
#include "wsserver/control/server_control.hpp"
#include "wsserver/server.hpp"

namespace wsd {

/// Why the daemon could not start, one line for each reason.
using StartErrors = std::vector<std::string>;

/// Executes commands on the observer's thread, signals on the main thread and reloads on a thread of their own, so
/// every function may be called on all of them. Code of a handler runs on other threads, and never under a lock.
class Daemon final : public wsserver::ServerControl {
   public:
    /// Reads the configuration again, from the same sources.
    using Reread = std::function<wsserver::Result<Config, ConfigErrors>()>;

    /// `log` is shared, since a thread that a handler blocks forever outlives the daemon and may still write to it.
    /// `pid_file` is null if there is none, and otherwise outlives the daemon; each reload completes it. `demo_command`
    /// is for the chat page: see chat_page_with().
    Daemon(Config config, std::shared_ptr<Log> log, PidFile* pid_file, Notifier notifier, Reread reread,
           std::string demo_command);
    ~Daemon() override;

    /// Listens, becomes the configured user, opens the spool, loads the handlers and starts the threads. Returns the
    /// URLs on which it listens. stop_on() ends it early; then is_stopping() says so.
    wsserver::Result<std::vector<std::string>, StartErrors> start();
    /// Returns when stop() was called and everything has ended; false if a command does not return, whose thread still
    /// uses this object. Precondition: start() succeeded.
    bool wait();
    /// Stops within the configured grace, which is for connections to close and for the command that is being executed.
    /// A second call stops at once. Returns without waiting. `why` is for the log. If the process has not ended some
    /// seconds after the grace, or a second after the second call, end_within() ends it.
    void stop_on(std::string_view why);
    bool is_stopping() const;
    /// What is left of the grace; 0 before stop_on().
    std::chrono::milliseconds rest_of_grace() const;
    void reopen_log();

    // ServerControl
    wsserver::StatusReport status() override;
    wsserver::Outcome load_handler(const std::string& subprotocol, const std::string& what) override;
    wsserver::Outcome unload_handler(const std::string& subprotocol, bool to_default) override;
    wsserver::Outcome reload_handler(const std::string& subprotocol) override;
    wsserver::Outcome reload_handlers() override;
    wsserver::Outcome set_log_level(const std::string& level) override;
    bool logs_failures() const noexcept override { return true; }
    wsserver::Outcome reload() override;
    /// Whether watch_handlers() must be called every second.
    bool watches_handlers() const noexcept { return started_with_.watch_handlers; }
    /// Reloads the shared objects whose files have changed.
    void watch_handlers();
    wsserver::Outcome drain() override;
    wsserver::Outcome undrain() override;
    wsserver::Outcome stop() override;

   private:
    std::string source_of(const std::string& subprotocol) override;
    wsserver::Result<void, StartErrors> create_observer();
    wsserver::Result<void, StartErrors> load_handlers();
    wsserver::Result<void, StartErrors> listen();
    wsserver::Result<void, StartErrors> give_up_root();
    void wire_log();
    wsserver::Result<std::vector<std::string>, StartErrors> start_or_fail();
    void log_calls_that_hang();
    void complete_pid_file();
    /// Reopens the log file. Returns what is wrong and yet no reason to refuse the configuration.
    std::vector<std::string> open_log_of(const Config& wanted);
    /// Applies a valid configuration. Precondition: changing_ is locked.
    wsserver::Outcome apply(Config wanted);
    /// Reloads the code of handlers, and logs it. Precondition: changing_ is locked.
    wsserver::Outcome reload_code(const std::vector<std::string>& subprotocols);
    /// Logs what a reload has done. Returns the same for the answer.
    std::string report_reload(const std::vector<std::string>& changes, const std::vector<std::string>& warnings);
    /// Logs the errors and keeps the old configuration. They are not logged if a stop may have caused them.
    wsserver::Outcome refuse(const ConfigErrors& errors);
    std::string ready_text() const;

    const std::shared_ptr<Log> log_;
    const std::shared_ptr<ConnectionLog> connection_log_;  ///< shared for the same reason
    PidFile* const pid_file_;                              ///< guarded by changing_
    const Notifier notifier_;
    const Reread reread_;
    const std::string demo_command_;
    const Config started_with_;

    std::timed_mutex changing_;  ///< locked during a change of the handlers, which waits for loads; guards config_
    Config config_;
    std::atomic<int> stops_{0};      ///< calls of stop_on()
    std::stop_source give_up_{};     ///< wait for no handler any more
    mutable std::mutex stop_mutex_;  ///< guards the members below; locked only for moments, so that TERM is obeyed
    std::chrono::milliseconds grace_;
    bool started_ = false;
    std::chrono::steady_clock::time_point stop_by_{};
    wsserver::Server server_;
    HandlerSet handlers_;

    std::unique_ptr<wsserver::Observer> observer_;  // last: its thread uses all other members
};

}  // namespace wsd
