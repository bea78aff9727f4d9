// The operations of an AwaitableClient with each kind of completion token and of cancellation.
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/version.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
#if BOOST_VERSION >= 108600
#include <boost/asio/cancel_after.hpp>
#endif

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/client_task.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::OneLoop;
using test::SilentServer;
using test::Task;
namespace asio = boost::asio;
using Error = boost::system::error_code;
using boost::asio::cancellation_type;

namespace {

constexpr auto with_tuple = asio::as_tuple(asio::use_awaitable);

/// What a completion handler was called with.
template <class R>
struct Outcome {
    int calls = 0;
    Error error{};
    R result{};

    auto handler() {
        return [this](Error with, R value) {
            ++calls;
            error = with;
            result = std::move(value);
        };
    }
};
template <>
struct Outcome<void> {
    int calls = 0;
    Error error{};

    auto handler() {
        return [this](Error with) {
            ++calls;
            error = with;
        };
    }
};

asio::awaitable<void> talk_with_exceptions(OneLoop& loop) {
    AwaitableClient client{loop.context};
    co_await client.async_connect(loop.url);
    co_await client.async_wait_open();
    client.send("one");
    const ReceivedMessage message = co_await client.async_receive();
    CHECK(message.payload == "one");
    CHECK(message.connection == 1);
    const auto [late, nothing] = co_await client.async_receive(1ms, with_tuple);
    CHECK(late == asio::error::timed_out);
    const ConnectionEnd end = co_await client.async_close(CloseCode{4000}, "done");
    CHECK(end.code == CloseCode{4000});
    const auto [ended, no_message] = co_await client.async_receive(with_tuple);
    CHECK(ended == asio::error::eof);
    const auto [not_open] = co_await client.async_wait_open(with_tuple);
    CHECK(not_open == asio::error::eof);
    const auto [refused] = co_await client.async_connect("ws://127.0.0.1:1/", with_tuple);
    CHECK(refused == asio::error::connection_refused);
    CHECK(client.end()->error == std::errc::connection_refused);
    bool thrown = false;
    try {
        co_await client.async_connect("no URL");
    } catch (const boost::system::system_error& error) {
        thrown = error.code() == boost::system::errc::invalid_argument;
    }
    CHECK(thrown);
}

}  // namespace

TEST_CASE("operations of a client throw their errors by default", "[client][awaitable]") {
    OneLoop loop;
    loop.run(talk_with_exceptions(loop));
}

TEST_CASE("a client without a connection says so to operations", "[client][awaitable]") {
    OneLoop loop;
    AwaitableClient client{loop.context};
    Outcome<ReceivedMessage> received;
    Outcome<void> open;
    Outcome<ConnectionEnd> closed;
    client.async_receive(received.handler());
    client.async_wait_open(open.handler());
    client.async_close(CloseCode::normal, "", closed.handler());
    loop.run_until([&] { return received.calls == 1 && open.calls == 1 && closed.calls == 1; });
    CHECK(received.error == asio::error::not_connected);
    CHECK(open.error == asio::error::not_connected);
    CHECK_FALSE(closed.error);
    CHECK(closed.result.code == CloseCode::abnormal);
}

TEST_CASE("operations of a client take callbacks, which are called in later turns", "[client][awaitable]") {
    OneLoop loop;
    AwaitableClient client{loop.context};
    Outcome<void> connected;
    client.async_connect(loop.url, connected.handler());
    CHECK(connected.calls == 0);
    loop.run_until([&] { return connected.calls == 1; });
    CHECK_FALSE(connected.error);

    Outcome<ReceivedMessage> first, second;
    client.async_receive(first.handler());
    client.send("a");
    client.send("b");
    loop.run_until([&] { return first.calls == 1 && client.client().info()->messages_in == 2; });
    CHECK(first.result.payload == "a");
    client.async_receive(second.handler());  // has a message at once
    CHECK(second.calls == 0);
    loop.run_until([&] { return second.calls == 1; });
    CHECK(second.result.payload == "b");

    Outcome<ConnectionEnd> closed;
    client.async_close(CloseCode{4001}, "bye", closed.handler());
    CHECK(closed.calls == 0);
    loop.run_until([&] { return closed.calls == 1; });
    CHECK(closed.result.code == CloseCode{4001});
    CHECK(connected.calls == 1);
}

TEST_CASE("operations of a client return futures", "[client][awaitable]") {
    OneLoop loop;
    AwaitableClient client{loop.context};
    const auto ready = [&](auto& future) {
        loop.run_until([&] { return future.wait_for(0s) == std::future_status::ready; });
    };
    std::future<void> connected = client.async_connect(loop.url, asio::use_future);
    ready(connected);
    connected.get();
    client.send("hello");
    std::future<ReceivedMessage> received = client.async_receive(asio::use_future);
    ready(received);
    CHECK(received.get().payload == "hello");
    std::future<ConnectionEnd> closed = client.async_close(CloseCode::normal, "", asio::use_future);
    ready(closed);
    CHECK(closed.get().code == CloseCode::normal);
    std::future<ReceivedMessage> none = client.async_receive(asio::use_future);
    ready(none);
    CHECK_THROWS_AS(none.get(), boost::system::system_error);
}

TEST_CASE("a deferred operation of a client begins when it is called", "[client][awaitable]") {
    OneLoop loop;
    auto client = std::make_unique<AwaitableClient>(loop.context);
    auto connect = client->async_connect(loop.url, asio::deferred);
    loop.context.poll();
    CHECK(client->client().is_idle());
    Outcome<void> connected;
    SECTION("while the client exists") {
        std::move(connect)(connected.handler());
        loop.run_until([&] { return connected.calls == 1; });
        CHECK_FALSE(connected.error);
        CHECK(client->is_open());
    }
    SECTION("after the client was destroyed") {
        client.reset();
        std::move(connect)(connected.handler());
        CHECK(connected.calls == 0);
        loop.run_until([&] { return connected.calls == 1; });
        CHECK(connected.error == asio::error::operation_aborted);
    }
}

TEST_CASE("waiting operations of a client get one message each, in their order", "[client][awaitable]") {
    SilentServer s;
    s.connect();
    std::string order;
    for (const char name : {'1', '2', '3', '4'}) {
        s.client->async_receive([&order, name](Error error, const ReceivedMessage& message) {
            order += name;
            order += error ? "-" : message.payload;
            order += ' ';
        });
    }
    s.client->send("a");
    s.client->send("b");
    s.client->send("c");
    s.loop.run_until([&] { return order.size() == 9; });
    CHECK(order == "1a 2b 3c ");
    s.client.reset();
    s.loop.run_until([&] { return order.size() == 12; });
    CHECK(order == "1a 2b 3c 4- ");
}

TEST_CASE("operations of one kind may wait at the same time", "[client][awaitable]") {
    SilentServer s;
    Outcome<void> first, second, open, also_open;
    s.client->async_connect(s.silent_url, first.handler());
    s.client->async_wait_open(open.handler());
    s.loop.run_until([&] { return !s.request.empty(); });
    s.client->async_connect(s.loop.url, second.handler());
    s.client->async_wait_open(also_open.handler());
    s.loop.run_until([&] { return second.calls == 1 && open.calls == 1 && also_open.calls == 1; });
    CHECK(first.calls == 1);
    CHECK(first.error == asio::error::operation_aborted);
    CHECK_FALSE(second.error);
    CHECK_FALSE(open.error);

    Outcome<ConnectionEnd> closed, also_closed;
    s.client->async_close(CloseCode{4000}, "", closed.handler());
    s.client->async_close(CloseCode{4001}, "", also_closed.handler());
    s.loop.run_until([&] { return closed.calls == 1 && also_closed.calls == 1; });
    CHECK(closed.result.code == CloseCode{4000});
    CHECK(also_closed.result.code == CloseCode{4000});
}

TEST_CASE("a completion handler runs on its associated executor", "[client][awaitable][threads]") {
    asio::thread_pool pool{1};
    SilentServer s;
    s.connect();
    std::promise<std::thread::id> called;
    s.client->async_receive(asio::bind_executor(
        pool.get_executor(), [&](Error, const ReceivedMessage&) { called.set_value(std::this_thread::get_id()); }));
    s.client->send("a");
    auto where = called.get_future();
    s.loop.run_until([&] { return where.wait_for(0s) == std::future_status::ready; });
    CHECK(where.get() != std::this_thread::get_id());
    pool.join();  // the operation does not keep the pool at work any more
}

// --- Cancellation ---

TEST_CASE("a cancelled operation of a client ends once, if it supports that type", "[client][awaitable]") {
    const auto [type, does_receive, does_connect] = GENERATE(table<cancellation_type, bool, bool>({
        {cancellation_type::terminal, true, true},
        {cancellation_type::partial, true, true},
        {cancellation_type::total, true, false},
    }));
    SilentServer s;
    asio::cancellation_signal cancel;
    SECTION("receive") {
        s.connect();
        Outcome<ReceivedMessage> received;
        s.client->async_receive(asio::bind_cancellation_slot(cancel.slot(), received.handler()));
        s.loop.context.poll();
        cancel.emit(type);
        CHECK(received.calls == 0);
        s.client->send("kept");
        s.loop.run_until([&] { return received.calls == 1; });
        CHECK(received.error == (does_receive ? Error{asio::error::operation_aborted} : Error{}));
        cancel.emit(type);  // after its end
        CHECK(s.echo("next") == "kept");
        CHECK(received.calls == 1);
    }
    SECTION("wait_open") {
        Outcome<void> connected, open;
        s.client->async_connect(s.silent_url, connected.handler());
        s.client->async_wait_open(asio::bind_cancellation_slot(cancel.slot(), open.handler()));
        cancel.emit(type);
        s.loop.run_until([&] { return open.calls == 1; });
        CHECK(open.error == asio::error::operation_aborted);
        CHECK(connected.calls == 0);
    }
    SECTION("connect") {
        Outcome<void> connected;
        s.client->async_connect(s.silent_url, asio::bind_cancellation_slot(cancel.slot(), connected.handler()));
        s.loop.run_until([&] { return !s.request.empty(); });
        cancel.emit(type);
        s.loop.context.poll();
        CHECK((connected.calls == 1) == does_connect);
        CHECK(s.client->client().is_idle() == does_connect);
        if (does_connect) CHECK(connected.error == asio::error::operation_aborted);
    }
    SECTION("close, whose closing handshake goes on") {
        s.connect();
        Outcome<ConnectionEnd> closed;
        s.client->async_close(CloseCode{4000}, "", asio::bind_cancellation_slot(cancel.slot(), closed.handler()));
        cancel.emit(type);
        s.loop.run_until([&] { return closed.calls == 1 && s.client->client().is_idle(); });
        CHECK(closed.error == (does_connect ? Error{asio::error::operation_aborted} : Error{}));
        CHECK(s.client->end()->code == CloseCode{4000});
    }
}

namespace {

asio::awaitable<void> first_of_two(OneLoop& loop) {
    using namespace asio::experimental::awaitable_operators;
    AwaitableClient client{loop.context};
    co_await client.async_connect(loop.url);
    asio::steady_timer timer{loop.context, 1ms};
    const auto timed_out = co_await (client.async_receive() || timer.async_wait(asio::use_awaitable));
    CHECK(timed_out.index() == 1);
    client.send("a");
    timer.expires_after(1h);
    const auto received = co_await (client.receive() || timer.async_wait(asio::use_awaitable));
    CHECK(received.index() == 0);
    client.send("b");
    client.send("c");
    const auto [b, c] = co_await (client.async_receive() && client.async_receive());
    CHECK(b.payload == "b");
    CHECK(c.payload == "c");
    timer.expires_after(1ms);
    const auto again = co_await (timer.async_wait(asio::use_awaitable) || client.receive());
    CHECK(again.index() == 0);
    const auto [end, nothing] = co_await (client.close(CloseCode{4000}) && client.receive());
    CHECK(end.code == CloseCode{4000});
    CHECK_FALSE(nothing);
}

}  // namespace

TEST_CASE("operations of a client are combined by && and ||", "[client][awaitable]") {
    OneLoop loop;
    loop.run(first_of_two(loop));
}

#if BOOST_VERSION >= 108600
TEST_CASE("operations of a client take cancel_after", "[client][awaitable]") {
    SilentServer s;
    s.connect();
    Outcome<ReceivedMessage> received;
    s.client->async_receive(asio::cancel_after(1ms, received.handler()));
    s.loop.run_until([&] { return received.calls == 1; });
    CHECK(received.error == asio::error::operation_aborted);
    CHECK(s.echo("a") == "a");
}
#endif

// --- Lifetimes and memory ---

TEST_CASE("a completion handler may destroy the client", "[client][awaitable]") {
    SilentServer s;
    Outcome<ReceivedMessage> other;
    int calls = 0;
    const auto destroy = [&] {
        ++calls;
        s.client.reset();
    };
    SECTION("of connect") {
        s.client->async_connect(s.loop.url, [&](Error) { destroy(); });
    }
    SECTION("of receive") {
        s.connect();
        s.client->async_receive([&](Error, const ReceivedMessage&) { destroy(); });
        s.client->async_receive(other.handler());
        s.client->send("a");
    }
    SECTION("of close") {
        s.connect();
        s.client->async_close(CloseCode::normal, "", [&](Error, const ConnectionEnd&) { destroy(); });
    }
    SECTION("of the listener for openings") {
        s.client->on_open(destroy);
        s.client->async_connect(s.loop.url, [](Error) {});
    }
    SECTION("of the listener for ends") {
        s.client->on_end([&](const ConnectionEnd&, bool) { destroy(); });
        s.client->async_connect("no URL", [](Error) {});
    }
    s.loop.run_until([&] { return calls == 1 && !s.client; });
    s.loop.context.poll();
    CHECK(calls == 1);
    if (other.calls > 0) CHECK(other.error == asio::error::operation_aborted);
}

TEST_CASE("a loop may be destroyed before the operations of its client have ended", "[client][awaitable]") {
    int calls = 0;
    asio::cancellation_signal cancel;
    {
        auto context = std::make_unique<asio::io_context>(1);
        auto listeners = open_listeners(*parse_endpoint("127.0.0.1:0"));
        auto client = std::make_unique<AwaitableClient>(*context);
        client->async_connect("ws://" + to_string(listeners->endpoint), [&](Error) { ++calls; });
        client->async_receive(asio::bind_cancellation_slot(cancel.slot(), [&](Error, ReceivedMessage) { ++calls; }));
        context->poll();
        client.reset();
        context.reset();
    }
    cancel.emit(cancellation_type::terminal);
    CHECK(calls == 0);
}

TEST_CASE("a completion handler that owns the client is destroyed with the loop", "[client][awaitable]") {
    struct Session : std::enable_shared_from_this<Session> {
        explicit Session(asio::io_context& context) : client(context) {}
        AwaitableClient client;
    };
    int calls = 0;
    std::weak_ptr<Session> session;
    {
        asio::io_context context(1);
        const auto listeners = open_listeners(*parse_endpoint("127.0.0.1:0"));
        const auto made = std::make_shared<Session>(context);
        session = made;
        made->client.async_connect("ws://" + to_string(listeners->endpoint), asio::detached);
        made->client.async_receive([&, made](Error, ReceivedMessage) { ++calls; });
        made->client.async_receive([&, made](Error, ReceivedMessage) { ++calls; });
        context.poll();
    }
    CHECK(session.expired());
    CHECK(calls == 0);
}

namespace {

/// Begins an operation while allocations from `first` on fail, `in_a_row` of them. It throws, or calls its handler
/// once.
template <class Begin>
bool begins_without_memory(OneLoop& loop, int& calls, std::size_t first, std::size_t in_a_row, Begin begin) {
    using test::AllocationFailures;
    calls = 0;
    bool thrown = false;
    AllocationFailures::from(first, in_a_row);
    {
        const test::AllocationsMayFail here;
        try {
            begin();
        } catch (const std::bad_alloc&) {
            thrown = true;
        }
    }
    const auto patience = std::chrono::steady_clock::now() + 30s;
    while (!thrown && calls == 0 && std::chrono::steady_clock::now() < patience) {
        const test::AllocationsMayFail here;
        loop.context.run_one_for(1s);
    }
    const bool failed = AllocationFailures::happened() > 0;
    AllocationFailures::none();
    CHECK(calls == (thrown ? 0 : 1));
    return failed;
}

}  // namespace

TEST_CASE("an operation of a client that runs out of memory throws or ends", "[client][awaitable]") {
    const auto in_a_row = GENERATE(std::size_t{1}, std::size_t{20});
    std::size_t first = 1;
    bool failed = true;
    CAPTURE(in_a_row, first);
    for (; failed; ++first) {
        int calls = 0;
        OneLoop loop;
        loop.context.poll();
        AwaitableClient client{loop.context};
        failed = begins_without_memory(loop, calls, first, in_a_row,
                                       [&] { client.async_connect(loop.url, [&](Error) { ++calls; }); });
        // The client still works.
        Outcome<void> connected;
        client.async_connect(loop.url, connected.handler());
        loop.run_until([&] { return connected.calls == 1; });
        REQUIRE_FALSE(connected.error);
        failed |= begins_without_memory(loop, calls, first, in_a_row, [&] {
            client.async_receive(1ms, [&](Error, const ReceivedMessage&) { ++calls; });
        });
        failed |= begins_without_memory(loop, calls, first, in_a_row,
                                        [&] { client.async_send("a", [&](Error) { ++calls; }); });
        failed |= begins_without_memory(loop, calls, first, in_a_row, [&] {
            client.async_close(CloseCode{4000}, "", [&](Error, const ConnectionEnd&) { ++calls; });
        });
    }
    CHECK(first > 10);
}
