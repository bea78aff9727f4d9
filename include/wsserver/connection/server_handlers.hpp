// What every server has: handlers for subprotocols and paths, and a function that decides who comes in.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wsserver/base/callback.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/http/reply.hpp"
#include "wsserver/connection/http/request.hpp"
#include "wsserver/connection/http/routes.hpp"
#include "wsserver/connection/route.hpp"
#include "wsserver/connection/upgrade_reply.hpp"
#include "wsserver/handshake/upgrade_request.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

class HandlerChooser;
struct ServedCall;

namespace detail {

/// `F` takes an `M`. An `auto&` binds only to one that is const.
template <class F, class M>
concept takes_message = std::is_invocable_v<F&, AnyConnection&, M> || std::is_invocable_v<F&, AnyConnection&, const M&>;

/// A handler whose only reaction is a function.
template <class F, Runs where>
struct MessageFunction {
    static_assert(takes_message<F, Text> || takes_message<F, Binary>,
                  "want: f(AnyConnection&, const Text&) or f(AnyConnection&, const Binary&)");
    static constexpr Runs runs = where;

    template <class M>
    requires(std::same_as<M, Text> || std::same_as<M, Binary>) && takes_message<F, M> auto on_message(
                                                                      AnyConnection& connection, M&& message) {
        if constexpr (std::is_invocable_v<F&, AnyConnection&, M>)
            return f(connection, std::forward<M>(message));
        else
            return f(connection, std::as_const(message));
    }

    F f;
};

}  // namespace detail

/// The members that Server, ServerOn and MemoryServer have in common. The threads that may call them are those of the
/// server.
class ServerHandlers {
   public:
    /// Serves a subprotocol with `handler`. If the subprotocol had a handler, new connections get the new one and open
    /// connections keep theirs. The empty name sets the default handler, for clients that ask for no subprotocol.
    void handle(std::string subprotocol, std::shared_ptr<AnyHandler> handler);
    /// Same with an object of any class that reacts to messages, or a std::shared_ptr of one; see make_handler(). (The
    /// int keeps handle<H>() for the function below.)
    template <int = 0, class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>) void handle(std::string subprotocol, H handler) {
        detail::check_movable<H>();
        auto name = subprotocol.empty() ? std::string{"default"} : subprotocol;
        handle(std::move(subprotocol), make_handler(std::move(name), std::move(handler)));
    }
    /// Sets the default handler.
    template <int = 0, class H>
    requires(!std::convertible_to<H, std::string>) void handle(H handler) {
        detail::check_movable<H>();
        handle(std::string{}, std::move(handler));
    }
    /// Serves a subprotocol with an `H` that is constructed in place, from `args`; it need not be movable. Returns it,
    /// so that the program can use it, too: `auto chat = server.handle<Chat>("chat")`.
    template <class H, class... Args>
    requires std::is_constructible_v<H, Args...> std::shared_ptr<H> handle(std::string subprotocol = {},
                                                                           Args&&... args) {
        auto handler = std::make_shared<H>(std::forward<Args>(args)...);
        handle(std::move(subprotocol), handler);
        return handler;
    }
    /// Serves a subprotocol with a function `f(AnyConnection&, const Text&)` or `f(AnyConnection&, const Binary&)`, or
    /// one that takes both, such as `[](auto& connection, const auto& message) { ... }`. It is called for each message,
    /// on the thread of the connection; as on_message<Runs::pooled>(f) on workers, where it may block. The empty name
    /// is that of the default handler.
    template <Runs where = Runs::inline_, class F>
    void on_message(F f, std::string subprotocol = {}) {
        handle(std::move(subprotocol), detail::MessageFunction<F, where>{std::move(f)});
    }
    /// Stops offering the subprotocol and closes its open connections with `code`, except those of handle_path().
    /// Returns false if it had no handler.
    bool remove_handler(std::string_view subprotocol, CloseCode code = CloseCode::going_away);
    /// Stops offering the subprotocol, like remove_handler(), but its open connections stay, and their handler, too.
    bool retire_handler(std::string_view subprotocol);
    /// Calls `call` with each open connection that `handler` serves, where its reactions run and in order with them,
    /// soon: a few connections in a turn. A connection whose handler has too much to do is left out. `call` may be
    /// called on several threads at the same time.
    void call_connections_of(const std::shared_ptr<const AnyHandler>& handler, Callback<void(AnyConnection&)> call);
    /// All subprotocols and their handlers, in order of subprotocol, without those of handle_path().
    std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> handlers() const;

    /// Serves a subprotocol on the paths that match `pattern`, for example `/chat/{room}`: see PathPattern. The handler
    /// reads the parameters with AnyConnection::parameter(). May be called at any time, like handle().
    ///
    /// The path of an opening handshake selects the route: the most specific pattern that matches, whatever the order
    /// of the calls. Within the route, the subprotocol selects the handler as it does for handle(), and the empty name
    /// is that of the route's default handler. A route decides alone: if it has no handler for what the client asks
    /// for, the client is refused with 400, even if another route or handle() has one. Handlers of handle() serve all
    /// paths that no route matches. If there are none, clients of these paths are refused with 404. Plain HTTP requests
    /// are not affected.
    ///
    /// Publishing is not limited to a route: a message reaches the connections of a subprotocol on all paths.
    ///
    /// Throws std::invalid_argument if the pattern is invalid, or if another pattern matches the same paths with other
    /// names. what() is one line that says what is wrong. Nothing has changed then.
    void handle_path(const std::string& pattern, std::string subprotocol, std::shared_ptr<AnyHandler> handler);
    /// Same with an object of any class that reacts to messages; see make_handler(). The handler's name is the pattern
    /// and the subprotocol.
    template <int = 0, class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>)  //
        void handle_path(std::string pattern, std::string subprotocol, H handler) {
        auto name = subprotocol.empty() ? pattern : pattern + ' ' + subprotocol;
        handle_path(pattern, std::move(subprotocol), make_handler(std::move(name), std::move(handler)));
    }
    /// Sets the default handler of the route, for clients that ask for no subprotocol.
    template <int = 0, class H>
    requires(!std::convertible_to<H, std::string>) void handle_path(std::string pattern, H handler) {
        detail::check_movable<H>();
        handle_path(std::move(pattern), std::string{}, std::move(handler));
    }
    /// Serves a subprotocol of the route with an `H` that is constructed in place, from `args`. Returns it, as
    /// handle<H>() does: `auto room = server.handle_path<Room>("/rooms/{room}")`.
    template <class H, class... Args>
    requires std::is_constructible_v<H, Args...> std::shared_ptr<H> handle_path(std::string pattern,
                                                                                std::string subprotocol = {},
                                                                                Args&&... args) {
        auto handler = std::make_shared<H>(std::forward<Args>(args)...);
        handle_path(std::move(pattern), std::move(subprotocol), handler);
        return handler;
    }
    /// Removes the route with all its handlers and closes their open connections with `code`. Later clients get the
    /// next most specific route, or the handlers of handle(). The names of parameters do not count. Returns false if
    /// there is no such route.
    bool remove_path(std::string_view pattern, CloseCode code = CloseCode::going_away);
    /// Removes the handler of one subprotocol from the route, and closes its open connections with `code`. The empty
    /// name is that of the default handler. The route is removed with its last handler. Returns false if there is no
    /// such handler.
    bool remove_path_handler(std::string_view pattern, std::string_view subprotocol,
                             CloseCode code = CloseCode::going_away);
    /// All routes, in the order in which they are tried, and their handlers in order of subprotocol.
    std::vector<Route> routes() const;

    /// Sets a function that decides about each opening handshake that is valid and whose Origin and Host are allowed:
    /// see Admission. With Runs::pooled a worker calls it, and it may block; otherwise the thread of the connection
    /// does, as does always that of a ServerOn or a MemoryServer. Several threads of a Server may call it at the same
    /// time. If it throws, the client gets a 500, and the log has the exception's text. A client about which it has not
    /// decided within ConnectionOptions::handshake_timeout, counted from the start of the connection, gets a 503. Plain
    /// HTTP requests are not asked about. Must be called before the server starts.
    void on_upgrade(std::function<Admission(const UpgradeRequest&)> decide, Runs runs = Runs::inline_);
    /// Sets a function that decides later: it keeps the reply, which any thread may call. The thread of the connection
    /// calls it. It must copy what it needs from the request, which is valid only until it returns. The rest is as
    /// above.
    void on_upgrade(Callback<void(const UpgradeRequest&, UpgradeReply)> decide);

    /// Answers plain HTTP requests with `method` on the paths that match `pattern`, for example `/rooms/{room}`: see
    /// PathPattern and RoutedRequest. `method` is in upper case. The most specific route that matches and has the
    /// method is chosen, whatever the order of the calls; a HEAD request is answered by the function for GET, without
    /// the body, unless the route has one for HEAD. OPTIONS is answered from the routes, unless it has one of its own.
    /// A request that no route answers is passed to on_http(), if it is GET or HEAD; then it gets a 405 with the Allow
    /// field, or a 404.
    ///
    /// With Runs::pooled a worker calls `answer`, and it may block; otherwise the thread of the connection does, as
    /// does always that of a ServerOn or a MemoryServer. Several threads of a Server may call it at the same time. If
    /// it throws, the client gets a 500, and the log has the exception's text.
    ///
    /// A server with routes keeps the streams of its clients after an answer, for further requests or an opening
    /// handshake; see HttpOptions. The requests of a stream are answered one after the other.
    ///
    /// Must be called before the server starts. Throws std::invalid_argument if the method or the pattern is invalid,
    /// if another pattern matches the same paths with other names, or if the options are not for such a function.
    /// what() is one line that says what is wrong.
    void handle_http(std::string_view method, std::string_view pattern,
                     std::function<HttpResponse(const RoutedRequest&)> answer, HttpRouteOptions options = {});
    /// The same with a function that answers later: it keeps the reply, which any thread may call, or begins a streamed
    /// answer. The thread of the connection calls it. It must copy what it needs from the request.
    void handle_http(std::string_view method, std::string_view pattern,
                     Callback<void(const RoutedRequest&, HttpReply)> answer, HttpRouteOptions options = {});
    /// The same with a function that takes the body in pieces, for large ones. It is called when the header was
    /// received. A client that sends `Expect: 100-continue` gets the 100 when the program reads.
    void handle_http(std::string_view method, std::string_view pattern,
                     Callback<void(const RoutedRequest&, HttpUpload, HttpReply)> answer, HttpRouteOptions options = {});

   protected:
    ServerHandlers() = default;
    ServerHandlers(const ServerHandlers&) = default;
    ServerHandlers& operator=(const ServerHandlers&) = default;
    virtual ~ServerHandlers() = default;

   private:
    /// Holds the handlers and the function of on_upgrade().
    virtual HandlerChooser& chooser() const noexcept = 0;
    /// The handler as the server keeps it.
    virtual std::shared_ptr<AnyHandler> adopted(std::shared_ptr<AnyHandler> handler) const { return handler; }
    /// Closes the open connections of handlers that were removed; at least one.
    virtual void close_removed(std::vector<RemovedHandler> removed, CloseCode code) = 0;
    /// Calls for the connections of a handler.
    virtual void call_served(ServedCall call) = 0;

    bool close(std::vector<RemovedHandler> removed, CloseCode code);
};

}  // namespace wsserver
