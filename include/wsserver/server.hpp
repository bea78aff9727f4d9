// A WebSocket server: reactors, pool and workers wired together, behind one object.
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

enum class TransportKind : std::uint8_t {
    automatic,  ///< uring where the kernel has and allows it, else asio
    asio,
    uring,  ///< as automatic, but that asio serves is worth a warning
};

/// Everything has a default that works.
struct ServerOptions {
    std::size_t io_threads = 0;  ///< reactor threads; 0: one for each core
    std::size_t workers = 0;     ///< threads for pooled handlers; 0: one for each core
    TransportKind transport = TransportKind::automatic;

    std::string server_name = "wsserver";  ///< the Server field of HTTP answers; empty: none
    /// An unknown subprotocol is refused with 400 instead of declined (RFC 6455 §4.2.2 allows both).
    bool strict_subprotocol = false;
    /// Origins let in besides the server's own host; "*" lets all in. Clients that send none are let in.
    std::vector<std::string> allowed_origins{};
    HandshakeLimits handshake{};
    std::chrono::milliseconds handshake_timeout{10'000};

    std::size_t max_message = std::size_t{16} << 20;  ///< bytes, beyond: 1009
    std::size_t max_fragments = 131'072;              ///< of one message, beyond: 1009

    std::size_t send_high_mark = std::size_t{1} << 20;    ///< bytes queued: the connection stops reading
    std::size_t send_hard_limit = std::size_t{16} << 20;  ///< bytes queued: `slow_consumer` for everything
    SlowConsumer slow_consumer = SlowConsumer::close;

    std::chrono::milliseconds ping_interval{25'000};  ///< of silence from the peer, then a ping; 0: never
    std::chrono::milliseconds pong_timeout{20'000};   ///< of silence after that ping, then the end (1006)
    std::chrono::milliseconds close_timeout{5'000};   ///< for the closing handshake

    std::size_t max_connections = 0;  ///< 0: 90 % of the descriptor limit; beyond: 503 with Retry-After
    std::chrono::milliseconds handler_deadline{5'000};  ///< a pooled reaction that takes longer is reported
};

/// What happened since the start. Every drop, refusal and close is in one of these.
struct ServerStatistics {
    std::size_t open = 0;             ///< connections now, those in a handshake too
    std::uint64_t accepted = 0;       ///< streams
    std::uint64_t opened = 0;         ///< opening handshakes that succeeded
    std::uint64_t refused = 0;        ///< opening handshakes answered with a 4xx or 5xx
    std::uint64_t http_answered = 0;  ///< plain requests that the program answered
    std::uint64_t turned_away = 0;    ///< over max_connections
    std::uint64_t accept_pauses = 0;  ///< out of descriptors: accept waited
    std::uint64_t handshake_timeouts = 0;
    std::uint64_t pong_timeouts = 0;
    std::uint64_t close_timeouts = 0;
    std::uint64_t slow_consumers = 0;      ///< closed with 1013
    std::uint64_t messages_dropped = 0;    ///< by the policy for slow consumers
    std::uint64_t handler_exceptions = 0;  ///< closed with 1011
    std::uint64_t handlers_overdue = 0;    ///< pooled reactions over handler_deadline
    std::uint64_t messages_in = 0, messages_out = 0;
    std::uint64_t bytes_in = 0, bytes_out = 0;
    std::map<std::uint16_t, std::uint64_t> closes{};  ///< ended connections by close code
};

/// What a worker does now.
struct WorkerState {
    std::string task{};  ///< the handler's name; empty: it waits for work
    std::chrono::milliseconds since{};
    bool overdue = false;  ///< longer than handler_deadline
};

/// All members may be called from any thread unless they say otherwise.
class Server {
   public:
    /// Brings its own threads (`start()`, `run()`).
    explicit Server(ServerOptions options = {});
    /// Runs on the caller's loop, one reactor; io_threads and transport are ignored. `context` must outlive it
    /// and be run by one thread only.
    Server(boost::asio::io_context& context, ServerOptions options = {});
    /// Stops at once if it still runs.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Serves a subprotocol; replaces what served it: new connections get the new handler, those that are
    /// open keep theirs. The empty name is the default handler, for clients that ask for no subprotocol.
    void handle(std::string subprotocol, std::shared_ptr<AnyHandler> handler);
    template <class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>) void handle(std::string subprotocol, H handler) {
        auto name = subprotocol.empty() ? std::string{"default"} : subprotocol;
        handle(std::move(subprotocol), make_handler(std::move(name), std::move(handler)));
    }
    /// The default handler.
    template <class H>
    requires(!std::convertible_to<H, std::string>) void handle(H handler) { handle(std::string{}, std::move(handler)); }
    /// No longer offers it; its open connections are closed with `code`. False if nothing served it.
    bool remove_handler(std::string_view subprotocol, CloseCode code = CloseCode::going_away);
    /// Subprotocol and handler, in order of subprotocol.
    std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> handlers() const;

    /// Answers requests that are no upgrade (a page, a health check); nothing: 426. Runs on reactor threads.
    /// Before start().
    using HttpAnswer = std::function<std::optional<HttpResponse>(const HttpRequest&)>;
    void on_http(HttpAnswer answer);
    /// Told once of the end of each connection, on reactor threads. Before start().
    void on_end(std::function<void(const ConnectionEnd&)> listener);
    /// Told of what an operator should know (accept paused, handler overdue, ...), on any thread; what it throws is
    /// lost. Before start().
    void on_log(std::function<void(LogLevel, std::string_view)> listener);

    /// Binds and listens on `HOST:PORT`, `[HOST]:PORT`, `:PORT` (all addresses) or `unix:PATH`; again for more.
    /// Port 0 picks a free one. Returns where it listens, as a URL: `ws://127.0.0.1:8080`, `ws+unix:/run/x.sock`.
    /// An error names the address and what to do.
    Result<std::string, std::string> listen(std::string_view endpoint);

    /// Starts the threads; returns at once. For the second constructor: starts serving on the caller's loop.
    void start();
    /// start(), then waits until stop() is done.
    void run();
    /// Refuses new connections, closes all with 1001, waits for them at most `grace`, cuts the rest, ends the
    /// threads. Returns when that is done; not to be called from a handler: there, use request_stop().
    void stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    /// The same without waiting; run() returns when it is done.
    void request_stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    /// Stops listening; connections stay.
    void drain();
    /// Takes new limits, times, origins and names, for open connections too. io_threads, workers, transport and
    /// max_connections stay as they were.
    void reconfigure(const ServerOptions& options);

    /// Reaches connections from any thread; stays valid when the server is gone.
    std::shared_ptr<Hub> hub() const;

    /// All connections, ordered by id. Asks the reactors and waits for them: not from an inline handler. Those of a
    /// reactor that doesn't answer within 2 s, because an inline handler blocks it, are missing.
    std::vector<ConnectionInfo> list() const;
    /// Nothing: it is gone, or its reactor is silent.
    std::optional<ConnectionInfo> info(ConnectionId id) const;
    /// The numbers of reactors that still owe list() or info() an answer; they aren't waited for again until they have
    /// given it.
    std::vector<std::uint16_t> stalled_reactors() const;
    ServerStatistics statistics() const;
    std::vector<WorkerState> workers() const;
    std::vector<std::string> listening() const;
    std::size_t io_threads() const noexcept;

   private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace wsserver
