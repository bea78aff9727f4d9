// A proxy with flow control: passes each connection on to an upstream server.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "wsserver/client.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

/// A handler that connects to an upstream server for each of its connections and passes messages on in both directions.
///
///     boost::asio::io_context context;
///     wsserver::Server server{context};
///     server.handle(wsserver::Relay{context, "ws://127.0.0.1:9000"});
///
/// - An end is not read while more than SendQueueLimits::high_mark waits for the other one, so memory does not grow
/// with
///   what is relayed. A connection is not read before the upstream server has accepted it. Each has a client of its
///   own, with buffers of about 280 KiB, of which an idle one uses little.
/// - The subprotocol of the connection is the only one that the upstream server is offered. If it chooses none or
///   another one, the connection is closed with 1014.
/// - Each end answers its Pings itself, and keep-alive watches both. Neither Pings nor Pongs are passed on.
/// - Close codes and reasons are passed on. A Close frame without a code becomes 1000. If an end is lost, the other one
///   gets 1001 upstream and 1014 (bad gateway) downstream; so it does if the upstream server cannot be reached, refuses
///   the connection, or needs longer than ClientOptions::connect_timeout.
/// - A message is passed on when it is complete.
///
/// All runs on the thread of one loop: the server must have the same `context`.
class Relay {
   public:
    /// Returns the URL of the upstream server for a connection. What it throws closes the connection with 1011.
    using ChooseUrl = std::function<std::string(const AnyConnection&)>;

    /// `context` must outlive the relay. To a `url` without a path, such as `ws://127.0.0.1:9000`, the target of each
    /// connection is added. `options` are those of the connections to the upstream server, without `subprotocols` and
    /// `reconnect`.
    Relay(boost::asio::io_context& context, std::string url, ClientOptions options = {});
    /// The same with a URL for each connection.
    Relay(boost::asio::io_context& context, ChooseUrl choose, ClientOptions options = {});
    Relay(Relay&&) noexcept = default;
    Relay& operator=(Relay&&) = delete;
    /// Ends the connections to the upstream server that are left, without a closing handshake.
    ~Relay();

    // The reactions.
    void on_open(AnyConnection& connection);                       ///< see AnyHandler
    void on_message(AnyConnection& connection, Text message);      ///< see AnyHandler
    void on_message(AnyConnection& connection, Binary message);    ///< see AnyHandler
    void on_drained(AnyConnection& connection);                    ///< see AnyHandler
    void on_close(AnyConnection& connection, const Close& close);  ///< see AnyHandler

   private:
    class Pair;
    struct State;

    static Pair* pair_of(const AnyConnection& connection) noexcept;

    std::shared_ptr<State> state_;
};

}  // namespace wsserver
