#include "wsserver/awaitable_client.hpp"

#include <boost/asio/io_context.hpp>
#include <string>

#include "support/catch.hpp"
#include "support/one_loop.hpp"

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
    client.send(Text{"one"});
    client.send(Binary{bytes_of("two")});
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
