// A WebSocket client on the caller's loop, in callback style. With co_await: awaitable_client.hpp.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/handshake/limits.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

class FrameTap;  // protocol/frame_tap.hpp

/// When a connection has ended or could not be had: how long to wait before the next attempt. The wait is drawn
/// at random from the upper half of its bound ("jitter": a thousand clients of a server that restarted don't come
/// back at the same moment); the bound doubles with each attempt that fails and is reset by one that succeeds.
struct Reconnect {
    std::chrono::milliseconds first{500};
    std::chrono::milliseconds longest{30'000};
    std::size_t attempts = 0;  ///< in a row that may fail; 0: no limit

    /// The wait after so many attempts in a row that failed (0: a connection that had been open has ended), at this
    /// point of its range: 0 the shortest, 1 the longest.
    std::chrono::milliseconds wait(std::size_t failures, double point) const noexcept;
};

struct ClientOptions {
    std::vector<std::string> subprotocols{};  ///< in order of preference
    std::string origin{};                     ///< the Origin field; browsers send one, programs need none
    std::vector<HttpField> fields{};          ///< further fields of the request, `Authorization` for instance
    HandshakeLimits handshake{};

    /// For the name, the stream and the opening handshake together.
    std::chrono::milliseconds connect_timeout{10'000};
    std::chrono::milliseconds ping_interval{25'000};  ///< of silence, then a ping; 0: never
    std::chrono::milliseconds pong_timeout{20'000};
    std::chrono::milliseconds close_timeout{5'000};

    std::size_t max_message = std::size_t{16} << 20;
    std::size_t max_fragments = 131'072;
    SendQueueLimits send_queue{};

    std::optional<Reconnect> reconnect{};  ///< none: a connection that ended stays so

    FrameTap* tap = nullptr;  ///< sees every frame; must outlive the client
};

/// One connection at a time. All members belong to the loop's thread (or come before it runs); from other threads
/// use a ConnectionHandle.
///
///     wsserver::Client client{context};
///     client.connect("ws://127.0.0.1:8080/chat", Chat{});
///     context.run();
class Client {
   public:
    /// `context` must outlive it and be run by one thread.
    explicit Client(boost::asio::io_context& context, ClientOptions options = {});
    /// Ends the connection without ceremony. Not from within a reaction of its own handler, nor from within one of the
    /// listeners below: there, close().
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// Begins to connect to `url` (ws://, ws+unix:); `handler` hears on_open, on_message, ... as on a server, always
    /// on the loop's thread (`runs` is not asked for). What was connected before is closed with 1001 first.
    /// Whatever goes wrong, a wrong URL too, is told to on_end(), never from within.
    void connect(std::string url, std::shared_ptr<AnyHandler> handler);
    template <class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>) void connect(std::string url, H handler) {
        connect(std::move(url), make_handler("client", std::move(handler)));
    }

    /// Told of the end of each connection, and of each attempt that failed (`opened` is false, `cause` says why,
    /// `error` is an Errc or of the system). `will_retry`: a further attempt follows.
    void on_end(std::function<void(const ConnectionEnd&, bool will_retry)> listener);
    /// For debugging: the request as it leaves, and the server's answer, also one that refuses.
    void on_request(std::function<void(std::string_view request)> listener);
    void on_response(std::function<void(const HttpResponse&)> listener);

    /// `closed` when it isn't connected.
    SendStatus send(const Text& message);
    SendStatus send(const Binary& message);
    SendStatus ping(Bytes payload = {});
    /// Begins the closing handshake, or gives up connecting; no reconnecting after that.
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {});

    /// Leaves what the server sends in the kernel's buffers until resume_receiving(): flow control for those who
    /// can't keep up.
    void pause_receiving();
    void resume_receiving();

    bool is_open() const noexcept;
    /// Neither connected nor trying to.
    bool is_idle() const noexcept;
    std::optional<ConnectionInfo> info() const;

    struct Impl;

   private:
    std::shared_ptr<Impl> impl_;
};

}  // namespace wsserver
