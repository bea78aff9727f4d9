// The program's functions for plain HTTP requests, by method and path, and the three ways to call them.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wsserver/base/callback.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/http/reply.hpp"
#include "wsserver/connection/http/request.hpp"
#include "wsserver/connection/http/ticket.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/path_pattern.hpp"

namespace wsserver {

class ItemHub;
class ChooserServer;

/// The options of one route.
struct HttpRouteOptions {
    /// Where a function that returns its answer runs: with Runs::pooled on a worker, where it may block. The others run
    /// on the thread of the connection, and take no other value.
    Runs runs = Runs::inline_;
    /// The most bytes of a body that is read as a whole; without a value: HttpOptions::max_body. A larger one gets a
    /// 413, also one of more than three quarters of the memory limit. Bodies in pieces have no limit, and take no
    /// value.
    std::optional<std::size_t> max_body{};
};

/// Routes are added before the server starts; then any thread of connections may call the other members.
class HttpRoutes {
   public:
    /// Returns the answer.
    using Answer = std::function<HttpResponse(const RoutedRequest&)>;
    /// Answers now or later, by the reply.
    using AnswerLater = Callback<void(const RoutedRequest&, HttpReply)>;
    /// The same for a body in pieces.
    using AnswerUpload = Callback<void(const RoutedRequest&, HttpUpload, HttpReply)>;

    /// A function for one method on the paths that match a pattern.
    struct Route {
        std::string method;                          ///< such as `GET`
        std::shared_ptr<const PathPattern> pattern;  ///< never null
        /// Shared with workers, which may be stuck in it when the server is gone.
        std::variant<std::shared_ptr<const Answer>, AnswerLater, AnswerUpload> function;
        HttpRouteOptions options;  ///< as the program gave them

        /// True if it takes its body in pieces.
        bool takes_pieces() const noexcept { return function.index() == 2; }
        /// True if it answers at once, on the thread of the connection.
        bool answers_at_once() const noexcept { return function.index() == 0 && options.runs == Runs::inline_; }
        /// True if a worker answers.
        bool asks_worker() const noexcept { return function.index() == 0 && options.runs == Runs::pooled; }
    };
    /// The answer, or that it comes later.
    using Outcome = std::variant<HttpResponse, std::shared_ptr<detail::HttpTicket>>;

    /// `hub` reaches the connections. Neither may be null.
    HttpRoutes(std::shared_ptr<ItemHub> hub, std::shared_ptr<ChooserServer> server) noexcept;
    HttpRoutes(const HttpRoutes&) = delete;
    HttpRoutes& operator=(const HttpRoutes&) = delete;
    ~HttpRoutes();

    /// Adds a route, or replaces the one with the same method and paths. Throws std::invalid_argument; see
    /// ServerHandlers::handle_http().
    void add(std::string_view method, std::string_view pattern, decltype(Route::function) function,
             HttpRouteOptions options);

    /// True if there is no route.
    bool empty() const noexcept { return routes_.empty(); }
    /// The most specific route that matches; for HEAD also one for GET, unless its pattern has one for HEAD. Null if
    /// there is none.
    const Route* find(std::string_view method, std::string_view target) const;
    /// The methods of all routes that match the target, for the Allow field; of all routes for the target `*`. Empty if
    /// none matches.
    std::string allowed(std::string_view target) const;

    /// Asks the program. `request` is moved from if the answer comes later and a worker gives it. `limits` are those of
    /// a streamed answer.
    Outcome ask(const Route& route, RoutedRequest& request, ConnectionId id, const SendQueueLimits& limits) const;
    /// Calls a function that the program gave to HttpStream or HttpUpload, unless the server has stopped. What it
    /// throws is logged.
    void call(const std::function<void()>& f) const noexcept;
    /// The program cannot answer the request `what`, because of `why`, which is logged: a 500.
    HttpResponse failed(const std::string& what, std::string_view why) const;

   private:
    /// The most requests that wait for a worker, including those of clients that are gone.
    static constexpr std::size_t most_waiting = 4096;

    Outcome ask_on_worker(const Route& route, RoutedRequest& request, ConnectionId id,
                          const SendQueueLimits& limits) const;
    template <class F>
    std::optional<std::string> failure_of(F&& f) const;

    const std::shared_ptr<ItemHub> hub_;
    const std::shared_ptr<ChooserServer> server_;
    std::vector<Route> routes_;  ///< the most specific first
    const std::shared_ptr<std::atomic<std::size_t>> waiting_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace wsserver
