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

#include "wsserver/base/callback.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/log_level.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/base/unique_function.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/connection_options.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/connection/server_handlers.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/scheduling/priority.hpp"

namespace wsserver {

/// How a server does its I/O.
enum class TransportKind : std::uint8_t {
    automatic,  ///< io_uring if the kernel has and permits it, else Asio
    asio,       ///< Boost.Asio, which uses epoll
    uring,      ///< as automatic, but logs a warning if Asio is used
};

/// The options of a Server. Every option has a default that works.
struct ServerOptions {
    std::size_t io_threads = 0;  ///< reactor threads; 0: one for each core
    /// Threads for pooled handlers; 0: one for each core and one more. One handler runs on all but one of them at most,
    /// so that another handler never waits for it. With one worker, handlers take turns.
    std::size_t workers = 0;
    TransportKind transport = TransportKind::automatic;  ///< how the reactors do their I/O

    std::string server_name = "wsserver";  ///< the Server field of HTTP responses; empty: no such field
    /// Refuse every client that offers only unknown subprotocols with 400. Otherwise they are declined (RFC 6455 §4.2.2
    /// allows both), except for a client that sends an Origin: browsers fail such a connection, so it is refused.
    bool strict_subprotocol = false;
    /// Origins that are allowed in addition to the server's own host: `https://app.example`, `https://*.example.org`,
    /// `*` for all; see is_origin() in handshake/origin.hpp. Clients that send no origin are always allowed.
    std::vector<std::string> allowed_origins{};
    /// The server's own hosts, without a port, besides localhost, *.localhost, 127.0.0.0/8 and [::1]:
    /// `www.example.org`, `*.example.org`, `*` for all. An opening handshake for another Host is refused with 421.
    /// Empty: every Host is the server's own, except that of a client with a loopback address, which may be a web page
    /// that uses DNS rebinding. Required behind a proxy that connects over loopback and that is not in trusted_proxies.
    /// Plain HTTP requests are not checked.
    std::vector<std::string> hosts{};
    /// The proxies that name their client: addresses, networks such as `10.0.0.0/8`, and `unix`; see TrustedProxies.
    /// From their requests on, the address of the client is that of the connection: in AnyConnection::peer(), lists and
    /// reports. A list with an error trusts no one, and a log line says so. No one else can change its address.
    std::vector<std::string> trusted_proxies{};
    /// The header field in which they do so: see client_address() in handshake/proxies.hpp. It must be one that each of
    /// them appends to or replaces. Others could come from the client.
    std::string client_address_field = "X-Forwarded-For";
    /// The names of header fields that each connection keeps for AnyConnection::request_field(), besides what the
    /// library needs. Connections whose fields are equal may share them; others keep their bytes as long as they exist.
    std::vector<std::string> kept_fields{};

    ConnectionOptions connection{};  ///< the limits and timeouts of each connection

    /// The most bytes that messages, queues and mailboxes of all connections may hold together. From three quarters of
    /// it on, reading is paused for those that hold most, for a minute or message_timeout at most; over it and after
    /// that they are closed with 1013, and over it opening handshakes get a 503. Plain requests whose bodies are kept
    /// are treated alike, with a 503 instead of the 1013. A message of more than three quarters of it is closed with
    /// 1009, and such a body gets a 413. 0: half of the memory of the machine or of the cgroup.
    std::size_t memory_limit = 0;
    /// The most connections; 0: 90 % of the descriptor limit. Further ones get a 503 with Retry-After. Clients that are
    /// being refused, or that had a plain request answered, do not count as long as they are 256 and 5 % of the
    /// descriptor limit at most.
    std::size_t max_connections = 0;
    /// The most clients that are accepted in a second, or at once after a second without any; 0: unlimited. As many
    /// again get a 503 with Retry-After or, to plain HTTP requests, their answer. Further ones are closed. At most
    /// 2^32 - 1.
    std::size_t connections_per_second = 0;
    /// The limits of all clients of one address together: of an IPv4 address, or of the first 64 bits of an IPv6
    /// address. Clients of Unix sockets have none. Off by default, since many people may share an address, and a
    /// proxy that is not trusted is one, too. Clients of trusted proxies count when their opening handshakes were read,
    /// and their plain HTTP requests do not count. New
    /// connections over a limit get a 429 with Retry-After or, to plain HTTP requests, their answer, ten of them in a
    /// second; further ones are closed. A client that was refused, or had a plain request answered, counts no more,
    /// except in connections_per_second. Messages and bytes over a limit wait as they do by
    /// ConnectionOptions::receive_rates, an eighth of a second or longer; which client of the address may send next is
    /// random.
    ///
    /// The numbers are those of the whole server. Each I/O thread may keep a hundredth of a second's messages and bytes
    /// for itself. Besides the addresses that have connections, the server remembers 16384 that had some within the
    /// last second; of more, the oldest are forgotten and counted in ServerStatistics::limits_forgotten.
    GroupLimits per_address{};
    /// The same for all connections of a user together, from Admission::user or AnyConnection::set_user() on. The
    /// second answers `dropped` over a limit.
    GroupLimits per_user{};
    std::chrono::milliseconds handler_deadline{5'000};  ///< a pooled reaction that takes longer is reported

    /// A reactor that does not run for longer, because an inline handler blocks it, has stalled: its new clients are
    /// served by other reactors. So has one whose requests the kernel does not end. If all have stalled, opening
    /// handshakes are refused with 503. 0: reactors are not watched, nor are they on the caller's loop. Set when the
    /// server starts; reconfigure() does not change it.
    std::chrono::milliseconds reactor_deadline{1'000};
};

/// How a server listens at an endpoint.
struct ListenOptions {
    /// Each connection begins with a header of the PROXY protocol, version 1 or 2, which names the client: see
    /// ProxyProtocolReader. Peers that are not in ServerOptions::trusted_proxies are refused there. A client that is a
    /// trusted proxy itself may name its client in the request.
    bool proxy_protocol = false;
};

/// Counters since the start. Every drop, refusal and close is in one of them.
struct ServerStatistics {
    std::size_t open = 0;                             ///< connections now, also in a handshake, without refused ones
    std::size_t memory = 0;                           ///< bytes that all connections hold now
    std::size_t memory_limit = 0;                     ///< what memory_limit is now, in bytes; 0: unlimited
    std::size_t paused_for_memory = 0;                ///< connections that are not read now because memory is short
    std::size_t rooms = 0;                            ///< rooms now, of all reactors together
    std::size_t memberships = 0;                      ///< of connections in rooms, now
    std::size_t users = 0;                            ///< users that have connections now
    std::uint64_t accepted = 0;                       ///< streams
    std::uint64_t opened = 0;                         ///< opening handshakes that succeeded
    std::uint64_t refused = 0;                        ///< opening handshakes that were refused
    std::uint64_t http_answered = 0;                  ///< plain HTTP requests that the program answered
    std::uint64_t http_unrouted = 0;                  ///< plain HTTP requests that got a 404 or 405 of the routes
    std::uint64_t http_timeouts = 0;                  ///< ended by HttpOptions::answer_timeout or send_timeout
    std::uint64_t turned_away = 0;                    ///< connections over max_connections
    std::uint64_t over_connection_rate = 0;           ///< connections over connections_per_second
    std::uint64_t over_address_connections = 0;       ///< connections over per_address.connections
    std::uint64_t over_address_rate = 0;              ///< connections over per_address.connections_per_second
    std::uint64_t over_user_connections = 0;          ///< connections over per_user.connections
    std::uint64_t over_user_rate = 0;                 ///< connections over per_user.connections_per_second
    std::uint64_t limits_forgotten = 0;               ///< addresses that were forgotten too early, see per_address
    std::uint64_t accept_pauses = 0;                  ///< pauses of accepting because descriptors ran out
    std::uint64_t handshake_timeouts = 0;             ///< connections ended by handshake_timeout
    std::uint64_t message_timeouts = 0;               ///< connections closed by message_timeout, with 1008 or 1011
    std::uint64_t pong_timeouts = 0;                  ///< connections ended by pong_timeout
    std::uint64_t close_timeouts = 0;                 ///< connections ended by close_timeout
    std::uint64_t slow_consumers = 0;                 ///< connections closed with 1013
    std::uint64_t rate_pauses = 0;                    ///< pauses of reading by receive_rates
    std::uint64_t address_pauses = 0;                 ///< pauses of reading by per_address
    std::uint64_t user_pauses = 0;                    ///< pauses of reading by per_user
    std::uint64_t publish_pauses = 0;                 ///< pauses of reading by AnyConnection::publish()
    std::uint64_t memory_pauses = 0;                  ///< pauses of reading because memory was short
    std::uint64_t closed_for_memory = 0;              ///< connections closed with 1013 or 503 because memory was short
    std::uint64_t refused_for_memory = 0;             ///< opening handshakes refused because memory was short
    std::uint64_t joins_over_limit = 0;               ///< joins of connections that were in max_rooms rooms
    std::uint64_t joins_dropped = 0;                  ///< joins for which there was no memory
    std::uint64_t calls_over_limit = 0;               ///< calls over max_delayed_calls
    std::uint64_t calls_dropped = 0;                  ///< calls without memory, or for a handler that hangs
    std::uint64_t tasks_dropped = 0;                  ///< tasks of Server::post() over its limit
    std::uint64_t messages_dropped = 0;               ///< messages dropped by the policy for slow consumers
    std::uint64_t handler_exceptions = 0;             ///< connections closed with 1011
    std::uint64_t handlers_overdue = 0;               ///< pooled reactions over handler_deadline
    std::uint64_t reactor_stalls = 0;                 ///< how often a reactor stalled, see reactor_deadline
    std::uint64_t taken_over = 0;                     ///< streams that were accepted for a stalled reactor
    std::uint64_t messages_in = 0;                    ///< messages received
    std::uint64_t messages_out = 0;                   ///< messages sent
    std::uint64_t bytes_in = 0;                       ///< bytes received on the wire, including opening handshakes
    std::uint64_t bytes_out = 0;                      ///< bytes sent on the wire, including opening handshakes
    std::map<std::uint16_t, std::uint64_t> closes{};  ///< ended connections by close code
    std::map<unsigned, std::uint64_t> refusals{};     ///< refused and turned away connections by HTTP status
};

/// A client whose opening handshake is accepted. Valid during the call only.
struct ConnectionStart {
    const AnyConnection& connection;  ///< only its id() and peer() are known
    const HttpRequest& request;       ///< its target, Origin, User-Agent, ...
    std::string_view subprotocol;     ///< empty: none
    std::string_view handler;         ///< the name of the handler that will serve it
    std::string_view user{};          ///< of on_upgrade(); empty: none
};

/// The current state of a worker.
struct WorkerState {
    std::string task{};                 ///< the handler's name; empty: the worker is idle
    std::chrono::milliseconds since{};  ///< how long the worker has been running the task
    bool overdue = false;               ///< the reaction takes longer than handler_deadline
};

/// The work of a pooled handler.
struct HandlerLoad {
    std::string handler{};    ///< its name
    std::size_t waiting = 0;  ///< connections with messages that wait for a worker
    std::size_t running = 0;  ///< workers that run it
};

/// What a stop left behind, because a handler did not return in time. The handlers still run and are destroyed when
/// they return, but no other callback of the program is called any more.
struct StopReport {
    std::vector<std::string> handlers{};      ///< names of the handlers that have not returned; one for each thread
    std::vector<ConnectionId> connections{};  ///< on_open() was called for them, and on_close() was not and will not be

    /// True if all handlers have returned, and each on_open() was followed by its on_close().
    bool complete() const noexcept { return handlers.empty() && connections.empty(); }
};

/// A WebSocket server. Any thread may call its members, unless they say otherwise. They throw std::bad_alloc when
/// memory runs out, and nothing else unless they say so. handle(), handle_path(), on_upgrade() and what belongs to them
/// are members of ServerHandlers.
class Server : public ServerHandlers {
   public:
    /// A server with threads of its own, which start() or run() starts. Throws std::system_error if descriptors for the
    /// first reactor cannot be had.
    explicit Server(ServerOptions options = {});
    /// A server with one reactor on the caller's loop. io_threads and transport are ignored. `context` must outlive the
    /// server, and only one thread may run it.
    Server(boost::asio::io_context& context, ServerOptions options = {});
    /// Stops the server at once if it still runs, as stop() with no grace period does. Any thread, except from a
    /// callback of this server. When it has returned, no callback of the program begins any more, callbacks have
    /// returned, and handlers are destroyed, except those that have not returned after one second.
    ///
    /// On the caller's loop: waits for the loop's thread, at most one second and only if the loop runs. If the loop has
    /// stopped, on_close() is called only if this is its thread; otherwise the connections end with `context`.
    ~Server() override;
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Answers a request that is not an upgrade, for example for a page or a health check. The response to an empty
    /// result is 426.
    using HttpAnswer = std::function<std::optional<HttpResponse>(const HttpRequest&)>;
    /// Sets the function that answers plain HTTP requests. Reactor threads call it; the request is valid until it
    /// returns. If it throws, the client gets a 500, and the exception's text is logged. Must be called before start().
    void on_http(HttpAnswer answer);
    /// Sets the response to plain HTTP requests for `path` while all reactors have stalled. The response to all others
    /// is then 503. Must be called before start().
    void answer_while_stalled(std::string path, HttpResponse response);
    /// Sets a function that is called for each accepted client, on a reactor thread, before its handler's on_open().
    /// What it throws is logged. Must be called before start().
    void on_accept(Callback<void(const ConnectionStart&)> listener);
    /// Sets a function that is called exactly once for the end of each connection, on a reactor thread, but not for
    /// clients that were refused because all reactors had stalled. Its argument is valid until it returns. What it
    /// throws is logged. Must be called before start().
    void on_end(Callback<void(const ConnectionEnd&)> listener);
    /// Sets a function that is called for each Close frame, Ping and Pong and when messages are dropped, on a reactor
    /// thread and perhaps within a reaction of the handler, for a debug log. It must not call the connection. What it
    /// throws is logged. Must be called before start().
    void on_event(Callback<void(const ConnectionEvent&)> listener);
    /// Sets a function that receives log lines for operators (accepting is paused, a handler is overdue, ...). Any
    /// thread calls it. Its exceptions are ignored. stop() and the destructor wait until it has returned, so it must
    /// not wait for them. It may call the server, but must not destroy it; stop() within it is request_stop(). Must be
    /// called before start().
    void on_log(Callback<void(LogLevel, std::string_view)> listener);

    /// Binds and listens on `HOST:PORT`, `[HOST]:PORT`, `:PORT` (all addresses) or `unix:PATH`. May be called several
    /// times. Port 0 chooses a free port. Returns the URL of the endpoint: `ws://127.0.0.1:8080`,
    /// `ws+unix:/run/x.sock`. An error names the address and says what to do.
    ///
    /// `systemd` stands for the sockets that a service manager has passed to the process (socket activation); the
    /// result is then their URLs, with spaces between them. No other thread may use the environment meanwhile.
    Result<std::string, std::string> listen(std::string_view endpoint, const ListenOptions& options = {});
    /// Listens on a TCP or Unix socket that listens already, such as one that was inherited. When the server stops, the
    /// socket goes on listening, if another process or the program has it, too. The result is as for listen().
    Result<std::string, std::string> adopt_listener(Descriptor listener, const ListenOptions& options = {});
    /// Serves a client that the program has accepted. `stream` is a connected stream socket, TCP or Unix; it becomes
    /// non-blocking. `received` are the bytes that the program has read from it. The client counts in the limits like
    /// any other. An error says that it is not such a socket, or that the server was stopped.
    Result<void, std::string> adopt(Descriptor stream, std::string received = {}, const ListenOptions& options = {});

    /// Starts the threads and returns at once. On the caller's loop: starts to serve. If threads run out, fewer
    /// reactors serve all clients, and a log line says so. Throws std::system_error if not even one thread can be
    /// started.
    void start();
    /// Calls start() and waits until stop() or request_stop() is done. Returns the report of stop().
    StopReport run();
    /// Refuses new connections, closes all with 1001, waits for them for at most `grace`, terminates the rest and ends
    /// the threads. Returns when that is done, at most one second after `grace`, whatever the handlers do, or about
    /// three if the kernel does not end requests of io_uring. Further calls return the same report.
    ///
    /// Called on a reactor's thread or within a callback, a pooled reaction or a Completion, it is the same as
    /// request_stop(), and the report is empty. On the caller's loop: if the loop has not begun to run, ends the server
    /// at once.
    [[nodiscard]] StopReport stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    /// Same as stop(), but returns at once. run() returns when it is done.
    void request_stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    /// Stops listening and keeps the open connections, until undrain() or stop().
    void drain();
    /// Listens again where drain() has stopped, on the same addresses and ports. Without a drain() it does nothing.
    /// Waits while an address is still in use, at most 500 ms for each. Names are not resolved again.
    ///
    /// An error is that of listen(), or says that the server was stopped. The server then listens nowhere, as before.
    /// A program that has given up its rights since listen() may not be able to listen on a port below 1024.
    Result<void, std::string> undrain();
    /// Replaces limits, times, origins and names, also for open connections. Does not change io_threads, workers,
    /// transport and max_connections.
    void reconfigure(const ServerOptions& options);

    /// Runs `task` on a worker, which it may block; see PriorityTaskQueue for the order. What it throws is logged. The
    /// result is `closed` if the server has stopped, and `dropped` if 65,536 of these tasks wait or if no worker can be
    /// started; then the task is destroyed. stop() waits for tasks as for reactions. `name` is shown by workers(); give
    /// tasks few different names, because they are kept as long as the process runs.
    SendStatus post(Priority priority, UniqueFunction<void()> task, std::string_view name = "posted task");

    /// The hub, which reaches connections from any thread. It stays valid after the server is gone.
    std::shared_ptr<Hub> hub() const;

    /// All connections, in order of id. Asks the reactors and waits for their answers, so it must not be called from an
    /// inline handler. The connections of stalled reactors are missing.
    std::vector<ConnectionInfo> list() const;
    /// One connection; nothing if it is gone or its reactor is stalled. Waits like list().
    std::optional<ConnectionInfo> info(ConnectionId id) const;
    /// The numbers of the reactors that have stalled: they have not run for ServerOptions::reactor_deadline, or have
    /// not answered list() or info() within 2 s. Later calls do not wait for them until they run again.
    std::vector<std::uint16_t> stalled_reactors() const;
    /// The counters of the whole server.
    ServerStatistics statistics() const;
    /// The state of each worker; empty before the first pooled connection or task.
    std::vector<WorkerState> workers() const;
    /// The pooled handlers that have work now.
    std::vector<HandlerLoad> handler_loads() const;
    /// The URLs of all endpoints, as listen() returned them. Empty after a stop.
    std::vector<std::string> listening() const;
    /// The number of reactors.
    std::size_t io_threads() const noexcept;

   private:
    struct Impl;

    HandlerChooser& chooser() const noexcept override;
    std::shared_ptr<AnyHandler> adopted(std::shared_ptr<AnyHandler> handler) const override;
    void close_removed(std::vector<RemovedHandler> removed, CloseCode code) override;
    void call_served(ServedCall call) override;

    std::shared_ptr<Impl> impl_;
};

}  // namespace wsserver
