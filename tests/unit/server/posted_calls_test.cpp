// Work of the program where reactions run: calls to connections, tasks of workers, and the stop of reactions.
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/reaction_stops.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::BlockingClient;
using test::Strings;

namespace {

/// Keeps the handle of its last connection, and sends messages back.
template <Runs where>
struct Keeper {
    static constexpr Runs runs = where;
    void on_open(AnyConnection& connection) {
        const std::lock_guard lock(*mutex);
        *handle = connection.handle();
    }
    void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }

    std::mutex* mutex;
    ConnectionHandle* handle;
};

/// A server in memory whose connections a test reaches by their handles.
struct Rig {
    explicit Rig(const ServerOptions& options = {}) : server(Keeper<Runs::inline_>{&mutex, &handle}, options) {}

    std::mutex mutex;
    ConnectionHandle handle;
    MemoryServer server;
};

auto says(std::string text) {
    return [text = std::move(text)](AnyConnection& connection) { connection.send(text); };
}

/// Waits in each reaction until it is asked to return, and then tells whether the deadline had passed.
struct Patient {
    static constexpr Runs runs = Runs::pooled;
    void on_message(AnyConnection& connection, const Text& message) {
        const std::stop_token token = connection.stop_token();
        if (message.text == "again") {
            connection.send(token.stop_requested() ? "stopped" : "not stopped");
            return;
        }
        std::promise<void> stopped;
        const std::stop_callback callback{token, [&stopped] { stopped.set_value(); }};
        began->count_down();
        stopped.get_future().wait();
        connection.send(std::chrono::steady_clock::now() >= connection.deadline() ? "late" : "early");
        returned->set_value();
    }
    std::latch* began;
    std::promise<void>* returned;
};

}  // namespace

TEST_CASE("the calls of a thread are made in order with its other requests", "[posted_calls]") {
    Rig f;
    auto client = f.server.connect();
    std::thread{[&f] {
        f.handle.send("1");
        f.handle.post(says("2"));
        f.handle.send("3");
        f.handle.post(says("4"));
    }}.join();
    f.server.run();
    CHECK(client.received() == Strings{"text 1", "text 2", "text 3", "text 4"});
    CHECK(ConnectionHandle{}.post(says("?")) == SendStatus::closed);
}

TEST_CASE("a call that a reaction posts is made after the reaction", "[posted_calls]") {
    MemoryServer server;
    server.on_message([](AnyConnection& connection, const Text& message) {
        CHECK(connection.handle().post(says("posted")) == SendStatus::queued);
        connection.send(message);
    });
    auto client = server.connect();
    client.send("reaction");
    CHECK(client.received() == Strings{"text reaction", "text posted"});
}

TEST_CASE("an exception of a posted call closes its connection", "[posted_calls]") {
    Rig f;
    auto client = f.server.connect();
    f.handle.post([](AnyConnection&) { throw std::runtime_error{"no"}; });
    f.server.run();
    client.expect("close 1011");
    CHECK(f.server.ends().at(0).cause == "the handler threw: no");
}

TEST_CASE("a call for a connection that has ended is destroyed and not made", "[posted_calls]") {
    Rig f;
    const auto alive = std::make_shared<int>();
    const auto counts = [&alive, copy = alive](AnyConnection&) { ++*alive; };
    auto client = f.server.connect();
    f.handle.close();
    f.handle.post(counts);
    f.handle.post_after(1s, counts);
    f.server.run();
    client.expect("close 1000");
    CHECK(f.handle.post(counts) == SendStatus::closed);
    f.server.advance(2s);
    CHECK(*alive == 0);
    CHECK(alive.use_count() == 2);  // `alive` and `counts`
}

TEST_CASE("a delayed call is made at its time, unless the connection ends before", "[posted_calls]") {
    const auto alive = std::make_shared<int>();
    Rig f;
    auto client = f.server.connect(), gone = f.server.connect();
    for (auto* one : {&client, &gone}) {
        const ConnectionHandle handle{f.server.hub(), one->id()};
        CHECK(handle.post_after(300ms, says("second")) == SendStatus::queued);
        CHECK(handle.post_after(100ms, [alive](AnyConnection& connection) {
            connection.send("first");
            connection.after(100ms, says("between"));
        }) == SendStatus::queued);
    }
    f.server.run();
    CHECK(alive.use_count() == 3);
    gone.disconnect();
    CHECK(alive.use_count() == 2);
    f.server.advance(99ms);
    client.expect_nothing();
    f.server.advance(34ms);
    client.expect("text first");
    f.server.advance(132ms);
    client.expect("text between");
    f.server.advance(100ms);
    client.expect("text second");
    f.server.advance(60s);  // pings and timeouts go on
    CHECK(client.is_open());
    CHECK(alive.use_count() == 1);
}

TEST_CASE("calls that are due close their connection only once", "[posted_calls]") {
    Rig f;
    auto client = f.server.connect();
    for (int i = 0; i < 3; ++i) {
        f.handle.post_after(50ms, [](AnyConnection& connection) { connection.close(CloseCode{4000}, "kicked"); });
    }
    f.server.advance(100ms);
    CHECK(client.received() == Strings{"close 4000 kicked"});
}

TEST_CASE("the calls that wait are bounded and counted", "[posted_calls]") {
    ServerOptions options;
    options.connection.max_delayed_calls = 2;
    MemoryServer server{options};
    std::vector<SendStatus> results;
    server.on_message([&](AnyConnection& connection, const Text& message) {
        results.push_back(connection.after(1s, says(std::string{message.text})));
    });
    auto client = server.connect();
    for (const char* text : {"1", "2", "3"}) client.send(text);
    CHECK(results == std::vector{SendStatus::queued, SendStatus::queued, SendStatus::dropped});
    server.advance(2s);
    CHECK(client.received() == Strings{"text 1", "text 2"});
    client.send("4");
    CHECK(results.back() == SendStatus::queued);
}

TEST_CASE("a delayed call does not end a pause by rate, nor wait for its end", "[posted_calls]") {
    ServerOptions options;
    options.connection.receive_rates.messages = 1;
    Rig f{options};
    auto client = f.server.connect();
    CHECK(f.handle.post_after(200ms, says("called")) == SendStatus::queued);
    for (const char* text : {"1", "2"}) client.send(text);
    f.server.advance(250ms);
    CHECK(client.received() == Strings{"text 1", "text called"});
    f.server.advance(1500ms);
    CHECK(client.received() == Strings{"text 2"});
}

TEST_CASE("delayed calls do not shorten the time of a silent peer", "[posted_calls]") {
    ServerOptions options;
    options.connection.ping_interval = options.connection.pong_timeout = 1s;
    const auto time_until_the_end = [&](bool with_calls) {
        MemoryServer server{options};
        std::function<void(AnyConnection&)> call = [&call](AnyConnection& connection) { connection.after(40ms, call); };
        server.on_message([&](AnyConnection& connection, const Text&) {
            if (with_calls) call(connection);
        });
        auto client = server.connect();
        client.send("begin");
        client.pause_receiving();
        auto time = 0ms;
        for (; server.ends().empty() && time < 10s; time += 8ms) server.advance(8ms);
        return time;
    };
    const auto without = time_until_the_end(false), with = time_until_the_end(true);
    CHECK(without < 10s);
    CHECK(with <= without + 64ms);
    CHECK(with + 64ms >= without);
}

TEST_CASE("an empty call is refused", "[posted_calls]") {
    Rig f;
    auto client = f.server.connect();
    CHECK(f.handle.post(nullptr) == SendStatus::refused);
    CHECK(f.handle.post_after(1s, nullptr) == SendStatus::refused);
    Server server;
    CHECK(server.post(Priority::message, nullptr) == SendStatus::refused);
}

TEST_CASE("a pooled handler that hangs gathers a bounded number of calls", "[posted_calls][threads]") {
    struct Shared {
        std::latch began{1}, go_on{1};
        std::mutex mutex;
        ConnectionHandle handle;
    } shared;
    Server server;
    server.on_message<Runs::pooled>([&shared](AnyConnection& connection, const Text&) {
        {
            const std::lock_guard lock(shared.mutex);
            shared.handle = connection.handle();
        }
        shared.began.count_down();
        shared.go_on.wait();
    });
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url, ""};
    client.send("hang");
    shared.began.wait();
    const ConnectionHandle handle = [&shared] {
        const std::lock_guard lock(shared.mutex);
        return shared.handle;
    }();
    const auto nothing = [](AnyConnection&) {};
    while (server.statistics().calls_dropped == 0) {
        for (int i = 0; i < 1000; ++i) handle.post(nothing);
    }
    CHECK(server.statistics().calls_dropped > 0);
    shared.go_on.count_down();
    CHECK(server.stop().complete());
}

TEST_CASE("posted calls run on a worker if the handler is pooled", "[posted_calls][threads]") {
    std::mutex mutex;
    ConnectionHandle handle;
    Server server;
    server.handle("", Keeper<Runs::pooled>{&mutex, &handle});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url, ""};
    client.send("hello");
    CHECK(client.next() == "text hello");
    const ConnectionHandle reached = [&] {
        const std::lock_guard lock(mutex);
        return handle;
    }();
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&reached] {
            for (int k = 0; k < 100; ++k) reached.post(says("call"));
        });
    }
    threads.clear();
    for (int i = 0; i < 400; ++i) REQUIRE(client.next() == "text call");
    CHECK(reached.post_after(20ms, [](AnyConnection& connection) {
        connection.after(
            20ms, says(connection.deadline() < std::chrono::steady_clock::time_point::max() ? "worker" : "reactor"));
    }) == SendStatus::queued);
    CHECK(client.next() == "text worker");
    CHECK(server.stop().complete());
}

TEST_CASE("a pooled reaction is asked to return when its connection ends, the server stops or its time is over",
          "[stop_token][threads]") {
    std::latch began{1};
    std::promise<void> returned;
    ServerOptions options;
    const bool at_deadline = GENERATE(false, true);
    options.handler_deadline = at_deadline ? 50ms : 60s;
    Server server{options};
    server.handle("", Patient{&began, &returned});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url, ""};
    client.send("wait");
    began.wait();
    if (at_deadline) {
        CHECK(client.next() == "text late");
        client.send("again");
        CHECK(client.next() == "text not stopped");
        CHECK(server.stop().complete());
    } else if (GENERATE(false, true)) {
        client.hang_up();
        returned.get_future().wait();
        CHECK(server.stop().complete());
    } else {
        CHECK(server.stop().complete());
        returned.get_future().wait();
    }
}

TEST_CASE("tokens of reactions are told apart", "[stop_token]") {
    ReactionStops stops;
    const int first = 0, second = 0, third = 0;
    const auto now = Clock::now();
    const auto one = stops.token(&first, now + 1s), two = stops.token(&second, now + 2s);
    CHECK(stops.token(&first, now) == one);
    CHECK(stops.stop_overdue(now) == now + 1s);
    CHECK_FALSE(one.stop_requested());
    CHECK(stops.stop_overdue(now + 1s) == now + 2s);
    CHECK(one.stop_requested());
    CHECK_FALSE(two.stop_requested());
    stops.end(&first);
    CHECK_FALSE(stops.token(&first, now + 9s).stop_requested());
    stops.stop(&second);
    CHECK(two.stop_requested());
    stops.stop(&third);
    stops.stop_all();
    CHECK(stops.token(&first, now).stop_requested());
    CHECK(stops.token(&third, now + 9s).stop_requested());
}

TEST_CASE("a server runs tasks on its workers", "[posted_tasks][threads]") {
    std::mutex mutex;
    Strings lines;
    std::promise<std::thread::id> ran;
    Server server;
    server.on_log([&](LogLevel, std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    });
    server.start();
    CHECK(server.post(
              Priority::background, [] { throw std::runtime_error{"oh"}; }, "cleaning") == SendStatus::queued);
    CHECK(server.post(Priority::command, [&ran] { ran.set_value(std::this_thread::get_id()); }) == SendStatus::queued);
    CHECK(ran.get_future().get() != std::this_thread::get_id());
    CHECK(server.stop().complete());
    const auto alive = std::make_shared<int>();
    CHECK(server.post(Priority::message, [alive] { ++*alive; }) == SendStatus::closed);
    CHECK(alive.use_count() == 1);
    const std::lock_guard lock(mutex);
    CHECK(std::find(lines.begin(), lines.end(), "cleaning threw: oh") != lines.end());
}

TEST_CASE("tasks of a program run in the order of their priority, and have a bound", "[posted_tasks][threads]") {
    ServerOptions options;
    options.workers = 1;
    Server server{options};
    server.start();
    std::mutex mutex;
    Strings order;
    std::promise<void> running, go, done;
    CHECK(server.post(Priority::message, [&] {
        running.set_value();
        go.get_future().wait();
    }) == SendStatus::queued);
    running.get_future().wait();
    const auto note = [&](Priority priority, std::string name) {
        CHECK(server.post(priority, [&, name] {
            const std::lock_guard lock(mutex);
            order.push_back(name);
            if (name == "background") done.set_value();
        }) == SendStatus::queued);
    };
    note(Priority::background, "background");
    note(Priority::message, "message");
    note(Priority::command, "command");
    note(Priority::control, "control");
    std::size_t taken = 0;
    while (server.post(Priority::message, [] {}) == SendStatus::queued && taken < 1'000'000) ++taken;
    CHECK(taken < 1'000'000);
    CHECK(server.statistics().tasks_dropped == 1);
    go.set_value();
    done.get_future().wait();
    CHECK(order == Strings{"control", "command", "message", "background"});
}

TEST_CASE("a function serves messages", "[posted_calls]") {
    MemoryServer server;
    server.on_message([](auto& connection, const auto& message) { connection.send(message); });
    server.on_message([](AnyConnection& connection, const Text& message) { connection.send(message); }, "text");
    auto both = server.connect(), text = server.connect("/", {"text"});
    both.send("hi");
    both.send(std::vector<std::byte>{std::byte{1}});
    CHECK(both.received() == Strings{"text hi", "binary 01"});
    text.send("hi");
    text.send(std::vector<std::byte>{std::byte{1}});
    text.expect("text hi");
    text.expect("close 1003");
}

TEST_CASE("a recording hub keeps the calls for the test", "[posted_calls]") {
    RecordingConnection connection;
    connection.handle().post(says("now"));
    connection.after(500ms, says("later"));
    RecordingHub& hub = connection.recording_hub();
    CHECK(hub.calls == Strings{"post 0-1-1", "post 0-1-1 after 500 ms"});
    for (auto& call : hub.posted) call(connection);
    CHECK(connection.calls == Strings{"text now", "text later"});
}
