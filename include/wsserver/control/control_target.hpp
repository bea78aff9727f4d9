// What commands act on: a server, and the program around it.
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

/// A handler, where it comes from and how many connections it has. One row of `handler list`.
struct HandlerReport {
    std::string subprotocol{};     ///< empty: the default handler
    std::string handler{};         ///< its name
    std::string source{};          ///< `built in`, or the path of its shared object; empty: not known
    Runs runs = Runs::inline_;     ///< on the reactor threads or on workers
    std::size_t connections = 0;   ///< open now
    std::uint64_t version = 1;     ///< of its code: how often it was loaded while connections stayed open
    std::size_t old = 0;           ///< of these connections, those that an earlier version of the code still serves
    std::size_t old_versions = 0;  ///< of the code that have not ended
};

/// What one worker is doing.
struct WorkerReport {
    std::string handler{};              ///< the handler that it runs; empty: the worker is idle
    std::chrono::milliseconds since{};  ///< how long the handler has been running
    bool overdue = false;               ///< longer than ServerOptions::handler_deadline: the handler hangs
};

/// A handler that has work for the workers.
struct QueueReport {
    std::string handler{};    ///< its name
    std::size_t waiting = 0;  ///< connections with messages that wait for a worker
    std::size_t running = 0;  ///< workers that run it
};

/// A call of a handler's create(), destroy() or on_command() that has not returned.
struct CallReport {
    std::string call{};                 ///< which: `create() of ./rooms.so`
    std::chrono::milliseconds since{};  ///< how long it has been running
    bool overdue = false;               ///< longer than its caller waited: it hangs
};

/// The output of `status`.
struct StatusReport {
    std::string program{};                          ///< its name: `wsd`
    std::string version{};                          ///< of the program: `0.1.0`
    std::int64_t pid = 0;                           ///< the process id of the program
    std::chrono::milliseconds uptime{};             ///< since the start
    bool draining = false;                          ///< no new connections are accepted
    std::vector<std::string> listening{};           ///< URLs
    std::size_t connections = 0;                    ///< open now
    std::size_t memory = 0;                         ///< bytes that their messages, queues and mailboxes hold now
    std::size_t memory_limit = 0;                   ///< the most bytes that they may hold; 0: unlimited
    std::size_t paused_for_memory = 0;              ///< connections that are not read now because memory is short
    std::size_t rooms = 0;                          ///< with members now
    std::size_t memberships = 0;                    ///< of connections in rooms, now
    std::size_t users = 0;                          ///< with connections now
    std::size_t io_threads = 0;                     ///< reactors, each with a thread
    std::vector<std::uint16_t> stalled_reactors{};  ///< numbers of I/O threads that do not answer
    std::vector<HandlerReport> handlers{};          ///< as ControlTarget::handlers()
    std::vector<WorkerReport> workers{};            ///< one for each worker
    std::vector<QueueReport> queues{};              ///< one for each handler that has work for the workers
    std::vector<CallReport> calls{};                ///< calls of handlers on threads of their own, in this process
    /// Counts since the start by name (`messages_in`, ...), in the order in which they are shown.
    std::vector<std::pair<std::string, std::uint64_t>> counters{};
    std::map<std::uint16_t, std::uint64_t> closes{};  ///< ended connections by close code
    std::map<unsigned, std::uint64_t> refusals{};     ///< refused connections by HTTP status
};

/// A text for people: what was done, or what is wrong and what to do.
using Outcome = Result<std::string, std::string>;

/// What commands act on. An observer calls it from its own thread, one call at a time. No function may wait for a
/// worker: workers can hang, and the observer must answer nevertheless. What a function throws is the answer to the
/// command, with the code `failed`.
class ControlTarget {
   public:
    virtual ~ControlTarget() = default;

    /// What the server and the program are doing. Reactors that do not answer are in `stalled_reactors`; their
    /// connections may be missing in `handlers`.
    virtual StatusReport status() = 0;
    /// All connections of reactors that answer, in order of id.
    virtual std::vector<ConnectionInfo> list() = 0;
    /// One connection, or nothing if it is not open or its reactor does not answer.
    virtual std::optional<ConnectionInfo> show(ConnectionId id) = 0;
    /// Reactors that an inline handler blocks: list() and show() do not know their connections.
    virtual std::vector<std::uint16_t> stalled_reactors() = 0;
    /// Reaches the connections. Never null.
    virtual std::shared_ptr<Hub> hub() = 0;

    /// Handlers in order of subprotocol, the default handler first.
    virtual std::vector<HandlerReport> handlers() = 0;
    /// The handler of that subprotocol, or else of that name; null if there is none. The pointer stays valid after the
    /// handler has been unloaded.
    virtual std::shared_ptr<AnyHandler> find_handler(std::string_view name) = 0;
    /// Serves `subprotocol` (empty: clients without one) with a handler for new connections; open ones keep theirs.
    /// `what` is the name of a built-in handler or the path of a shared object.
    virtual Outcome load_handler(const std::string& subprotocol, const std::string& what) = 0;
    /// Stops serving `subprotocol`. Closes its connections with 1012, or passes them to the default handler.
    virtual Outcome unload_handler(const std::string& subprotocol, bool to_default) = 0;
    /// Loads the shared object of `subprotocol` again, and that serves the open connections, too.
    virtual Outcome reload_handler(const std::string& subprotocol) = 0;
    /// Does so with all shared objects. On an error, those that it does not name are loaded nevertheless.
    virtual Outcome reload_handlers() = 0;

    /// `level`: debug, info, warning or error.
    virtual Outcome set_log_level(const std::string& level) = 0;
    /// Whether reload() and undrain() log why they fail. Then the observer logs only the code of the answer.
    virtual bool logs_failures() const noexcept { return false; }
    /// Reads the configuration again.
    virtual Outcome reload() = 0;
    /// Stops accepting. Open connections stay.
    virtual Outcome drain() = 0;
    /// Accepts again. Does nothing if the server is not draining.
    virtual Outcome undrain() = 0;
    /// Begins to stop and returns at once, since the answer must still be written.
    virtual Outcome stop() = 0;
    /// Program and version: `wsd 0.1.0`.
    virtual std::string version() = 0;
};

}  // namespace wsserver
