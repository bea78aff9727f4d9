// An AwaitableClient that reconnects.
#include <boost/asio/error.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/client_task.hpp"
#include "wsserver/transport/endpoint.hpp"
#include "wsserver/transport/listener.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::Connected;
using test::error_of;
using test::OneLoop;
using test::payload_of;
using test::Received;
using test::Task;
namespace asio = boost::asio;
using Error = boost::system::error_code;

namespace {

struct Greeter {
    void on_open(AnyConnection& connection) { connection.send("hello"); }
    void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
};

ClientOptions quick(std::size_t attempts = 0) {
    ClientOptions options;
    options.subprotocols = {"greet"};
    options.reconnect = Reconnect{.first = 1ms, .longest = 4ms, .attempts = attempts};
    return options;
}

/// A client whose server can be restarted, and what its listeners have been called with.
struct Restarting {
    OneLoop loop{};
    std::vector<std::string> events{};
    std::unique_ptr<AwaitableClient> client;

    explicit Restarting(const ClientOptions& options = quick())
        : client(std::make_unique<AwaitableClient>(loop.context, options)) {
        loop.server.handle("greet", Greeter{});
        client->on_open([this] { events.push_back("up"); });
        client->on_end([this](const ConnectionEnd& end, bool will_retry) {
            events.push_back((end.opened ? "down " + std::to_string(static_cast<int>(end.code)) : "failed") +
                             (will_retry ? "" : ", over"));
        });
    }
    void restart() { loop.server.hub()->close_all(CloseCode::service_restart, "", {}); }
    std::string receive() {
        Task<Received> task;
        task.start(loop.context, client->receive());
        loop.run_until([&] { return task.ended; });
        if (!task.result || !*task.result) return "(nothing)";
        return (*task.result)->payload + " " + std::to_string((*task.result)->connection);
    }
    std::string connect(const std::string& url) {
        Task<Connected> task;
        task.start(loop.context, client->connect(url));
        loop.run_until([&] { return task.ended; });
        return error_of(task);
    }
};

/// The URL of a port on which no server listens.
std::string free_url() { return "ws://" + to_string(open_listeners(*parse_endpoint("127.0.0.1:0"))->endpoint); }

}  // namespace

TEST_CASE("receive() goes on with the messages of the next connection", "[client][awaitable]") {
    Restarting r;
    CHECK(r.connect(r.loop.url) == "(no error)");
    CHECK(r.receive() == "hello 1");
    r.restart();
    CHECK(r.receive() == "hello 2");
    SECTION("also if it was not called meanwhile") {
        r.client->send("last");
        r.loop.run_until([&] { return r.client->client().info()->messages_in == 2; });
        r.restart();
        r.loop.run_until([&] { return r.events.size() == 5; });
        CHECK(r.receive() == "last 2");
        CHECK(r.receive() == "hello 3");
    }
    CHECK(r.events[0] == "up");
    CHECK(r.events[1] == "down 1012");
    CHECK(r.events[2] == "up");
    CHECK_FALSE(r.client->end());
}

TEST_CASE("a listener for openings may send at once", "[client][awaitable]") {
    Restarting r;
    r.client->on_open([&] { CHECK(r.client->send("login") == SendStatus::queued); });
    CHECK(r.connect(r.loop.url) == "(no error)");
    CHECK(r.receive() == "hello 1");
    CHECK(r.receive() == "login 1");
    r.restart();
    CHECK(r.receive() == "hello 2");
    CHECK(r.receive() == "login 2");
}

TEST_CASE("connect() waits for the server if the client reconnects", "[client][awaitable]") {
    Restarting r;
    const std::string url = free_url();
    Task<Connected> connect;
    connect.start(r.loop.context, r.client->connect(url));
    r.loop.run_until([&] { return r.events.size() >= 2; });
    CHECK_FALSE(connect.ended);
    SECTION("until it listens") {
        REQUIRE(r.loop.server.listen(url.substr(5)));
        r.loop.run_until([&] { return connect.ended; });
        CHECK(error_of(connect) == "(no error)");
        CHECK(r.receive() == "hello 1");
    }
    SECTION("until close()") {
        Task<ConnectionEnd> close;
        close.start(r.loop.context, r.client->close());
        r.loop.run_until([&] { return connect.ended && close.ended; });
        CHECK(error_of(connect) == "given up");
        CHECK(r.client->client().is_idle());
    }
    SECTION("until it is cancelled") {
        connect.cancel.emit(asio::cancellation_type::terminal);
        r.loop.run_until([&] { return connect.ended; });
        CHECK(connect.cancelled);
        CHECK(r.client->client().is_idle());
    }
    SECTION("until the client is destroyed") {
        r.client.reset();
        r.loop.run_until([&] { return connect.ended; });
        CHECK(error_of(connect) == "the client is gone");
    }
    SECTION("until a later connect()") {
        CHECK(r.connect(r.loop.url) == "(no error)");
        r.loop.run_until([&] { return connect.ended; });
        CHECK(error_of(connect) == "replaced by a later connect()");
    }
}

TEST_CASE("operations end when the attempts of a client are used up", "[client][awaitable]") {
    Restarting r{quick(2)};
    int calls = 0;
    Error received, open;
    CHECK(r.connect(r.loop.url) == "(no error)");
    CHECK(r.receive() == "hello 1");
    r.client->async_receive([&](Error error, const ReceivedMessage&) {
        ++calls;
        received = error;
    });
    r.loop.server.drain();
    r.restart();  // the connection was too short: this is the first failed attempt
    r.loop.run_until([&] { return r.events.size() >= 2; });
    CHECK(r.events[1] == "down 1012");
    r.client->async_wait_open([&](Error error) {
        ++calls;
        open = error;
    });
    r.loop.run_until([&] { return calls == 2; });
    CHECK(received == asio::error::connection_refused);
    CHECK(open == asio::error::connection_refused);
    CHECK(r.events.back() == "failed, over");
    CHECK(r.receive() == "(nothing)");
    CHECK(r.client->end()->error == std::errc::connection_refused);
}

TEST_CASE("wait_open ends when a connection is open again", "[client][awaitable]") {
    Restarting r;
    CHECK(r.connect(r.loop.url) == "(no error)");
    int calls = 0;
    Error result;
    const auto count = [&](Error error) {
        ++calls;
        result = error;
    };
    r.client->async_wait_open(count);
    CHECK(calls == 0);
    r.loop.run_until([&] { return calls == 1; });
    r.restart();
    r.loop.run_until([&] { return !r.client->is_open(); });
    r.client->async_wait_open(count);
    r.loop.run_until([&] { return calls == 2; });
    CHECK_FALSE(result);
    CHECK(r.client->is_open());
}

TEST_CASE("close() between two connections ends all that waits", "[client][awaitable]") {
    ClientOptions options = quick();
    options.reconnect->first = options.reconnect->longest = 1h;
    Restarting r{options};
    CHECK(r.connect(r.loop.url) == "(no error)");
    CHECK(r.receive() == "hello 1");
    Task<Received> receive;
    receive.start(r.loop.context, r.client->receive());
    int calls = 0;
    Error open;
    r.restart();
    r.loop.run_until([&] { return r.events.size() == 2; });
    r.client->async_wait_open([&](Error error) {
        ++calls;
        open = error;
    });
    r.loop.context.poll();
    CHECK_FALSE(receive.ended);
    Task<ConnectionEnd> close;
    close.start(r.loop.context, r.client->close());
    r.loop.run_until([&] { return receive.ended && close.ended && calls == 1; });
    CHECK(payload_of(receive) == "(nothing)");
    CHECK(open == asio::error::operation_aborted);
    CHECK(close.result->code == CloseCode::service_restart);
}

TEST_CASE("close() in a listener for ends ends all that waits", "[client][awaitable]") {
    Restarting r;
    CHECK(r.connect(r.loop.url) == "(no error)");
    CHECK(r.receive() == "hello 1");
    int ended = 0, waited = 0;
    r.client->on_end([&](const ConnectionEnd&, bool will_retry) {
        if (will_retry) r.client->async_close([&](Error, const ConnectionEnd&) { ++ended; });
    });
    r.client->async_receive(10s, [&](Error error, const ReceivedMessage&) {
        CHECK(error == asio::error::operation_aborted);
        ++waited;
    });
    r.client->async_wait_open([](Error) {});
    r.restart();
    r.loop.run_until([&] { return ended == 1 && waited == 1; });
    r.loop.context.poll();
    CHECK_FALSE(r.client->is_open());
}
