// Handlers in shared objects that decide about opening handshakes.
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "wsserver/handler.hpp"
#include "wsserver/handler/shared_object.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<AnyHandler> load(const std::string& name) {
    auto handler = load_handler(std::string{WSSERVER_TEST_MODULES} + "/" + name + ".so");
    if (!handler) FAIL(handler.error());
    return *handler;
}

/// A server in memory whose default handler is in a shared object.
struct Rig {
    explicit Rig(const std::string& name) { server.handle({}, load(name)); }

    HttpResponse response(std::string target, std::vector<HttpField> fields = {}) {
        return server.connect(ClientRequest{.target = std::move(target), .fields = std::move(fields)}).response();
    }
    /// Why the last client was refused.
    std::string cause() {
        server.advance(1min);
        return server.ends().back().cause;
    }

    wsserver::MemoryServer server;
};

const HttpField cookie_of_session{"Cookie", "a=b; sid=5"};

struct Closed {
    Admission on_upgrade(const UpgradeRequest&) { return Admission::refuse({.status = 403}); }
    void on_open(AnyConnection&) {}
};

}  // namespace

TEST_CASE("a shared object in C lets clients in or refuses them", "[upgrade_handler]") {
    Rig f{"doorman"};
    const HttpResponse refused = f.response("/");
    CHECK(refused.status == 401);
    CHECK(refused.find("www-authenticate") == "Bearer");
    CHECK(refused.content_type == "text/plain; charset=utf-8");
    CHECK(refused.body == "log in first\n");

    auto client = f.server.connect(ClientRequest{.fields = {cookie_of_session}});
    CHECK(client.response().status == 101);
    CHECK(client.response().find("set-cookie") == "seen=1");
    client.send("hi");
    client.expect("text hi");

    CHECK(f.response("/?status=303").status == 303);
    CHECK(f.response("/?status=200").status == 500);
    CHECK(f.cause().ends_with("it threw: doorman: on_upgrade: it returned 1"));
}

TEST_CASE("a shared object in C sees the whole request", "[upgrade_handler]") {
    Rig f{"doorman"};
    auto client = f.server.connect(
        {.target = "/a%20b?show&c=%20", .subprotocols = {"a", "b"}, .fields = {{"X-One", "1"}, {"X-Other", "2"}}});
    CHECK(client.response().status == 403);
    CHECK(client.response().find("content-type").empty());
    const std::string& seen = client.response().body;
    CAPTURE(seen);
    CHECK(seen.starts_with("GET /a%20b?show&c=%20 peer "));
    CHECK(seen.ends_with(" subprotocol a subprotocol b X-One=1 X-Other=2 field 1 no field - no kind -"));
}

TEST_CASE("a shared object in C that fails refuses its client with a 500, and no other one", "[upgrade_handler]") {
    Rig f{"doorman"};
    CHECK(f.response("/?fail").status == 500);
    CHECK(f.cause().ends_with("500 Internal Server Error: it threw: doorman: on_upgrade: it returned 7"));
    CHECK(f.response("/?fail=no%20database").status == 500);
    CHECK(f.cause().ends_with("it threw: doorman: on_upgrade: no database"));
    CHECK(f.response("/", {cookie_of_session}).status == 101);
}

TEST_CASE("on_upgrade of a table that is too short is not called", "[upgrade_handler]") {
    Rig f{"doorman_old"};
    CHECK(f.response("/").status == 101);
}

TEST_CASE("a class in a shared object lets clients in or refuses them", "[upgrade_handler]") {
    Rig f{"doorkeeper"};
    const HttpResponse refused = f.response("/x?room=a%2Fb", {{"User-Agent", "t"}});
    CHECK(refused.status == 401);
    CHECK(refused.find("www-authenticate") == "Bearer");
    CHECK(refused.find("set-cookie").empty());
    CHECK(refused.content_type == "text/html");
    CHECK(refused.body.starts_with("/x a/b t "));

    auto client =
        f.server.connect(ClientRequest{.target = "/y", .subprotocols = {"a", "b"}, .fields = {cookie_of_session}});
    CHECK(client.response().find("set-cookie") == "seen=1");
    CHECK(client.response().find("x-seen").ends_with(" a b"));
    client.expect("text welcome");

    CHECK(f.response("/?throw").status == 500);
    CHECK(f.cause().ends_with("it threw: Doorkeeper: on_upgrade: no database"));
    CHECK(f.response("/?status").status == 500);
    CHECK(f.cause().ends_with("a handler refuses with a status of 300 to 999"));
    CHECK(f.response("/?choose", {cookie_of_session}).status == 500);
    CHECK(f.cause().ends_with("a handler chooses no subprotocol and no other handler"));
}

TEST_CASE("a class that decides who comes in does not start in a server that does not ask it", "[upgrade_handler]") {
    static std::string why;
    wsserver_host older{};
    older.size = offsetof(wsserver_host, upgrade_method);
    older.set_error = [](const wsserver_host*, const char* text, std::size_t size) { why.assign(text, size); };
    CHECK(wsserver::detail::Plugin<Closed>::create(&older, "") == nullptr);
    CHECK(why == "the server is too old: it does not call on_upgrade");
}

TEST_CASE("a server asks a shared object on a worker", "[upgrade_handler][threads]") {
    ServerOptions options;
    options.io_threads = 1;
    Server server{options};
    server.handle({}, load("doorman"));
    const auto url = *server.listen("127.0.0.1:0");
    server.start();
    const auto status_of = [&](std::string_view fields) {
        BlockingClient client{url};
        client.write(upgrade_request(fields));
        return client.read_head().substr(9, 3);
    };
    CHECK(status_of("") == "401");
    CHECK(status_of("Cookie: sid=5\r\n") == "101");
    CHECK_FALSE(server.workers().empty());
    CHECK(server.stop(0s).complete());
}
