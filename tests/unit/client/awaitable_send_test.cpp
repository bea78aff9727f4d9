// An AwaitableClient that sends more than its server takes at once.
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/client_task.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::OneLoop;
using test::Task;
namespace asio = boost::asio;
using Error = boost::system::error_code;

namespace {

constexpr std::size_t mark = std::size_t{1} << 20;

/// What a server has received.
struct Received {
    std::size_t bytes = 0, messages = 0, wrong = 0;
};

/// Expects messages of one repeated byte, which is their number.
struct Sink {
    Received* received;

    void on_message(AnyConnection&, const Binary& message) {
        const auto byte = static_cast<std::uint8_t>(received->messages++);
        received->bytes += message.bytes.size();
        if (!std::ranges::all_of(message.bytes, [&](std::uint8_t b) { return b == byte; })) ++received->wrong;
    }
    void on_message(AnyConnection&, const Text&) {}
};

ServerOptions reading(std::size_t bytes_per_second) {
    ServerOptions options;
    options.io_threads = 1;
    options.connection.receive_rates.bytes = bytes_per_second;
    return options;
}

/// A server that reads slowly, and a client of it.
struct SlowServer {
    Received received{};  // before the server
    OneLoop loop{};       // for run(); its own server is not used
    Server server;
    std::unique_ptr<AwaitableClient> client = std::make_unique<AwaitableClient>(loop.context);
    std::string url;

    explicit SlowServer(std::size_t bytes_per_second) : server(loop.context, reading(bytes_per_second)) {
        server.handle(Sink{&received});
        url = *server.listen("127.0.0.1:0");
        server.start();
    }
    /// Sends until an operation waits.
    template <class Token>
    void fill(Token last) {
        connect();
        const std::string piece(mark, 'x');
        while (client->client().has_space()) {
            client->send(piece);
            for (int i = 0; i < 100 && !client->client().has_space(); ++i) loop.context.poll_one();
        }
        client->async_send("last", std::move(last));
        for (int i = 0; i < 100; ++i) loop.context.poll_one();
    }
    void connect() {
        Task<test::Connected> task;
        task.start(loop.context, client->connect(url));
        loop.run_until([&] { return task.ended; });
        REQUIRE(client->is_open());
    }
};

asio::awaitable<void> upload(SlowServer& s, std::size_t& most) {
    co_await s.client->async_connect(s.url);
    constexpr std::size_t piece = std::size_t{64} << 10;
    for (std::size_t sent = 0; sent < std::size_t{40} << 20; sent += piece) {
        const std::vector<std::uint8_t> bytes(piece, static_cast<std::uint8_t>(sent / piece));
        co_await s.client->async_send(bytes);
        most = std::max(most, s.client->client().queued());
    }
    const ConnectionEnd end = co_await s.client->async_close();
    CHECK(end.code == CloseCode::normal);
}

}  // namespace

TEST_CASE("40 MiB in pieces of 64 KiB arrive at a slow server, and little waits", "[client][awaitable]") {
    SlowServer s{std::size_t{32} << 20};
    std::size_t most = 0;
    s.loop.run(upload(s, most));
    CHECK(s.received.bytes == std::size_t{40} << 20);
    CHECK(s.received.messages == 640);
    CHECK(s.received.wrong == 0);
    CHECK(most <= mark);  // when an operation has ended
}

namespace {

asio::awaitable<void> upload_in_pieces(SlowServer& s, std::size_t& most) {
    co_await s.client->async_connect(s.url);
    CHECK(s.client->begin_message(Opcode::binary) == SendStatus::queued);
    const std::vector<std::uint8_t> piece(std::size_t{64} << 10);
    for (int i = 0; i < 160; ++i) {
        co_await s.client->async_append(piece);
        most = std::max(most, s.client->client().queued());
    }
    CHECK(s.client->end_message() == SendStatus::queued);
    constexpr auto with_tuple = asio::as_tuple(asio::use_awaitable);
    const auto [not_begun] = co_await s.client->async_append(piece, with_tuple);
    CHECK(not_begun == asio::error::invalid_argument);
    CHECK(s.client->begin_message(Opcode::text) == SendStatus::queued);
    const auto [refused] = co_await s.client->async_append("\xff", with_tuple);
    CHECK(refused == Errc::invalid_utf8);
    const auto [not_open] = co_await s.client->async_append("a", with_tuple);
    CHECK(not_open == asio::error::invalid_argument);
    (void)co_await s.client->async_close();
}

/// Ends the connection once.
struct Fickle {
    bool has_ended = false;
    void on_part(AnyConnection& connection, const Part&) {
        if (!std::exchange(has_ended, true)) connection.close(CloseCode::going_away);
    }
};

asio::awaitable<void> lose_a_message(AwaitableClient& client, std::string url) {
    constexpr auto with_tuple = asio::as_tuple(asio::use_awaitable);
    int opened = 0;
    client.on_open([&] { ++opened; });
    co_await client.async_connect(url);
    CHECK(client.begin_message(Opcode::binary) == SendStatus::queued);
    co_await client.async_append("a");
    while (opened < 2) co_await asio::post(asio::use_awaitable);
    const auto [lost] = co_await client.async_append("b", with_tuple);
    CHECK(lost == asio::error::connection_aborted);
    CHECK(client.end_message() == SendStatus::refused);
    CHECK(client.begin_message(Opcode::binary) == SendStatus::queued);
    co_await client.async_append("c");
    (void)co_await client.async_close();
}

}  // namespace

TEST_CASE("the rest of a message whose connection was lost is not sent on the next one", "[client][awaitable]") {
    OneLoop loop;
    Server server{loop.context, {.io_threads = 1}};
    server.handle(Fickle{});
    const auto url = server.listen("127.0.0.1:0");
    server.start();
    ClientOptions options;
    options.reconnect = Reconnect{.first = 1ms, .longest = 4ms};
    AwaitableClient client{loop.context, options};
    loop.run(lose_a_message(client, *url));
}

TEST_CASE("a message of 10 MiB in pieces arrives at a slow server, and little waits", "[client][awaitable]") {
    SlowServer s{std::size_t{32} << 20};
    std::size_t most = 0;
    s.loop.run(upload_in_pieces(s, most));
    CHECK(s.received.bytes == std::size_t{10} << 20);
    CHECK(s.received.messages == 1);
    CHECK(s.received.wrong == 0);
    CHECK(most <= mark);
}

namespace {

asio::awaitable<void> many_senders(SlowServer& s) {
    using namespace asio::experimental::awaitable_operators;
    co_await s.client->async_connect(s.url);
    const auto send = [&]() -> asio::awaitable<void> {
        const std::string piece(std::size_t{64} << 10, 'x');
        for (int i = 0; i < 100; ++i) {
            co_await s.client->async_send(piece);
            CHECK(s.client->client().queued() <= mark + 4 * (piece.size() + 100));
        }
    };
    co_await (send() && send() && send() && send());
    const ConnectionEnd end = co_await s.client->close();
    CHECK(end.info.messages_out == 400);
}

asio::awaitable<void> send_in_vain(OneLoop& loop) {
    constexpr auto with_tuple = asio::as_tuple(asio::use_awaitable);
    ClientOptions options;
    options.connection.send_queue = {0, 0, SlowConsumer::drop_newest};
    AwaitableClient client{loop.context, options};
    const auto [closed] = co_await client.async_send("a", with_tuple);
    CHECK(closed == asio::error::not_connected);
    co_await client.async_connect(loop.url);
    const auto [refused] = co_await client.async_send("\xff", with_tuple);
    CHECK(refused == Errc::invalid_utf8);
    const auto [sent] = co_await client.async_send("a", with_tuple);
    CHECK_FALSE(sent);
    const ReceivedMessage echo = co_await client.async_receive();
    CHECK(echo.payload == "a");
    client.send("b");
    const auto [dropped] = co_await client.async_send("c", with_tuple);
    CHECK(dropped == asio::error::no_buffer_space);
}

}  // namespace

TEST_CASE("several coroutines send to a slow server", "[client][awaitable]") {
    SlowServer s{std::size_t{64} << 20};
    s.loop.run(many_senders(s));
}

TEST_CASE("a message that is not sent is an error of its operation", "[client][awaitable]") {
    OneLoop loop;
    loop.run(send_in_vain(loop));
}

TEST_CASE("a send that waits ends with its connection, and can be cancelled", "[client][awaitable]") {
    SlowServer s{1024};
    int calls = 0;
    Error result;
    asio::cancellation_signal cancel;
    s.fill(asio::bind_cancellation_slot(cancel.slot(), [&](Error error) {
        ++calls;
        result = error;
    }));
    REQUIRE(calls == 0);
    SECTION("cancelled") {
        cancel.emit(asio::cancellation_type::terminal);
        s.loop.run_until([&] { return calls == 1; });
        CHECK(result == asio::error::operation_aborted);
        CHECK(s.client->is_open());
    }
    SECTION("cancelled totally, which it does not support") {
        cancel.emit(asio::cancellation_type::total);
        for (int i = 0; i < 100; ++i) s.loop.context.poll_one();
        CHECK(calls == 0);
    }
    SECTION("closed by the client") {
        s.client->async_close(CloseCode::normal, "", [](Error, const ConnectionEnd&) {});
        s.loop.run_until([&] { return calls == 1; });
        CHECK(result == asio::error::connection_aborted);
    }
    SECTION("ended by the server") {
        (void)s.server.stop(0ms);
        s.loop.run_until([&] { return calls == 1; });
        CHECK(result);
        CHECK_FALSE(s.client->is_open());
    }
    SECTION("destroyed") {
        s.client.reset();
        s.loop.run_until([&] { return calls == 1; });
        CHECK(result == asio::error::operation_aborted);
    }
    CHECK(calls <= 1);
}
