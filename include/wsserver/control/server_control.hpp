// Commands for a server in one's own program: with an Observer over it, wsd-ctl and the spool work there as with wsd.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/control/control_target.hpp"
#include "wsserver/server.hpp"

namespace wsserver {

/// The statistics by name, as `status` shows them; `open` and `closes` apart.
std::vector<std::pair<std::string, std::uint64_t>> counters_of(const ServerStatistics& s);

/// Executes commands for a Server. `log-level` and `reload` fail here: derive from it to add what the program around
/// the server knows, as wsd does.
class ServerControl : public ControlTarget {
   public:
    struct About {
        std::string program = "wsserver";
        std::string version{};
        std::chrono::milliseconds grace{std::chrono::seconds{10}};  ///< for `stop`
    };
    /// `server` must outlive it.
    explicit ServerControl(Server& server) : ServerControl(server, About{}) {}
    ServerControl(Server& server, About about) : server_(server), about_(std::move(about)) {}

    StatusReport status() override;
    std::vector<ConnectionInfo> list() override { return server_.list(); }
    std::vector<std::uint16_t> stalled_reactors() override { return server_.stalled_reactors(); }
    std::optional<ConnectionInfo> show(ConnectionId id) override { return server_.info(id); }
    std::shared_ptr<Hub> hub() override { return server_.hub(); }

    std::vector<HandlerReport> handlers() override;
    std::shared_ptr<AnyHandler> find_handler(std::string_view name) override;
    /// Built-in handlers and shared objects.
    Outcome load_handler(const std::string& subprotocol, const std::string& what) override;
    /// Its connections are closed with 1001.
    Outcome unload_handler(const std::string& subprotocol) override;

    Outcome set_log_level(const std::string& level) override;
    Outcome reload() override;
    Outcome drain() override;
    Outcome stop() override;
    std::string version() override;

   protected:
    /// Since the construction.
    std::chrono::milliseconds uptime() const;
    /// Stops the server, which drains until it has ended: what stop() does, with a grace of its own.
    void stop_within(std::chrono::milliseconds grace);
    /// Where the handler of that subprotocol comes from, for reports: `built in`, a path, or empty if it is not known.
    virtual std::string source_of(const std::string& subprotocol);

   private:
    Server& server_;
    const About about_;
    const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    std::atomic<bool> draining_{false};
};

}  // namespace wsserver
