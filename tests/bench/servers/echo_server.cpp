// The library's server for the benchmark: an echo on one reactor. Options: two reactors, a handler on workers, sending
// each message to all others or to those with the same target, pings after a short idle time, answers to plain HTTP
// requests, a decision about each opening handshake (inline or on workers), the transport over Asio.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/server.hpp"

namespace {

template <wsserver::Runs where>
struct Echo {
    static constexpr wsserver::Runs runs = where;
    void on_message(wsserver::AnyConnection& connection, wsserver::Text message) {
        connection.send(std::move(message));
    }
    void on_message(wsserver::AnyConnection& connection, wsserver::Binary message) {
        connection.send(std::move(message));
    }
};

/// The target is the name of the room.
struct Rooms {
    void on_open(wsserver::AnyConnection& connection) { connection.join(connection.target()); }
    void on_message(wsserver::AnyConnection& connection, const wsserver::AnyMessage& message) {
        connection.publish(connection.target(), message);
    }
};

}  // namespace

int main(int argc, char** argv) {
    bool pooled = false, broadcast = false, rooms = false, http = false;
    std::optional<wsserver::Runs> decides;
    wsserver::ServerOptions options;
    options.io_threads = 1;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--pooled") pooled = true;
        if (word == "--broadcast") broadcast = true;
        if (word == "--rooms") rooms = true;
        if (word == "--http") http = true;
        if (word == "--on-upgrade") decides = wsserver::Runs::inline_;
        if (word == "--on-upgrade-pooled") decides = wsserver::Runs::pooled;
        if (word == "--two-threads") options.io_threads = 2;
        if (word == "--pings") options.connection.ping_interval = std::chrono::milliseconds{1};
        if (word == "--asio") options.transport = wsserver::TransportKind::asio;
    }
    if (rooms)
        options.connection.ping_interval = std::chrono::milliseconds{0};  // the load does not read for bystanders
    wsserver::Server server{options};
    if (rooms) {
        server.handle(Rooms{});
    } else if (broadcast) {
        server.handle(wsserver::make_broadcast());
    } else if (pooled) {
        server.handle(Echo<wsserver::Runs::pooled>{});
    } else {
        server.handle(Echo<wsserver::Runs::inline_>{});
    }
    if (decides) {
        const auto decide = [](const wsserver::UpgradeRequest& request) {
            wsserver::Admission admission;
            admission.user = request.cookie("user").value_or("visitor");
            return admission;
        };
        server.on_upgrade(decide, *decides);
    }
    if (http) {
        server.handle_http(
            "GET", "/", [](const wsserver::RoutedRequest&) { return wsserver::HttpResponse{.body = "Hello world!"}; });
    }
    server.handle("null", wsserver::make_null());
    const auto url = server.listen("127.0.0.1:0");
    if (!url) {
        std::fprintf(stderr, "%s\n", url.error().c_str());
        return 1;
    }
    std::printf("listening on %s\n", url->c_str());
    std::fflush(stdout);
    server.run();
}
