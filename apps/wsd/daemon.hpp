// The daemon at work: a server, its handlers and who gives it commands, wired together.
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

/// Why it could not start, a line each.
using StartErrors = std::vector<std::string>;

/// Commands come on the observer's thread, signals on the main one: everything here may be called on both.
class Daemon final : public wsserver::ServerControl {
   public:
    /// Reads the configuration anew, from the sources that it came from.
    using Reread = std::function<wsserver::Result<Config, ConfigErrors>()>;

    /// `log` is kept by whatever may still want to write to it: a thread that a handler blocks for ever outlives
    /// the daemon.
    Daemon(Config config, std::shared_ptr<Log> log, Notifier notifier, Reread reread);
    ~Daemon() override;

    /// Takes the spool, loads the handlers, listens, starts the threads. Returns where it listens, as URLs.
    wsserver::Result<std::vector<std::string>, StartErrors> start();
    /// Until stop() was called and everything has ended. Precondition: start() was successful.
    void wait();
    /// The second time at once. Returns without waiting.
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
    void wire_log();
    /// What to do with a configuration that is in order; mutex_ is held.
    wsserver::Outcome apply(Config wanted);
    wsserver::Outcome refuse(const ConfigErrors& errors);
    std::string ready_text() const;

    const std::shared_ptr<Log> log_;
    const Notifier notifier_;
    const Reread reread_;
    const Config started_with_;

    mutable std::mutex mutex_;
    Config config_;
    wsserver::Server server_;
    HandlerSet handlers_;
    bool stopping_ = false;

    std::unique_ptr<wsserver::Observer> observer_;  // its thread uses all of the above, so it goes first
};

}  // namespace wsd
