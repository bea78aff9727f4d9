#include "wsserver/awaitable_client.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/one_loop.hpp"
#include "wsserver/protocol/frame_tap.hpp"
#include "wsserver/transport/listener.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::OneLoop;
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
    CHECK(refused.error().find("refused") != std::string::npos);
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

/// A coroutine that runs on its own, can be cancelled, and stores its result.
template <class R>
struct Task {
    std::optional<R> result{};
    bool cancelled = false;
    bool ended = false;
    asio::cancellation_signal cancel{};

    void start(asio::io_context& context, asio::awaitable<R> coroutine) {
        asio::co_spawn(context, std::move(coroutine),
                       asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr failure, R value) {
                           ended = true;
                           take(failure, std::move(value));
                       }));
    }
    void take(const std::exception_ptr& failure, R value) {
        if (!failure) return result.emplace(std::move(value)), void();
        try {
            std::rethrow_exception(failure);
        } catch (const boost::system::system_error& error) {
            cancelled = error.code() == asio::error::operation_aborted;
        }
    }
};

using Connected = Result<void, std::string>;
using Received = std::optional<ReceivedMessage>;

/// Cancels a task when a text message arrives, before the handler is called.
template <class R>
struct CancelAtText final : FrameTap {
    Task<R>* task = nullptr;

    void on_frame(bool incoming, const FrameHeader& header) override {
        if (incoming && header.opcode == Opcode::text) task->cancel.emit(asio::cancellation_type::terminal);
    }
};

std::string error_of(const Task<Connected>& task) {
    return task.result && !task.result->has_value() ? task.result->error() : std::string{"(no error)"};
}

std::string payload_of(const Task<Received>& task) {
    return task.result && *task.result ? (*task.result)->payload : std::string{"(nothing)"};
}

/// A loop with a second server that accepts connections and stays silent.
struct SilentServer {
    OneLoop loop{};
    Listeners silent = *open_listeners(*parse_endpoint("127.0.0.1:0"));
    std::string silent_url = "ws://" + to_string(silent.endpoint);
    std::unique_ptr<AwaitableClient> client;
    std::string request{};

    explicit SilentServer(const ClientOptions& options = {})
        : client(std::make_unique<AwaitableClient>(loop.context, options)) {
        client->client().on_request([this](std::string_view text) { request = text; });
    }
    void connect() {
        Task<Connected> task;
        task.start(loop.context, client->connect(loop.url));
        loop.run_until([&] { return task.ended; });
        REQUIRE(error_of(task) == "(no error)");
    }
    std::string echo(const char* text) {
        client->send(Text{text});
        Task<Received> task;
        task.start(loop.context, client->receive());
        loop.run_until([&] { return task.ended; });
        return payload_of(task);
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
