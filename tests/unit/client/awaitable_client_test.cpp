#include "wsserver/awaitable_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/client_task.hpp"
#include "support/one_loop.hpp"
#include "wsserver/protocol/frame_tap.hpp"
#include "wsserver/transport/listener.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::Connected;
using test::error_of;
using test::OneLoop;
using test::payload_of;
using test::Received;
using test::SilentServer;
using test::Task;
namespace asio = boost::asio;

namespace {

asio::awaitable<void> whole_conversation(OneLoop& l) {
    AwaitableClient client{l.context};
    const auto connected = co_await client.connect(l.url);
    CHECK(connected);
    CHECK(client.is_open());
    client.send("one");
    client.send(std::vector<std::byte>{std::byte{'t'}, std::byte{'w'}, std::byte{'o'}});
    const auto one = co_await client.receive();
    CHECK(one->payload == "one");
    CHECK(one->is_text());
    const auto two = co_await client.receive(std::chrono::milliseconds::max());
    CHECK(two->payload == "two");
    CHECK_FALSE(two->is_text());
    const auto none = co_await client.receive(1ms);
    CHECK_FALSE(none);
    CHECK(client.is_open());
    const ConnectionEnd end = co_await client.close(CloseCode{4000}, "done");
    CHECK(end.code == CloseCode{4000});
    const auto after = co_await client.receive();
    CHECK_FALSE(after);

    const auto again = co_await client.connect(l.url);
    CHECK(again);
    AwaitableClient other{l.context};
    const auto refused = co_await other.connect("ws://127.0.0.1:1/");
    CHECK_FALSE(refused);
    CHECK(refused.error().code == std::errc::connection_refused);
    CHECK(refused.error().text.find("refused") != std::string::npos);
    CHECK(refused.error().refused_with == 0);
    const std::string& text = refused.error();
    CHECK(text == refused.error().text);
    std::ostringstream stream;
    stream << refused.error();
    CHECK(stream.str() == text);
    ClientOptions unwanted;
    unwanted.origin = "http://evil.example";
    AwaitableClient third{l.context, unwanted};
    const auto forbidden = co_await third.connect(l.url);
    CHECK(forbidden.error().code == Errc::unexpected_status);
    CHECK(forbidden.error().refused_with == 403);
    CHECK(third.end()->error == Errc::unexpected_status);
}

asio::awaitable<void> slow_receiver(OneLoop& l) {
    AwaitableClient client{l.context};
    const auto connected = co_await client.connect(l.url);
    CHECK(connected);
    const std::string message(100'000, 'x');
    // More than is kept for the coroutine; one at a time, so that the echo server's queue stays short.
    for (int i = 0; i < 50; ++i) {
        client.send(Text{message});
        if (i >= 5) {
            const auto received = co_await client.receive();
            CHECK(received->payload == message);
        }
    }
    for (int i = 0; i < 5; ++i) {
        const auto received = co_await client.receive();
        CHECK(received->payload == message);
    }
}

asio::awaitable<void> closes_before_many_messages(OneLoop& l) {
    AwaitableClient client{l.context};
    const auto connected = co_await client.connect(l.url);
    CHECK(connected);
    const std::string message(std::size_t{2} << 20, 'x');  // more than is kept for the coroutine
    constexpr int many = 4;
    for (int i = 0; i < many; ++i) client.send(Text{message});
    const ConnectionEnd end = co_await client.close(CloseCode{4000});
    CHECK(end.code == CloseCode{4000});
    CHECK(end.info.messages_in == many);
}

asio::awaitable<void> closes_what_it_never_had(OneLoop& l) {
    AwaitableClient client{l.context};
    const ConnectionEnd end = co_await client.close();
    CHECK_FALSE(end.opened);
    CHECK(end.code == CloseCode::abnormal);
}

asio::awaitable<void> closed_by_the_server(OneLoop& l) {
    AwaitableClient client{l.context};
    const auto connected = co_await client.connect(l.url);
    CHECK(connected);
    l.server.hub()->close_all(CloseCode::going_away, "bye", {});
    const auto message = co_await client.receive();
    CHECK_FALSE(message);
    CHECK(client.end()->code == CloseCode::going_away);
    CHECK(client.end()->reason == "bye");
}

}  // namespace

TEST_CASE("an awaitable client connects, sends, receives and closes", "[client][awaitable]") {
    OneLoop loop;
    loop.run(whole_conversation(loop));
}

TEST_CASE("an awaitable client makes the peer wait for receive() and loses nothing", "[client][awaitable]") {
    OneLoop loop;
    loop.run(slow_receiver(loop));
}

TEST_CASE("an awaitable client discards all messages that arrive during close()", "[client][awaitable]") {
    OneLoop loop;
    loop.run(closes_before_many_messages(loop));
}

TEST_CASE("close() of an awaitable client returns even without a connection", "[client][awaitable]") {
    OneLoop loop;
    loop.run(closes_what_it_never_had(loop));
}

TEST_CASE("receive() of an awaitable client ends when the server closes", "[client][awaitable]") {
    OneLoop loop;
    loop.run(closed_by_the_server(loop));
}

// --- Coroutines that are cancelled, and clients that are replaced or destroyed while coroutines wait in them ---

namespace {

/// Cancels a task when a text message arrives, before the handler is called.
template <class R>
struct CancelAtText final : FrameTap {
    Task<R>* task = nullptr;

    void on_frame(bool incoming, const FrameHeader& header) override {
        if (incoming && header.opcode == Opcode::text) task->cancel.emit(asio::cancellation_type::terminal);
    }
};

}  // namespace

TEST_CASE("connect() after a cancelled connect() returns the result of the new attempt", "[client][awaitable]") {
    SilentServer s;
    Task<Connected> first;
    first.start(s.loop.context, s.client->connect(s.silent_url));
    SECTION("before it has begun") {}
    SECTION("while it connects") {
        s.loop.run_until([&] { return !s.client->client().is_idle(); });
    }
    SECTION("while it awaits the response") {
        s.loop.run_until([&] { return !s.request.empty(); });
    }
    first.cancel.emit(asio::cancellation_type::terminal);
    Task<Connected> second;
    SECTION("at once") {}
    SECTION("after the cancelled one has ended") {
        s.loop.run_until([&] { return first.ended; });
        CHECK_FALSE(s.client->is_open());
    }
    second.start(s.loop.context, s.client->connect(s.loop.url));
    s.loop.run_until([&] { return first.ended && second.ended; });
    CHECK(first.cancelled);
    CHECK(error_of(second) == "(no error)");
    CHECK(s.client->is_open());
    CHECK_FALSE(s.client->end());
    CHECK(s.echo("hello") == "hello");
}

TEST_CASE("a cancelled connect() gives up, even if the connection has just opened", "[client][awaitable]") {
    SilentServer s;
    Task<Connected> task;
    s.client->client().on_response([&](const HttpResponse&) { task.cancel.emit(asio::cancellation_type::terminal); });
    task.start(s.loop.context, s.client->connect(s.loop.url));
    s.loop.run_until([&] { return s.client->is_open() || task.ended; });
    REQUIRE_FALSE(task.ended);
    s.loop.run_until([&] { return task.ended && s.client->client().is_idle(); });
    CHECK(task.cancelled);
    CHECK(s.client->end());
    s.client->client().on_response({});
    s.connect();
    CHECK(s.echo("again") == "again");
}

TEST_CASE("a cancelled receive() takes no message, even if one has just arrived", "[client][awaitable]") {
    Task<Received> task;
    CancelAtText<Received> tap;
    tap.task = &task;
    ClientOptions options;
    options.tap = &tap;
    SilentServer s{options};
    s.connect();
    task.start(s.loop.context, s.client->receive());
    s.client->send(Text{"kept"});
    s.loop.run_until([&] { return task.ended; });
    CHECK(task.cancelled);
    CHECK(s.echo("next") == "kept");
}

TEST_CASE("a connect() that is replaced or closed says so", "[client][awaitable]") {
    SilentServer s;
    Task<Connected> first;
    first.start(s.loop.context, s.client->connect(s.silent_url));
    SECTION("replaced") {
        s.loop.run_until([&] { return !s.request.empty(); });
        s.connect();
        s.loop.run_until([&] { return first.ended; });
        CHECK(error_of(first) == "replaced by a later connect()");
        CHECK(s.echo("hello") == "hello");
    }
    SECTION("closed before the attempt begins, while it connects, or during its opening handshake") {
        const int steps = GENERATE(1, 2, 3, 4);
        for (int i = 0; i < steps; ++i) s.loop.context.run_one();
        Task<ConnectionEnd> close;
        close.start(s.loop.context, s.client->close(CloseCode{4000}));
        s.loop.run_until([&] { return first.ended && close.ended; });
        CHECK(error_of(first) == "given up");
        CHECK(close.result->cause == "given up");
    }
}

TEST_CASE("connect() while connected ends what waits for the old connection", "[client][awaitable]") {
    SilentServer s;
    s.connect();
    Task<Received> receive;
    Task<ConnectionEnd> close;
    receive.start(s.loop.context, s.client->receive());
    const bool closes = GENERATE(false, true);
    if (closes) close.start(s.loop.context, s.client->close(CloseCode{4000}));
    s.loop.context.poll();
    s.connect();
    s.loop.run_until([&] { return receive.ended && close.ended == closes; });
    CHECK(payload_of(receive) == "(nothing)");
    CHECK(s.client->is_open());
    CHECK_FALSE(s.client->end());
    CHECK(s.echo("new") == "new");
}

TEST_CASE("several coroutines may wait in one client", "[client][awaitable]") {
    SilentServer s;
    s.connect();
    Task<Received> one, two;
    one.start(s.loop.context, s.client->receive());
    two.start(s.loop.context, s.client->receive(1h));
    s.client->send(Text{"a"});
    s.loop.run_until([&] { return one.ended || two.ended; });
    CHECK(one.ended != two.ended);
    Task<ConnectionEnd> close;
    close.start(s.loop.context, s.client->close(CloseCode{4000}));
    s.loop.run_until([&] { return one.ended && two.ended && close.ended; });
    CHECK(close.result->code == CloseCode{4000});
}

TEST_CASE("destroying a client ends the coroutines that wait in it", "[client][awaitable]") {
    SilentServer s;
    Task<Connected> connect;
    Task<Received> receive, receive_in_time;
    Task<ConnectionEnd> close;
    SECTION("connect()") {
        connect.start(s.loop.context, s.client->connect(s.silent_url));
        SECTION("before it has begun") {}
        SECTION("while it connects") { s.loop.context.run_one(); }
        SECTION("during the opening handshake") {
            s.loop.run_until([&] { return !s.request.empty(); });
        }
        s.client.reset();
        s.loop.run_until([&] { return connect.ended; });
        CHECK(error_of(connect) == "the client is gone");
    }
    SECTION("connect(), whose connection has just opened") {
        connect.start(s.loop.context, s.client->connect(s.loop.url));
        s.loop.run_until([&] { return s.client->is_open(); });
        REQUIRE_FALSE(connect.ended);
        s.client.reset();
        s.loop.run_until([&] { return connect.ended; });
        CHECK(error_of(connect) == "the client is gone");
    }
    SECTION("receive()") {
        s.connect();
        receive.start(s.loop.context, s.client->receive());
        receive_in_time.start(s.loop.context, s.client->receive(1h));
        SECTION("before a message") { s.loop.context.poll(); }
        SECTION("after a message that it has not taken") {
            s.client->send(Text{"lost"});
            s.loop.run_until([&] { return s.client->client().info()->messages_in == 1; });
            REQUIRE_FALSE(receive.ended);
        }
        s.client.reset();
        s.loop.run_until([&] { return receive.ended && receive_in_time.ended; });
        CHECK(payload_of(receive) == "(nothing)");
        CHECK(payload_of(receive_in_time) == "(nothing)");
    }
    SECTION("close()") {
        s.connect();
        close.start(s.loop.context, s.client->close(CloseCode{4000}));
        SECTION("before it has begun") {}
        SECTION("during the closing handshake") { s.loop.context.run_one(); }
        s.client.reset();
        s.loop.run_until([&] { return close.ended; });
        CHECK(close.result->code == CloseCode::abnormal);
        CHECK(close.result->cause == "the client is gone");
    }
}

TEST_CASE("a loop may be destroyed while coroutines wait in their clients", "[client][awaitable]") {
    auto listeners = open_listeners(*parse_endpoint("127.0.0.1:0"));
    const std::string url = "ws://" + to_string(listeners->endpoint);
    asio::io_context context{1};
    bool ended = false;
    asio::co_spawn(
        context,
        [](asio::io_context& loop, std::string to) -> asio::awaitable<void> {
            AwaitableClient client{loop};
            (void)co_await client.connect(std::move(to));
        }(context, url),
        [&](std::exception_ptr) { ended = true; });
    const int steps = GENERATE(0, 1, 2, 3, 4);
    for (int i = 0; i < steps; ++i) context.run_one_for(1s);
    CHECK_FALSE(ended);
}
