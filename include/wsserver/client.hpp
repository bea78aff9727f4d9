// A WebSocket client on the caller's loop, with callbacks. For co_await, see awaitable_client.hpp.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/base/callback.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/connection_options.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/protocol/message.hpp"
#include "wsserver/transport/endpoint.hpp"

namespace wsserver {

class FrameTap;  // protocol/frame_tap.hpp

/// How to wait between attempts to connect, after a connection has ended or an attempt has failed. The wait is random,
/// in the upper half of its bound, so that a thousand clients of a restarted server do not reconnect at the same moment
/// (jitter). Each failed attempt doubles the bound, and a success resets it. A success is a connection that was open
/// for at least `min_uptime`, and not shorter than the wait before it. So a server that accepts connections and closes
/// them at once, for example because it is overloaded, is asked less and less often.
struct Reconnect {
    std::chrono::milliseconds first{500};         ///< the first bound
    std::chrono::milliseconds longest{30'000};    ///< the largest bound
    std::size_t attempts = 0;                     ///< the most failed attempts in a row; 0: no limit
    std::chrono::milliseconds min_uptime{5'000};  ///< a connection that ended earlier is a failed attempt

    /// The wait before the next attempt.
    ///
    /// failures  failed attempts in a row; 0: the last one was a success
    /// point     the place in the range of the wait, from 0 (shortest) to 1 (longest)
    std::chrono::milliseconds wait(std::size_t failures, double point) const noexcept;
};

/// The options of a Client. There is no limit for the memory of all clients: each holds at most one message of
/// `connection.max_message`, and `connection.send_queue.hard_limit` and one message that it sends. Many clients on one
/// loop can share a limit: see ClientOn and its set_memory_limit().
struct ClientOptions {
    std::vector<std::string> subprotocols{};  ///< in order of preference
    std::string origin{};                     ///< the Origin field; browsers send one, programs do not need it
    /// The Host field, `NAME` or `NAME:PORT`, if it is not that of the URL: names a virtual host of a server that is
    /// reached by its address or through a Unix socket. Empty: the URL's host.
    std::string host{};
    /// Connects to this endpoint instead of the URL's host and port. The Host field is still that of the URL, so a test
    /// or a virtual host can be reached under its real name. An empty host or a port of 0 is that of the URL.
    std::optional<Endpoint> connect_to{};
    std::vector<HttpField> fields{};  ///< more fields of the request, for example `Authorization`

    /// For the name, the stream and the opening handshake in total.
    std::chrono::milliseconds connect_timeout{10'000};
    ConnectionOptions connection{};  ///< the limits and timeouts of the connection

    std::optional<Reconnect> reconnect{};  ///< none: do not reconnect

    FrameTap* tap = nullptr;  ///< sees each frame; must outlive the client; optional
};

/// A client with one connection at a time.
///
/// Threads: one thread runs the io_context, also if the executor is a strand: the client waits for its sockets on the
/// io_context itself. If two threads run it at the same time and meet in its transport, the process is aborted with a
/// line on the standard error output. Call the members on that thread, or while the loop does not run, also within
/// reactions and listeners. From other threads, use a ConnectionHandle or a Hub, which a reaction gets from its
/// connection.
///
/// Errors: members throw std::bad_alloc only, except the constructor. Results of the network are reported to on_end().
/// An exception of a reaction closes the connection with 1011. An exception of a listener leaves the run() of the loop;
/// an attempt that it stops fails, at the latest after connect_timeout.
///
///     wsserver::Client client{context};
///     client.connect("ws://127.0.0.1:8080/chat", Chat{});
///     context.run();
class Client {
   public:
    using executor_type = boost::asio::any_io_executor;  ///< as in Asio's I/O objects

    /// `context` must outlive the client and be run by one thread. Throws std::runtime_error if the system has no
    /// descriptor left for the loop.
    explicit Client(boost::asio::io_context& context, ClientOptions options = {});
    /// The same for the io_context of `executor`: its executor, a strand of it, or an any_io_executor that holds one of
    /// these. Throws std::invalid_argument if it is another executor.
    explicit Client(const executor_type& executor, ClientOptions options = {});
    /// Ends the connection without a closing handshake, and calls on_close() of its handler and the Counts of
    /// broadcasts that wait, but no listener. After it has returned, no reaction, listener or Completion is called. It
    /// may be called within any of them; then the handler and the listeners are destroyed in a later turn of the loop.
    ///
    /// Call it on the thread that runs the loop or ran it last. Other threads may call it when the loop has stopped.
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// Begins to connect to `url` (ws://, ws+unix:). The reactions of `handler` are called as on a server, but always
    /// on the loop's thread; its `runs` is ignored. An earlier connection is closed with 1001 first, and an earlier
    /// attempt is given up. All errors of the new attempt, including an invalid URL, are reported to on_end(), never
    /// within this call. The client keeps the handler until the next connect() or its
    /// own end.
    void connect(std::string url, std::shared_ptr<AnyHandler> handler);
    /// The same for a handler object.
    template <class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>) void connect(std::string url, H handler) {
        connect(std::move(url), make_handler("client", std::move(handler)));
    }

    /// Calls `listener` at the end of each connection and after each failed attempt. After a failed attempt, `opened`
    /// is false, `cause` is the reason, and `error` is an Errc or an error of the system. If `will_retry` is true,
    /// another attempt follows. The ConnectionEnd is valid until the listener returns. A listener may call any member,
    /// but must not replace itself.
    void on_end(Callback<void(const ConnectionEnd&, bool will_retry)> listener);
    /// For debugging: calls `listener` with the request as it is sent. The text is valid until the listener returns.
    void on_request(Callback<void(std::string_view request)> listener);
    /// For debugging: calls `listener` with the response of the server, whether it accepts or refuses. The response is
    /// valid until the listener returns.
    void on_response(Callback<void(const HttpResponse&)> listener);

    /// Queues a message: a text or bytes; see AnyMessage. Copies or encodes the payload before it returns, as all of
    /// these do. Returns `closed` if the connection is not open, `refused` if a text is not UTF-8, and `dropped` if the
    /// policy for slow consumers says so.
    SendStatus send(const AnyMessage& message);
    /// Begins a message that is sent in pieces; see AnyConnection::begin_message().
    [[nodiscard]] SendStatus begin_message(Opcode type);
    /// Sends its next piece; see AnyConnection::append().
    SendStatus append(const AnyMessage& piece);
    /// Ends it.
    SendStatus end_message();
    /// Queues a Ping. Returns `refused` if `payload` is longer than 125 bytes.
    SendStatus ping(Bytes payload = {});
    /// How many bytes of what was sent wait or are in flight; see AnyConnection::queued(). 0 without a connection.
    std::size_t queued() const noexcept;
    /// True while a program that has much to send should go on; see AnyConnection::has_space(). If it was false, the
    /// handler's on_drained() follows, unless the connection ends before.
    bool has_space() const noexcept;
    /// Begins the closing handshake, or gives up an attempt, which is reported to on_end() within this call. Between
    /// two attempts there is nothing to report. The client does not reconnect after that.
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {});

    /// Leaves the server's bytes in the buffers of the kernel until resume_receiving(). This is flow control for a
    /// program that cannot keep up. See AnyConnection::pause_receiving(). Does nothing without an open connection.
    void pause_receiving();
    /// Ends pause_receiving().
    void resume_receiving();

    /// The executor of the constructor, or that of its io_context.
    executor_type get_executor() const noexcept;

    /// True if messages can be sent.
    bool is_open() const noexcept;
    /// True if the client is neither connected nor connecting, and will not reconnect.
    bool is_idle() const noexcept;
    /// The state of the connection, if there is one.
    std::optional<ConnectionInfo> info() const;
    /// The number of requests through handles and hubs that were dropped: more than 256 MiB waited for the loop, or the
    /// connection ended first. Any thread.
    std::uint64_t dropped_requests() const noexcept;

    /// For the implementation.
    struct Impl;

   private:
    executor_type executor_;
    std::shared_ptr<Impl> impl_;
};

}  // namespace wsserver
