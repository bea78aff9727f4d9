// What commands act upon: a server, and what only the program around it knows how to do.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/hub.hpp"

namespace wsserver {

/// A handler, where it comes from and how many use it.
struct HandlerReport {
    std::string subprotocol{};  ///< empty: the default handler
    std::string handler{};      ///< its name
    std::string source{};       ///< `built in`, or the path of its shared object; empty: not known
    Runs runs = Runs::inline_;
    std::size_t connections = 0;
};

/// What one worker does now.
struct WorkerReport {
    std::string handler{};  ///< empty: it waits for work
    std::chrono::milliseconds since{};
    bool overdue = false;  ///< longer than the deadline for handlers: it hangs
};

/// `status`.
struct StatusReport {
    std::string program{};
    std::string version{};
    std::int64_t pid = 0;
    std::chrono::milliseconds uptime{};
    bool draining = false;                 ///< it takes no new connections
    std::vector<std::string> listening{};  ///< as URLs
    std::size_t connections = 0;           ///< open now
    std::size_t io_threads = 0;
    std::vector<std::uint16_t> stalled_reactors{};  ///< those of the io threads that don't answer
    std::vector<HandlerReport> handlers{};
    std::vector<WorkerReport> workers{};
    /// What happened since the start, by name (`messages_in`, ...), in the order in which it is shown.
    std::vector<std::pair<std::string, std::uint64_t>> counters{};
    std::map<std::uint16_t, std::uint64_t> closes{};  ///< connections that ended, by close code
};

/// What is said to people when it worked, or what was wrong and what to do.
using Outcome = Result<std::string, std::string>;

/// Called from one thread at a time, that of the observer. Nothing here may wait for a worker: workers can hang.
class ControlTarget {
   public:
    virtual ~ControlTarget() = default;

    virtual StatusReport status() = 0;
    /// All connections, ordered by id.
    virtual std::vector<ConnectionInfo> list() = 0;
    virtual std::optional<ConnectionInfo> show(ConnectionId id) = 0;
    /// The numbers of reactors whose connections list() and show() don't know, as inline handlers block them.
    virtual std::vector<std::uint16_t> stalled_reactors() = 0;
    virtual std::shared_ptr<Hub> hub() = 0;

    virtual std::vector<HandlerReport> handlers() = 0;
    /// The handler of that subprotocol, or of that name; null if there is none. It stays valid when it is unloaded.
    virtual std::shared_ptr<AnyHandler> find_handler(std::string_view name) = 0;
    /// `what`: the name of a built-in handler, or the path of a shared object. An empty subprotocol: the default.
    virtual Outcome load_handler(const std::string& subprotocol, const std::string& what) = 0;
    virtual Outcome unload_handler(const std::string& subprotocol) = 0;

    virtual Outcome set_log_level(const std::string& level) = 0;
    virtual Outcome reload() = 0;
    /// Stops listening; connections stay.
    virtual Outcome drain() = 0;
    /// Begins to stop and returns: the answer has still to be written.
    virtual Outcome stop() = 0;
    /// Program and version: `wsd 0.1.0`.
    virtual std::string version() = 0;
};

}  // namespace wsserver
