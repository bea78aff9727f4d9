// Clients that connect to another endpoint than the URL names.
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <string>

#include "support/catch.hpp"
#include "support/one_loop.hpp"
#include "wsserver/client.hpp"
#include "wsserver/transport/endpoint.hpp"

using namespace wsserver;
using test::OneLoop;

namespace {

struct Opened {
    int* times;
    void on_open(AnyConnection&) { ++*times; }
};

/// Connects to `url` and returns the request.
std::string request_to(OneLoop& loop, const std::string& url, const Endpoint& connect_to) {
    int times = 0;
    std::string request, cause;
    ClientOptions options;
    options.connect_to = connect_to;
    Client client{loop.context, options};
    client.on_request([&](std::string_view text) { request = text; });
    client.on_end([&](const ConnectionEnd& end, bool) { cause = end.cause; });
    client.connect(url, Opened{&times});
    loop.run_until([&] { return times == 1 || !cause.empty(); });
    CHECK(cause.empty());
    CHECK(times == 1);
    client.close();
    loop.run_until([&] { return client.is_idle(); });
    return request;
}

}  // namespace

TEST_CASE("connect_to replaces the endpoint of the URL, but not its Host field", "[client]") {
    OneLoop loop;
    const Endpoint server = *parse_endpoint(loop.url.substr(std::string{"ws://"}.size()));
    const std::string port = std::to_string(server.port);
    SECTION("the host and the port") {
        const auto request = request_to(loop, "ws://chat.example:9999/room?a=b", server);
        CHECK(request.starts_with("GET /room?a=b HTTP/1.1\r\n"));
        CHECK(request.find("\r\nHost: chat.example:9999\r\n") != std::string::npos);
    }
    SECTION("only the host") {
        const auto request = request_to(loop, "ws://chat.example:" + port + "/", {server.host, 0, {}});
        CHECK(request.find("\r\nHost: chat.example:" + port + "\r\n") != std::string::npos);
    }
    SECTION("only the port") {
        const auto request = request_to(loop, "ws://127.0.0.1/", {{}, server.port, {}});
        CHECK(request.find("\r\nHost: 127.0.0.1\r\n") != std::string::npos);
    }
    SECTION("a Unix socket") {
        const std::string path = "@wsserver-client-endpoint-" + port;  // no file
        REQUIRE(loop.server.listen("unix:" + path));
        const auto request = request_to(loop, "ws://chat.example/", {{}, 0, path});
        CHECK(request.find("\r\nHost: chat.example\r\n") != std::string::npos);
    }
}
