#include "wsserver/client.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/one_loop.hpp"
#include "wsserver/server.hpp"
#include "wsserver/transport/listener.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::Echo;
using test::OneLoop;
using test::too_much;
namespace asio = boost::asio;

namespace {

struct Log {
    std::vector<std::string> words;
    std::vector<ConnectionEnd> ends;
    bool will_retry = false;
};

struct Greeter {
    Log* log;
    void on_open(AnyConnection& connection) {
        log->words.push_back("open " + std::string{connection.subprotocol()});
        connection.send(Text{"hello"});
    }
    void on_message(AnyConnection& connection, const Text& message) {
        log->words.push_back(std::string{message.text});
        connection.close(CloseCode::normal, "thanks");
    }
    void on_close(AnyConnection&, const Close& close) {
        log->words.push_back("close " + std::to_string(static_cast<int>(close.code)));
    }
};

void listen_to_end(Client& client, Log& log) {
    client.on_end([&log](const ConnectionEnd& end, bool will_retry) {
        log.ends.push_back(end);
        log.will_retry = will_retry;
    });
}

}  // namespace

TEST_CASE("waits grow up to a maximum and are in the upper half of their bound", "[client]") {
    const Reconnect rule{.first = 100ms, .longest = 1000ms};
    const std::vector<std::chrono::milliseconds> bounds{100ms, 100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms};
    for (std::size_t failures = 0; failures < bounds.size(); ++failures) {
        CHECK(rule.wait(failures, 0) == bounds[failures] / 2);
        CHECK(rule.wait(failures, 0.5) == bounds[failures] * 3 / 4);
        CHECK(rule.wait(failures, 1) == bounds[failures]);
    }
    CHECK(rule.wait(1'000'000, 1) == 1000ms);
    CHECK(Reconnect{.first = 5s, .longest = 1s}.wait(0, 1) == 1s);
    constexpr auto for_ever = std::chrono::milliseconds::max();
    CHECK(Reconnect{.first = 1s, .longest = for_ever}.wait(1'000'000, 0) == for_ever / 2);
}

TEST_CASE("a client connects, sends, receives and closes", "[client]") {
    OneLoop loop;
    Log log;
    ClientOptions options;
    options.subprotocols = {"unknown", "echo"};
    Client client{loop.context, options};
    std::string request;
    unsigned status = 0;
    client.on_request([&](std::string_view text) { request = text; });
    client.on_response([&](const HttpResponse& response) { status = response.status; });
    listen_to_end(client, log);
    CHECK(client.is_idle());
    client.connect(loop.url + "/path?q=1", Greeter{&log});
    CHECK_FALSE(client.is_idle());
    CHECK(client.send("too early") == SendStatus::closed);
    loop.run_until([&] { return !log.ends.empty() && client.is_idle(); });
    CHECK(log.words == std::vector<std::string>{"open echo", "hello", "close 1000"});
    CHECK(log.ends[0].opened);
    CHECK(log.ends[0].code == CloseCode::normal);
    CHECK_FALSE(log.will_retry);
    CHECK(request.starts_with("GET /path?q=1 HTTP/1.1\r\n"));
    CHECK(status == 101);
    CHECK(client.send(std::string{"too late"}) == SendStatus::closed);
}

TEST_CASE("the Host field may name another host than the URL", "[client]") {
    OneLoop loop;
    Log log;
    ClientOptions options;
    options.subprotocols = {"echo"};
    options.host = "www.example.org:8080";
    Client client{loop.context, options};
    std::string request;
    client.on_request([&](std::string_view text) { request = text; });
    listen_to_end(client, log);
    client.connect(loop.url, Greeter{&log});
    loop.run_until([&] { return !log.ends.empty() && client.is_idle(); });
    CHECK(log.ends[0].opened);
    CHECK(request.find("\r\nHost: www.example.org:8080\r\n") != std::string::npos);
    CHECK(request.find("127.0.0.1") == std::string::npos);
}

TEST_CASE("the loop runs out of work when the connection has ended", "[client]") {
    Server server{[] {
        ServerOptions options;
        options.io_threads = 1;
        return options;
    }()};
    server.handle(Echo{});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    Log log;
    asio::io_context context{1};
    ClientOptions options;
    options.connection.close_timeout = 1h;
    options.connection.ping_interval = 1h;
    Client client{context, options};
    client.connect(url, Greeter{&log});
    context.run_for(30s);
    CHECK(context.stopped());
    CHECK(log.words.size() == 3);
}

TEST_CASE("the loop runs out of work when no attempt follows", "[client]") {
    Log log;
    asio::io_context context{1};
    ClientOptions options;
    options.reconnect = Reconnect{.first = 1h, .longest = 1h};
    Client client{context, options};
    listen_to_end(client, log);
    client.connect("ws://127.0.0.1:1/", Greeter{&log});
    while (log.ends.empty()) context.run_one_for(1s);
    CHECK(log.will_retry);
    SECTION("after close()") { client.close(); }
    SECTION("after connect() with an invalid URL") { client.connect("no URL", Greeter{&log}); }
    context.run_for(30s);
    CHECK(context.stopped());
    CHECK(client.is_idle());
}

TEST_CASE("a failure to connect is reported to on_end", "[client]") {
    OneLoop loop;
    Log log;
    ClientOptions options;
    std::string url = loop.url;
    std::string expected;
    SECTION("a port without a listener") {
        url = "ws://127.0.0.1:1/";
        expected = "refused";
    }
    SECTION("an unknown scheme") {
        url = "http://example.com";
        expected = "ws://";
    }
    SECTION("TLS") {
        url = "wss://127.0.0.1/";
        expected = "not supported yet";
    }
    SECTION("a Unix socket that does not exist") {
        url = "ws+unix:/nonexistent/socket";
        expected = "No such file";
    }
    SECTION("a refusal by the server") {
        options.origin = "http://evil.example";
        expected = "403";
    }
    SECTION("a host that is not one") {
        options.host = "a b";
        expected = "'a b' is not a valid host";
    }
    SECTION("a field that contains a line end") {
        options.fields = {{"X-Forged", "a\r\nb"}};
        expected = "X-Forged";
    }
    Client client{loop.context, options};
    listen_to_end(client, log);
    client.connect(url, Greeter{&log});
    CHECK(log.ends.empty());
    loop.run_until([&] { return !log.ends.empty() && client.is_idle(); });
    CHECK(log.words.empty());
    CHECK_FALSE(log.ends[0].opened);
    CAPTURE(log.ends[0].cause);
    CHECK(log.ends[0].cause.find(expected) != std::string::npos);
    CHECK(log.ends[0].error);
    CHECK(log.ends[0].refused_with == (expected == "403" ? 403U : 0U));
}

TEST_CASE("an attempt ends at the deadline if the server does not answer", "[client]") {
    asio::io_context context{1};
    auto listeners = open_listeners(*parse_endpoint("127.0.0.1:0"));
    REQUIRE(listeners);
    Log log;
    ClientOptions options;
    options.connect_timeout = 50ms;
    Client client{context, options};
    listen_to_end(client, log);
    client.connect("ws://" + to_string(listeners->endpoint), Greeter{&log});
    while (log.ends.empty()) context.run_one_for(1s);
    CHECK(log.ends[0].error == std::make_error_code(std::errc::timed_out));
}

TEST_CASE("a client reconnects until its attempts are used up", "[client]") {
    OneLoop loop;
    Log log;
    ClientOptions options;
    options.reconnect = Reconnect{1ms, 4ms, 3};
    Client client{loop.context, options};
    std::vector<bool> retries;
    client.on_end([&](const ConnectionEnd&, bool will_retry) { retries.push_back(will_retry); });
    client.connect("ws://127.0.0.1:1/", Greeter{&log});
    loop.run_until([&] { return client.is_idle(); });
    CHECK(retries == std::vector{true, true, false});
}

TEST_CASE("connections that the server closes at once use up the attempts", "[client]") {
    struct Closer {
        void on_open(AnyConnection& connection) { connection.close(CloseCode::try_again_later); }
    };
    OneLoop loop;
    loop.server.handle("closer", Closer{});
    ClientOptions options;
    options.subprotocols = {"closer"};
    options.reconnect = Reconnect{.first = 1ms, .longest = 4ms, .attempts = 3};
    Client client{loop.context, options};
    std::vector<bool> retries;
    client.on_end([&](const ConnectionEnd& end, bool will_retry) {
        CHECK(end.code == CloseCode::try_again_later);
        retries.push_back(will_retry);
    });
    client.connect(loop.url, Echo{});
    loop.run_until([&] { return client.is_idle(); });
    CHECK(retries == std::vector{true, true, false});
}

TEST_CASE("a client reconnects after the server closes, but not after close()", "[client]") {
    OneLoop loop;
    struct Counter {
        int* opened;
        void on_open(AnyConnection&) { ++*opened; }
    };
    int opened = 0;
    ClientOptions options;
    options.reconnect = Reconnect{1ms, 4ms, 0};
    Client client{loop.context, options};
    client.connect(loop.url, Counter{&opened});
    loop.run_until([&] { return opened == 1; });
    loop.server.hub()->close_all(CloseCode::service_restart, "", {});
    loop.run_until([&] { return opened == 2; });
    client.close();
    loop.run_until([&] { return client.is_idle(); });
    CHECK(opened == 2);
}

TEST_CASE("connect() while connected replaces the connection", "[client]") {
    std::vector<std::string> reasons;  // outlives the server
    OneLoop loop;
    Log first, second;
    loop.server.on_end([&](const ConnectionEnd& end) { reasons.push_back(end.reason); });
    Client client{loop.context};
    listen_to_end(client, first);
    client.connect(loop.url, Greeter{&first});
    loop.run_until([&] { return client.is_open(); });
    client.connect(loop.url + "/second", Greeter{&second});
    loop.run_until([&] { return second.words.size() == 3; });
    CHECK(second.words == std::vector<std::string>{"open ", "hello", "close 1000"});
    CHECK(first.words.back() == "close 1001");
    CHECK(reasons.at(0) == "the client connects again");
}

TEST_CASE("close() before the attempt has begun reports it as given up", "[client]") {
    OneLoop loop;
    Log log;
    Client client{loop.context};
    listen_to_end(client, log);
    const bool connected = GENERATE(false, true);
    if (connected) {
        client.connect(loop.url, Echo{});
        loop.run_until([&] { return client.is_open(); });
    }
    client.connect(loop.url + "/second", Greeter{&log});
    client.close();
    REQUIRE(log.ends.size() == 1);
    CHECK_FALSE(log.ends[0].opened);
    CHECK(log.ends[0].cause == "given up");
    CHECK(log.ends[0].error == std::errc::operation_canceled);
    CHECK_FALSE(log.will_retry);
    loop.run_until([&] { return client.is_idle(); });
    CHECK(log.words.empty());
    CHECK(log.ends.size() == (connected ? 2 : 1));
}

TEST_CASE("a listener for the request or the response may call close()", "[client]") {
    OneLoop loop;
    Log log;
    Client client{loop.context};
    listen_to_end(client, log);
    SECTION("the request") {
        client.on_request([&](std::string_view) { client.close(); });
    }
    SECTION("the response") {
        client.on_response([&](const HttpResponse&) { client.close(); });
    }
    client.connect(loop.url, Greeter{&log});
    loop.run_until([&] { return !log.ends.empty() && client.is_idle(); });
    CHECK(log.words.empty());
    REQUIRE(log.ends.size() == 1);
    CHECK_FALSE(log.ends[0].opened);
    CHECK(log.ends[0].cause == "given up");
}

TEST_CASE("a listener for the request or the response may call connect()", "[client]") {
    OneLoop loop;
    Log first, second;
    Client client{loop.context};
    int seen = 0;
    const auto go = [&] {
        if (++seen == 1) client.connect(loop.url + "/second", Greeter{&second});
    };
    SECTION("the request") {
        client.on_request([&](std::string_view) { go(); });
    }
    SECTION("the response") {
        client.on_response([&](const HttpResponse&) { go(); });
    }
    client.connect(loop.url, Greeter{&first});
    loop.run_until([&] { return client.is_idle(); });
    CHECK(seen == 2);
    CHECK(first.words.empty());
    CHECK(second.words == std::vector<std::string>{"open ", "hello", "close 1000"});
}

TEST_CASE("close() does not affect a closing handshake that has begun", "[client][rfc6455-7.1.2]") {
    OneLoop loop;
    Log log;
    Client client{loop.context};
    listen_to_end(client, log);
    client.connect(loop.url, Echo{});
    loop.run_until([&] { return client.is_open(); });
    CHECK(client.close(CloseCode{4000}) == SendStatus::queued);
    CHECK(client.close(CloseCode{4001}) == SendStatus::closed);
    loop.run_until([&] { return client.is_idle(); });
    REQUIRE(log.ends.size() == 1);
    CHECK(log.ends[0].code == CloseCode{4000});
    CHECK(log.ends[0].cause.empty());
}

TEST_CASE("a client is bounded by its own limits", "[client]") {
    struct Counts {
        std::size_t* received;
        void on_message(AnyConnection&, const Binary& message) { *received += message.payload().size(); }
    };
    OneLoop loop;
    Log log;
    std::size_t received = 0;
    ClientOptions options;
    options.subprotocols = {"echo"};
    options.connection.max_message = 100'000;
    options.connection.send_queue = {1 << 20, 2 << 20, SlowConsumer::close};
    Client client{loop.context, options};
    listen_to_end(client, log);
    client.connect(loop.url, Counts{&received});
    loop.run_until([&] { return client.is_open(); });

    SECTION("a message by max_message") {
        client.send(Binary{bytes_of(std::string(100'000, 'b'))});
        loop.run_until([&] { return received == 100'000; });
        client.send(Binary{bytes_of(std::string(100'001, 'b'))});
        loop.run_until([&] { return !log.ends.empty(); });
        CHECK(log.ends[0].code == CloseCode::message_too_big);
        CHECK(log.ends[0].error == make_error_code(Errc::message_too_big));
        CHECK(received == 100'000);
    }
    SECTION("the send queue by its hard limit and one message") {
        const std::string message(100'000, 'b');
        std::size_t most = 0;
        for (int i = 0; i < 1000 && client.is_open(); ++i) {  // the server does not read meanwhile
            client.send(Binary{bytes_of(message)});
            if (const auto info = client.info()) most = std::max(most, info->queued);
        }
        CHECK_FALSE(client.is_open());
        CHECK(most <= options.connection.send_queue.hard_limit + message.size() + 1000);
        loop.run_until([&] { return !log.ends.empty(); });
        CHECK(log.ends[0].cause == "slow consumer: its send queue was full");
    }
}

TEST_CASE("a handle reaches the client's connection", "[client]") {
    struct Keeper {
        ConnectionHandle* handle;
        std::string* got;
        void on_open(AnyConnection& connection) { *handle = connection.handle(); }
        void on_message(AnyConnection&, const Text& message) { *got = message.text; }
    };
    OneLoop loop;
    ConnectionHandle handle;
    std::string got;
    {
        Client client{loop.context};
        client.connect(loop.url, Keeper{&handle, &got});
        loop.run_until([&] { return client.is_open(); });
        CHECK(client.send("\xFF") == SendStatus::refused);
        CHECK(handle.send("\xFF") == SendStatus::refused);
        CHECK(handle.send("by handle") == SendStatus::queued);
        loop.run_until([&] { return got == "by handle"; });
    }
    CHECK(handle.send(Text{"anybody?"}) == SendStatus::closed);
}

TEST_CASE("a handle is bounded while the loop is busy", "[client]") {
    struct Keeper {
        ConnectionHandle* handle;
        std::shared_ptr<Hub>* hub;
        void on_open(AnyConnection& connection) {
            *handle = connection.handle();
            *hub = connection.hub();
        }
    };
    OneLoop loop;
    ConnectionHandle handle;
    std::shared_ptr<Hub> hub;
    Client client{loop.context};
    client.connect(loop.url, Keeper{&handle, &hub});
    loop.run_until([&] { return client.is_open(); });
    // Only its size matters: it is over the limit and so is not copied.
    constexpr std::size_t too_large = std::size_t{257} << 20;
    const std::unique_ptr<std::uint8_t[]> memory{new std::uint8_t[too_large]};
    const Binary huge{Bytes{memory.get(), too_large}};
    CHECK(handle.send(huge) == SendStatus::dropped);
    CHECK(client.dropped_requests() == 1);
    std::optional<std::size_t> receivers;
    hub->broadcast({}, huge, [&](std::size_t count) { receivers = count; });
    CHECK(receivers == 0);
    CHECK(client.dropped_requests() == 2);
    CHECK(handle.send(Text{"queued"}) == SendStatus::queued);
    client.close();
    loop.run_until([&] { return client.is_idle(); });
    CHECK(client.dropped_requests() == 3);  // the connection ended before
}

TEST_CASE("a handle of an old connection returns closed even after a reconnect", "[client]") {
    struct Keeper {
        std::vector<ConnectionHandle>* handles;
        void on_open(AnyConnection& connection) { handles->push_back(connection.handle()); }
    };
    OneLoop loop;
    std::vector<ConnectionHandle> handles;
    ClientOptions options;
    options.reconnect = Reconnect{1ms, 4ms, 0};
    Client client{loop.context, options};
    client.connect(loop.url, Keeper{&handles});
    loop.run_until([&] { return handles.size() == 1; });
    CHECK(handles[0].ping() == SendStatus::queued);
    CHECK(loop.server.hub()->close(loop.server.list().at(0).id, CloseCode::going_away, "") == SendStatus::queued);
    loop.run_until([&] { return handles.size() == 2; });
    CHECK(handles[0].send(Text{"lost"}) == SendStatus::closed);
    CHECK(handles[1].send(Text{"kept"}) == SendStatus::queued);
    client.close();
    CHECK(handles[1].close() == SendStatus::closed);
}

TEST_CASE("a broadcast is counted even if the client is destroyed", "[client]") {
    struct Keeper {
        std::shared_ptr<Hub>* hub;
        void on_open(AnyConnection& connection) { *hub = connection.hub(); }
    };
    OneLoop loop;
    std::shared_ptr<Hub> hub;
    std::vector<std::size_t> told;
    const auto tell = [&](std::size_t receivers) {
        told.push_back(receivers);
        if (told.size() == 2) hub->ping_all([&](std::size_t count) { told.push_back(count); });
    };
    {
        Client client{loop.context};
        client.connect(loop.url, Keeper{&hub});
        loop.run_until([&] { return client.is_open(); });
        hub->broadcast({}, Text{"x"}, tell);
        loop.run_until([&] { return !told.empty(); });
        hub->broadcast({}, Text{"y"}, tell);
    }
    loop.run_until([&] { return told.size() == 3; });
    hub->close_all(CloseCode::normal, "", tell);
    CHECK(told == std::vector<std::size_t>{1, 0, 0, 0});
}

TEST_CASE("a callback for a broadcast that ran out of memory may use the hub", "[client]") {
    struct Keeper {
        std::shared_ptr<Hub>* hub;
        void on_open(AnyConnection& connection) { *hub = connection.hub(); }
    };
    OneLoop loop;
    std::shared_ptr<Hub> hub;
    Client client{loop.context};
    client.connect(loop.url, Keeper{&hub});
    loop.run_until([&] { return client.is_open(); });
    std::vector<std::size_t> told;
    too_much = 60;  // the task
    CHECK_THROWS_AS(hub->ping_all([&](std::size_t receivers) {
        too_much = std::numeric_limits<std::size_t>::max();
        told.push_back(receivers);
        hub->ping_all([&](std::size_t count) { told.push_back(count); });
    }),
                    std::bad_alloc);
    too_much = std::numeric_limits<std::size_t>::max();
    loop.run_until([&] { return told.size() == 2; });
    CHECK(told == std::vector<std::size_t>{0, 1});
}

TEST_CASE("an exception of a listener leaves the loop, and the attempt that it stops fails", "[client]") {
    OneLoop loop;
    Log log;
    ClientOptions options;
    options.connect_timeout = 50ms;
    Client client{loop.context, options};
    listen_to_end(client, log);
    const auto fail = [] { throw std::runtime_error("a listener"); };
    std::string url = loop.url, cause;
    SECTION("the request") {
        client.on_request([&](std::string_view) { fail(); });
        cause = "the listener for the request threw";
    }
    SECTION("the response") {
        client.on_response([&](const HttpResponse&) { fail(); });
        cause = "no answer to the opening handshake in time";
    }
    SECTION("the end") {
        client.on_end([&](const ConnectionEnd& end, bool) {
            log.ends.push_back(end);
            fail();
        });
        url = "no URL";
        cause = "URL 'no URL'";
    }
    client.connect(url, Greeter{&log});
    CHECK_THROWS_WITH(loop.context.run_for(30s), "a listener");
    loop.run_until([&] { return client.is_idle(); });
    REQUIRE(log.ends.size() == 1);
    CAPTURE(log.ends[0].cause);
    CHECK(log.ends[0].cause.starts_with(cause));
    client.on_request({});
    client.on_response({});
    listen_to_end(client, log);
    client.connect(loop.url, Greeter{&log});
    loop.run_until([&] { return client.is_idle(); });
    CHECK(log.words == std::vector<std::string>{"open ", "hello", "close 1000"});
}

// --- Destruction ---

namespace {

/// Destroys its client within one of the callbacks, and notes what is called later.
struct SelfDestroying {
    std::unique_ptr<Client> client;
    std::string when;
    bool gone = false;
    std::vector<std::string> seen{}, late{};

    void called(const std::string& what) {
        (gone ? late : seen).push_back(what);
        if (what == when && client) destroy();
    }
    void destroy() {
        std::exchange(client, nullptr).reset();
        gone = true;
    }
    bool has_seen(const std::string& what) const { return std::ranges::find(seen, what) != seen.end(); }
    void listen() {
        client->on_request([this](std::string_view) { called("request"); });
        client->on_response([this](const HttpResponse&) { called("response"); });
        client->on_end([this](const ConnectionEnd&, bool will_retry) { called(will_retry ? "end, retries" : "end"); });
    }
};

/// Sends one of each and is called for each.
struct Talkative {
    SelfDestroying* owner;

    void on_open(AnyConnection& connection) {
        connection.send(Text{"text"});
        connection.send(Binary{bytes_of("binary")});
        connection.ping(bytes_of("ping"));
        connection.hub()->broadcast({}, Text{"broadcast"}, [by = owner](std::size_t) { by->called("count"); });
        owner->called("open");
    }
    void on_message(AnyConnection&, const Text& message) { owner->called(std::string{message.text}); }
    void on_message(AnyConnection& connection, const Binary&) {
        connection.hub()->ping_all([by = owner](std::size_t) { by->called("late count"); });
        owner->called("binary");
    }
    void on_ping(AnyConnection& connection, const Ping&) {
        owner->called("ping");
        connection.close(CloseCode::normal, "done");
    }
    void on_pong(AnyConnection&, const Pong&) { owner->called("pong"); }
    void on_close(AnyConnection&, const Close&) { owner->called("close"); }
};

/// Runs the loop, which belongs to the server, too, until nothing is left to do.
void run_out(OneLoop& loop) {
    loop.server.request_stop(0ms);
    loop.context.run_for(30s);
    CHECK(loop.context.stopped());
}

}  // namespace

TEST_CASE("a client may be destroyed within any of its callbacks, and none is called later", "[client]") {
    OneLoop loop;
    ClientOptions options;
    options.reconnect = Reconnect{.first = 1ms};
    std::string url = loop.url;
    const std::string when = GENERATE("request", "response", "open", "text", "binary", "broadcast", "count", "ping",
                                      "pong", "close", "end, retries", "end");
    if (when == "end, retries") url = "ws://127.0.0.1:1/";
    if (when == "end") options.reconnect.reset();
    SelfDestroying owner{std::make_unique<Client>(loop.context, options), when};
    owner.listen();
    struct Pinger {
        void on_message(AnyConnection& connection, const Text& message) {
            connection.send(message);
            if (message.text == "broadcast") connection.ping();
        }
        void on_message(AnyConnection& connection, const Binary& message) { connection.send(message); }
    };
    loop.server.handle(Pinger{});
    owner.client->connect(url, Talkative{&owner});
    loop.run_until([&] { return owner.gone; });
    run_out(loop);
    CAPTURE(when, owner.seen);
    CHECK(owner.has_seen(when));
    CHECK(owner.late.empty());
    CHECK(std::ranges::count(owner.seen, "close") == (owner.has_seen("open") ? 1 : 0));
    CHECK(owner.has_seen("count") == owner.has_seen("open"));
}

TEST_CASE("a client may be destroyed in any state, and no callback is called later", "[client]") {
    const bool in_the_loop = GENERATE(false, true);
    OneLoop loop;
    ClientOptions options;
    options.reconnect = Reconnect{.first = 1ms};
    SelfDestroying owner{std::make_unique<Client>(loop.context, options), ""};
    owner.listen();
    const auto until = [&](const char* what) { loop.run_until([&] { return owner.has_seen(what); }); };
    SECTION("before connect()") {}
    SECTION("before the loop runs") { owner.client->connect(loop.url, Talkative{&owner}); }
    SECTION("while it connects") {
        owner.client->connect(loop.url, Talkative{&owner});
        loop.context.run_one();
        CHECK(owner.seen.empty());
    }
    SECTION("during the opening handshake") {
        owner.client->connect(loop.url, Talkative{&owner});
        until("request");
        CHECK_FALSE(owner.has_seen("response"));
    }
    SECTION("while it is open") {
        owner.client->connect(loop.url, Talkative{&owner});
        until("open");
    }
    SECTION("during the closing handshake") {
        owner.client->connect(loop.url, Talkative{&owner});
        until("open");
        owner.client->close();
    }
    SECTION("while the next connect() waits for the closing handshake") {
        owner.client->connect(loop.url, Talkative{&owner});
        until("open");
        owner.client->connect(loop.url, Talkative{&owner});
    }
    SECTION("while it waits for the next attempt") {
        owner.client->connect("ws://127.0.0.1:1/", Talkative{&owner});
        until("end, retries");
    }
    if (in_the_loop) {
        asio::post(loop.context, [&] { owner.destroy(); });
        loop.run_until([&] { return owner.gone; });
    } else {
        owner.destroy();
    }
    run_out(loop);
    CHECK(owner.late.empty());
    CHECK(std::ranges::count(owner.seen, "close") == (owner.has_seen("open") ? 1 : 0));
    CHECK(owner.has_seen("count") == owner.has_seen("open"));
}

TEST_CASE("a client may be destroyed while other threads send to it", "[client][threads]") {
    struct Keeper {
        std::shared_ptr<Hub>* hub;
        ConnectionHandle* handle;
        void on_open(AnyConnection& connection) {
            *hub = connection.hub();
            *handle = connection.handle();
        }
    };
    std::shared_ptr<Hub> hub;
    ConnectionHandle handle;
    OneLoop loop;
    auto client = std::make_unique<Client>(loop.context);
    client->connect(loop.url, Keeper{&hub, &handle});
    loop.run_until([&] { return client->is_open(); });
    std::atomic<int> sending{0};
    std::atomic<std::size_t> broadcasts{0}, counts{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
            do {
                ++broadcasts;
                hub->broadcast({}, Text{"to all"}, [&](std::size_t) { ++counts; });
                ++sending;
            } while (handle.send(Text{"to one"}) != SendStatus::closed);
        });
    }
    loop.run_until([&] { return sending > 10; });
    client.reset();
    for (std::thread& thread : threads) thread.join();
    CHECK(counts == broadcasts);
}

TEST_CASE("a loop may end after its client was destroyed within it", "[client]") {
    Log log;
    std::unique_ptr<Client> client;
    asio::io_context context{1};
    client = std::make_unique<Client>(context);
    client->on_end([&](const ConnectionEnd&, bool) {
        client.reset();
        context.stop();
    });
    client->connect("no URL", Greeter{&log});
    context.run();
    CHECK_FALSE(client);
}

namespace {

/// Says when it is destroyed.
struct Tracked {
    explicit Tracked(AnyConnection&) {}
    ~Tracked() {
        if (ended != nullptr) *ended = true;
    }
    Tracked(const Tracked&) = delete;
    Tracked& operator=(const Tracked&) = delete;

    bool* ended = nullptr;
};

/// Destroys its own client.
struct Ender {
    using Data = Tracked;
    void on_open(AnyConnection& connection) {
        auto& data = connection.data<Tracked>();
        data.ended = &ended;
        client.reset();
        ended_within = ended;
    }

    std::unique_ptr<Client>& client;
    bool& ended;
    bool& ended_within;
};

}  // namespace

TEST_CASE("a reaction that destroys its client uses its data to its end", "[client]") {
    bool ended = false, ended_within = true;
    OneLoop loop;
    loop.server.on_message([](AnyConnection& connection, const Text& message) { connection.send(message); });
    auto client = std::make_unique<Client>(loop.context);
    client->connect(loop.url, Ender{client, ended, ended_within});
    loop.run_until([&] { return ended; });
    CHECK_FALSE(ended_within);
    CHECK(client == nullptr);
}
