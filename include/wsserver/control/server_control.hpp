// Commands for a server inside any program. With an Observer, wsd-ctl and the spool work as they do with wsd.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/control/control_target.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"
#include "wsserver/server.hpp"

namespace wsserver {

/// The counts since the start by name, in the order of `status`; without `closes` and `refusals`, and without the
/// numbers of now (`open`, `memory`, `rooms`, ...), which are members of StatusReport.
std::vector<std::pair<std::string, std::uint64_t>> counters_of(const ServerStatistics& s);

/// A call of a handler, for `status`. It hangs if it takes longer than its caller waits: handler_load_deadline for
/// create(), and handler_end_deadline for destroy() and on_command().
CallReport report_of(ForeignCalls::State call);

/// Executes commands for a Server. `log-level` and `reload` fail, since a server has no log and no configuration:
/// derive from this class to add them, as wsd does. Functions may be called from any thread. They throw std::bad_alloc
/// only.
class ServerControl : public ControlTarget {
   public:
    /// The program around the server.
    struct About {
        std::string program = "wsserver";                           ///< its name, for `status`
        std::string version{};                                      ///< its version, for `status`; may be empty
        std::chrono::milliseconds grace{std::chrono::seconds{10}};  ///< for connections to close after `stop`
    };
    /// `server` must outlive this object.
    explicit ServerControl(Server& server) : ServerControl(server, About{}) {}
    /// Same, for a program with a name and a version of its own.
    ServerControl(Server& server, About about) : server_(server), about_(std::move(about)) {}

    StatusReport status() override;
    std::vector<ConnectionInfo> list() override { return server_.list(); }
    std::vector<std::uint16_t> stalled_reactors() override { return server_.stalled_reactors(); }
    std::optional<ConnectionInfo> show(ConnectionId id) override { return server_.info(id); }
    std::shared_ptr<Hub> hub() override { return server_.hub(); }

    std::vector<HandlerReport> handlers() override;
    std::shared_ptr<AnyHandler> find_handler(std::string_view name) override;
    Outcome load_handler(const std::string& subprotocol, const std::string& what) override;
    Outcome unload_handler(const std::string& subprotocol, bool to_default) override;
    Outcome reload_handler(const std::string& subprotocol) override;
    Outcome reload_handlers() override;

    Outcome set_log_level(const std::string& level) override;
    Outcome reload() override;
    Outcome drain() override;
    Outcome undrain() override;
    Outcome stop() override;
    std::string version() override;

   protected:
    /// Time since the construction.
    std::chrono::milliseconds uptime() const;
    /// As stop(), with another grace. From now on status() reports that the server drains.
    void stop_within(std::chrono::milliseconds grace);
    /// For HandlerReport::source.
    virtual std::string source_of(const std::string& subprotocol);

   private:
    Server& server_;
    const About about_;
    const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    std::atomic<bool> draining_{false};
};

}  // namespace wsserver
