// A WebSocket server: one object that owns the reactors, the connections and the workers.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/handshake/limits.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsserver {

/// How a server does its I/O.
enum class TransportKind : std::uint8_t {
    automatic,  ///< io_uring if the kernel has and permits it, else Asio
    asio,       ///< Boost.Asio, which uses epoll
    uring,      ///< as automatic, but logs a warning if Asio is used
};

/// The options of a Server. Every option has a default that works.
struct ServerOptions {
    std::size_t io_threads = 0;                          ///< reactor threads; 0: one for each core
    std::size_t workers = 0;                             ///< threads for pooled handlers; 0: one for each core
    TransportKind transport = TransportKind::automatic;  ///< how the reactors do their I/O

    std::string server_name = "wsserver";  ///< the Server field of HTTP responses; empty: no such field
    /// Refuse an unknown subprotocol with 400 instead of declining it (RFC 6455 §4.2.2 allows both).
    bool strict_subprotocol = false;
    /// Origins that are allowed in addition to the server's own host; "*" allows all. Clients that send no origin are
    /// always allowed.
    std::vector<std::string> allowed_origins{};
    HandshakeLimits handshake{};                          ///< limits of the opening handshake's request
    std::chrono::milliseconds handshake_timeout{10'000};  ///< for the opening handshake

    std::size_t max_message = std::size_t{16} << 20;  ///< most bytes of a message; over it: close code 1009
    std::size_t max_fragments = 131'072;              ///< most frames of a message; over it: close code 1009

    std::size_t send_high_mark = std::size_t{1} << 20;  ///< queued bytes at which the connection stops receiving
    std::size_t send_hard_limit = std::size_t{16}
                                  << 20;               ///< queued bytes at which `slow_consumer` applies to all sends
    SlowConsumer slow_consumer = SlowConsumer::close;  ///< what happens if the send queue is full

    std::chrono::milliseconds ping_interval{25'000};  ///< silence of the peer before a ping; 0: no pings
    std::chrono::milliseconds pong_timeout{20'000};   ///< silence after that ping before the connection ends (1006)

    /// For the answer to a Close frame, from when that has left, and then for the end of the stream. Before that, for
    /// the peer to take any byte of what is queued.
    std::chrono::milliseconds close_timeout{5'000};

    /// The most connections; 0: 90 % of the descriptor limit. Further ones get a 503 with Retry-After.
    std::size_t max_connections = 0;
    std::chrono::milliseconds handler_deadline{5'000};  ///< a pooled reaction that takes longer is reported
};

/// Counters since the start. Every drop, refusal and close is in one of them.
struct ServerStatistics {
    std::size_t open = 0;                             ///< connections now, including those in a handshake
    std::uint64_t accepted = 0;                       ///< streams
    std::uint64_t opened = 0;                         ///< opening handshakes that succeeded
    std::uint64_t refused = 0;                        ///< opening handshakes answered with a 4xx or 5xx
    std::uint64_t http_answered = 0;                  ///< plain HTTP requests that the program answered
    std::uint64_t turned_away = 0;                    ///< connections over max_connections
    std::uint64_t accept_pauses = 0;                  ///< pauses of accepting because descriptors ran out
    std::uint64_t handshake_timeouts = 0;             ///< connections ended by handshake_timeout
    std::uint64_t pong_timeouts = 0;                  ///< connections ended by pong_timeout
    std::uint64_t close_timeouts = 0;                 ///< connections ended by close_timeout
    std::uint64_t slow_consumers = 0;                 ///< connections closed with 1013
    std::uint64_t messages_dropped = 0;               ///< messages dropped by the policy for slow consumers
    std::uint64_t handler_exceptions = 0;             ///< connections closed with 1011
    std::uint64_t handlers_overdue = 0;               ///< pooled reactions over handler_deadline
    std::uint64_t messages_in = 0;                    ///< messages received
    std::uint64_t messages_out = 0;                   ///< messages sent
    std::uint64_t bytes_in = 0;                       ///< bytes received on the wire, including opening handshakes
    std::uint64_t bytes_out = 0;                      ///< bytes sent on the wire, including opening handshakes
    std::map<std::uint16_t, std::uint64_t> closes{};  ///< ended connections by close code
};

/// The current state of a worker.
struct WorkerState {
    std::string task{};                 ///< the handler's name; empty: the worker is idle
    std::chrono::milliseconds since{};  ///< how long the worker has been running the task
    bool overdue = false;               ///< the reaction takes longer than handler_deadline
};

/// What a stop left behind, because a handler did not return in time. The handlers still run and are destroyed when
/// they return, but no other callback of the program is called any more.
struct StopReport {
    std::vector<std::string> handlers{};      ///< names of the handlers that have not returned; one for each thread
    std::vector<ConnectionId> connections{};  ///< on_open() was called for them, and on_close() will not be

    /// True if all handlers have returned, and each on_open() was followed by its on_close().
    bool complete() const noexcept { return handlers.empty() && connections.empty(); }
};

/// A WebSocket server. Any thread may call its members, unless they say otherwise.
class Server {
   public:
    /// A server with threads of its own, which start() or run() starts.
    explicit Server(ServerOptions options = {});
    /// A server with one reactor on the caller's loop. io_threads and transport are ignored. `context` must outlive the
    /// server, and only one thread may run it.
    Server(boost::asio::io_context& context, ServerOptions options = {});
    /// Stops the server at once if it still runs, as stop() with no grace period does. Any thread, except from a
    /// callback of this server. When it has returned, no callback of the program begins any more, and all handlers are
    /// destroyed, except those that have not returned after one second.
    ///
    /// On the caller's loop: waits for the loop's thread, at most one second and only if the loop runs. If the loop has
    /// stopped, on_close() is called only if this is its thread; otherwise the connections end with `context`.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Serves a subprotocol with `handler`. If the subprotocol had a handler, new connections get the new one and open
    /// connections keep theirs. The empty name sets the default handler, for clients that ask for no subprotocol.
    void handle(std::string subprotocol, std::shared_ptr<AnyHandler> handler);
    /// Same with an object of any class that reacts to messages; see make_handler().
    template <class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>) void handle(std::string subprotocol, H handler) {
        auto name = subprotocol.empty() ? std::string{"default"} : subprotocol;
        handle(std::move(subprotocol), make_handler(std::move(name), std::move(handler)));
    }
    /// Sets the default handler.
    template <class H>
    requires(!std::convertible_to<H, std::string>) void handle(H handler) { handle(std::string{}, std::move(handler)); }
    /// Stops offering the subprotocol and closes its open connections with `code`. Returns false if it had no handler.
    bool remove_handler(std::string_view subprotocol, CloseCode code = CloseCode::going_away);
    /// All subprotocols and their handlers, in order of subprotocol.
    std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> handlers() const;

    /// Answers a request that is not an upgrade, for example for a page or a health check. The response to an empty
    /// result is 426.
    using HttpAnswer = std::function<std::optional<HttpResponse>(const HttpRequest&)>;
    /// Sets the function that answers plain HTTP requests. Reactor threads call it. Must be called before start().
    void on_http(HttpAnswer answer);
    /// Sets a function that is called exactly once for the end of each connection, on a reactor thread. Must be called
    /// before start().
    void on_end(std::function<void(const ConnectionEnd&)> listener);
    /// Sets a function that receives log lines for operators (accepting is paused, a handler is overdue, ...). Any
    /// thread calls it. Its exceptions are ignored. Must be called before start().
    void on_log(std::function<void(LogLevel, std::string_view)> listener);

    /// Binds and listens on `HOST:PORT`, `[HOST]:PORT`, `:PORT` (all addresses) or `unix:PATH`. May be called several
    /// times. Port 0 chooses a free port. Returns the URL of the endpoint: `ws://127.0.0.1:8080`,
    /// `ws+unix:/run/x.sock`. An error names the address and says what to do.
    Result<std::string, std::string> listen(std::string_view endpoint);

    /// Starts the threads and returns at once. On the caller's loop: starts to serve.
    void start();
    /// Calls start() and waits until stop() or request_stop() is done. Returns the report of stop().
    StopReport run();
    /// Refuses new connections, closes all with 1001, waits for them for at most `grace`, terminates the rest and ends
    /// the threads. Returns when that is done, at most one second after `grace`, whatever the handlers do. Further
    /// calls return the same report.
    ///
    /// Must not be called from a handler, which can use request_stop(). Called on a reactor's thread it is the same as
    /// request_stop(), and the report is empty. On the caller's loop: if the loop has not begun to run, ends the server
    /// at once.
    [[nodiscard]] StopReport stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    /// Same as stop(), but returns at once. run() returns when it is done.
    void request_stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    /// Stops listening and keeps the open connections.
    void drain();
    /// Replaces limits, times, origins and names, also for open connections. Does not change io_threads, workers,
    /// transport and max_connections.
    void reconfigure(const ServerOptions& options);

    /// The hub, which reaches connections from any thread. It stays valid after the server is gone.
    std::shared_ptr<Hub> hub() const;

    /// All connections, in order of id. Asks the reactors and waits for their answers, so it must not be called from an
    /// inline handler. If an inline handler blocks a reactor for more than 2 s, its connections are missing.
    std::vector<ConnectionInfo> list() const;
    /// One connection; nothing if it is gone or its reactor is stalled. Waits like list().
    std::optional<ConnectionInfo> info(ConnectionId id) const;
    /// The numbers of the reactors that have not answered list() or info() in time. Later calls do not wait for them
    /// until they have answered.
    std::vector<std::uint16_t> stalled_reactors() const;
    /// The counters of the whole server.
    ServerStatistics statistics() const;
    /// The state of each worker; empty if there was no connection with a pooled handler yet.
    std::vector<WorkerState> workers() const;
    /// The URLs of all endpoints, as listen() returned them. Empty after a stop.
    std::vector<std::string> listening() const;
    /// The number of reactors.
    std::size_t io_threads() const noexcept;

   private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace wsserver
