// Flow control over real sockets and threads: what a handler sends, and what it does not receive.
#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/client.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/send_window.hpp"
#include "wsserver/testing.hpp"
#include "wsserver/transport/uring_available.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using wsserver::test::BlockingClient;
using wsserver::test::Strings;

namespace {

constexpr std::size_t piece_size = std::size_t{64} << 10;
constexpr std::size_t piece_count = 640;  // 40 MiB

std::vector<TransportKind> transports() {
#if WSSERVER_URING
    return {TransportKind::asio, TransportKind::uring};
#else
    return {TransportKind::asio};
#endif
}

std::string piece(std::size_t number) {
    std::string text = std::to_string(number) + ' ';
    text.resize(piece_size, 'x');
    return text;
}

/// What a handler of one connection notes.
struct Notes {
    std::atomic<std::size_t> sent{0};
    std::atomic<std::size_t> most_queued{0};
    std::atomic<int> refused{0};
    std::atomic<int> closed{0};  ///< results of sends, and calls of on_close()
    std::atomic<bool> blocks{false};

    void look(const AnyConnection& connection) { most_queued = std::max(most_queued.load(), connection.queued()); }
};

/// Sends all in one reaction.
struct Waiting {
    static constexpr Runs runs = Runs::pooled;
    Notes* notes;
    void on_message(AnyConnection& connection, const Text&) {
        notes->blocks = true;
        for (std::size_t i = 0; i < piece_count; ++i) {
            const SendStatus status = connection.send_waiting(piece(i));
            if (status == SendStatus::closed) return void(++notes->closed);
            if (status != SendStatus::queued) return void(++notes->refused);
            ++notes->sent;
            notes->look(connection);
        }
    }
    void on_close(AnyConnection& connection, const Close&) {
        if (connection.send_waiting("late") == SendStatus::closed) ++notes->closed;
    }
};

/// Continues in on_drained().
struct Continuing {
    Notes* notes;
    void on_message(AnyConnection& connection, const Text&) { on_drained(connection); }
    void on_drained(AnyConnection& connection) {
        while (notes->sent < piece_count && connection.has_space()) {
            if (connection.send(piece(notes->sent)) != SendStatus::queued) return void(++notes->refused);
            ++notes->sent;
            notes->look(connection);
        }
    }
};
struct PooledContinuing : Continuing {
    static constexpr Runs runs = Runs::pooled;
};

/// Sends each message back.
struct PooledEcho {
    static constexpr Runs runs = Runs::pooled;
    void on_message(AnyConnection& connection, const Text& message) {
        CHECK(connection.send_waiting(message) == SendStatus::queued);
    }
};

/// Pauses its connections at once.
struct Pauses {
    static constexpr Runs runs = Runs::pooled;
    std::atomic<int>* received;
    std::mutex* mutex;
    ConnectionHandle* handle;
    void on_open(AnyConnection& connection) {
        const std::lock_guard lock(*mutex);
        *handle = connection.handle();
        connection.pause_receiving();
        connection.send("paused");
    }
    void on_message(AnyConnection&, const Text&) { ++*received; }
};

ServerOptions options_of(TransportKind transport) {
    ServerOptions options;
    options.io_threads = 1;
    options.workers = 2;
    options.transport = transport;
    return options;
}

/// Receives all pieces in order.
void receive_all(BlockingClient& client) {
    for (std::size_t i = 0; i < piece_count; ++i) {
        const std::string event = client.next();
        REQUIRE(event.size() == piece_size + 5);
        REQUIRE(event.starts_with("text " + std::to_string(i) + ' '));
    }
}

template <class F>
void wait_for(F&& done) {
    const auto patience = std::chrono::steady_clock::now() + 30s;
    while (!done()) {
        REQUIRE(std::chrono::steady_clock::now() < patience);
        std::this_thread::yield();
    }
}

}  // namespace

TEST_CASE("40 MiB of a handler arrive whole at a fast and at a slow reader", "[server_flow][threads]") {
    for (const TransportKind transport : transports()) {
        for (const std::string name : {"waiting", "continuing", "pooled"}) {
            for (const bool slow : {false, true}) {
                CAPTURE(static_cast<int>(transport), name, slow);
                Notes notes;
                Server server{options_of(transport)};
                server.handle("waiting", Waiting{&notes});
                server.handle("continuing", Continuing{&notes});
                server.handle("pooled", PooledContinuing{{&notes}});
                const auto url = server.listen("127.0.0.1:0");
                REQUIRE(url);
                server.start();
                BlockingClient client{*url, name};
                if (slow) client.read_slowly(1ms);
                client.send("begin");
                if (slow) wait_for([&] { return server.statistics().memory > 4 * piece_size; });  // much is queued
                receive_all(client);
                client.send("?");  // after all of it
                wait_for([&] { return server.statistics().messages_in >= 2; });
                CHECK(notes.refused == 0);
                CHECK(notes.closed == 0);
                if (slow) CHECK(notes.most_queued > 0);
                CHECK(notes.most_queued < (3 << 20));
                CHECK(server.statistics().slow_consumers == 0);
                client.hang_up();
                CHECK(server.stop(5s).complete());
            }
        }
    }
}

TEST_CASE("a handler that waits for space returns when its connection ends", "[server_flow][threads]") {
    Notes notes;
    Server server{options_of(transports().back())};
    server.handle(Waiting{&notes});
    const auto url = server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{*url, ""};
    client.send("begin");
    // It blocks: what it has sent does not change any more.
    std::size_t before = 0;
    wait_for([&] {
        std::this_thread::sleep_for(20ms);
        return notes.sent != 0 && std::exchange(before, notes.sent.load()) == notes.sent;
    });
    CHECK(notes.sent < piece_count);
    CHECK(notes.closed == 0);
    SECTION("by a reset") {
        client.hang_up();
        wait_for([&] { return notes.closed == 2; });
    }
    SECTION("by a close of the server") {
        server.hub()->close_all(CloseCode::normal, "enough");
        wait_for([&] { return notes.closed == 1; });
        client.hang_up();
    }
    SECTION("by the stop of the server") {
        const auto begin = std::chrono::steady_clock::now();
        const StopReport report = server.stop(500ms);
        CHECK(report.handlers.empty());
        CHECK(report.connections.empty());
        CHECK(notes.closed == 2);
        CHECK(std::chrono::steady_clock::now() - begin < 10s);
        return;
    }
    (void)server.stop(5s);
    CHECK(notes.closed == 2);
}

TEST_CASE("a handler that waits for space is reported as any that blocks", "[server_flow][threads]") {
    Notes notes;
    ServerOptions options = options_of(TransportKind::asio);
    options.handler_deadline = 10ms;
    Server server{options};
    server.handle(Waiting{&notes});
    const auto url = server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{*url, ""};
    client.send("begin");
    wait_for([&] { return server.statistics().handlers_overdue == 1; });
    receive_all(client);
    client.hang_up();
    CHECK(server.stop(5s).complete());
}

TEST_CASE("an inline handler may not wait for space", "[server_flow]") {
    struct Inline {
        void on_message(AnyConnection& connection, const Text&) {
            CHECK(connection.send_waiting("no") == SendStatus::refused);
            connection.send("done");
        }
    };
    MemoryServer server{Inline{}};
    auto client = server.connect();
    client.send("begin");
    client.expect("text done");
}

TEST_CASE("a pooled handler of a MemoryServer does not wait", "[server_flow]") {
    MemoryServer server{PooledEcho{}};
    auto client = server.connect();
    client.send("hello");
    client.expect("text hello");
}

TEST_CASE("a client's handler continues in on_drained()", "[server_flow][threads]") {
    struct Receiver {
        std::atomic<std::size_t>* received;
        bool slow;
        void on_message(AnyConnection& connection, const Text& message) {
            const bool right = message.text == piece(*received);
            if (slow && *received % 16 == 0) std::this_thread::sleep_for(1ms);
            if (!right || ++*received == piece_count) connection.close();
        }
    };
    struct Begins : Continuing {
        void on_open(AnyConnection& connection) { on_drained(connection); }
    };
    for (const TransportKind transport : transports()) {
        for (const bool slow : {false, true}) {
            CAPTURE(static_cast<int>(transport), slow);
            Notes notes;
            std::atomic<std::size_t> received{0};
            Server server{options_of(transport)};
            server.handle(Receiver{&received, slow});
            const auto url = server.listen("127.0.0.1:0");
            server.start();
            boost::asio::io_context context;
            Client client{context};
            CHECK_FALSE(client.has_space());
            CHECK(client.queued() == 0);
            client.connect(*url, Begins{{&notes}});
            context.run();
            CHECK(received == piece_count);
            CHECK(notes.sent == piece_count);
            CHECK(notes.refused == 0);
            CHECK(notes.most_queued < (3 << 20));
            CHECK(server.stop(5s).complete());
        }
    }
}

TEST_CASE("a pooled handler and its handle pause the connection", "[server_flow][threads]") {
    for (const TransportKind transport : transports()) {
        std::atomic<int> received{0};
        std::mutex mutex;
        ConnectionHandle handle;
        Server server{options_of(transport)};
        server.handle(Pauses{&received, &mutex, &handle});
        const auto url = server.listen("127.0.0.1:0");
        server.start();
        BlockingClient client{*url, ""};
        CHECK(client.next() == "text paused");
        client.send("one");
        client.ping("two");
        BlockingClient other{*url, ""};  // served after what the first one sent had arrived
        CHECK(other.next() == "text paused");
        CHECK(received == 0);
        const std::lock_guard lock(mutex);
        CHECK(handle.resume_receiving() == SendStatus::queued);  // of the other one
        other.send("three");
        wait_for([&] { return received == 1; });
        server.hub()->close_all(CloseCode::normal, "bye");  // ends the pause of the first
        wait_for([&] { return received == 2; });
        client.hang_up();
        other.hang_up();
        CHECK(server.stop(5s).complete());
    }
}

TEST_CASE("a window has space again when the reactor confirms what was sent", "[server_flow]") {
    SendWindow window;
    CHECK_FALSE(window.should_ask());
    window.sent(40'000);
    CHECK(window.has_space());
    CHECK(window.should_ask());
    const auto number = window.last_sent();
    window.prepare();
    window.asked();
    CHECK_FALSE(window.should_ask());
    window.sent(40'000);
    CHECK_FALSE(window.has_space());
    CHECK(window.unconfirmed() == 80'000 + 2 * sizeof(InboxItem));
    CHECK(window.should_ask());
    CHECK_FALSE(window.wait(0ms));
    CHECK_FALSE(window.has_space_or_waits());
    CHECK(window.confirm(number, 1'000'000));
    CHECK(window.has_space());
    CHECK(window.wait(0ms));
    CHECK(window.unconfirmed() == 40'000 + sizeof(InboxItem));
    CHECK_FALSE(window.confirm(number, 10));  // no one waits any more
    CHECK_FALSE(window.has_space());
    window.asked();
    CHECK_FALSE(window.should_ask());
    window.ask_again();
    CHECK(window.should_ask());
    window.close();
    CHECK(window.is_closed());
    CHECK(window.wait(1h));
}

TEST_CASE("a window allocates nothing for a handler that asks for no space", "[server_flow]") {
    const std::size_t before = test::allocations;
    {
        SendWindow window;
        for (int i = 0; i < 100; ++i) window.sent(40'000);
        CHECK(window.unconfirmed() == 100 * (40'000 + sizeof(InboxItem)));
        CHECK_FALSE(window.has_space());
        CHECK(window.should_ask());
        window.close();
        CHECK(window.is_closed());
        CHECK(test::allocations == before);
    }
    SendWindow window;
    window.sent(100'000);
    test::AllocationFailures::from(1, 1);
    {
        const test::AllocationsMayFail within;
        CHECK_THROWS_AS(window.prepare(), std::bad_alloc);
    }
    test::AllocationFailures::none();
    window.close();
    window.prepare();
    window.asked();
    CHECK(window.wait(1h));  // it was closed before
}

namespace {

struct Mover {
    static constexpr Runs runs = Runs::pooled;
    void on_message(AnyConnection& connection, Text message) {
        connection.send(std::move(message));
        connection.send(message.text.empty() ? "empty" : "not empty");
    }
};

}  // namespace

TEST_CASE("a pooled handler may move its messages, which are copied", "[server_flow]") {
    Server server{{.io_threads = 1, .workers = 1}};
    server.handle(Mover{});
    const auto url = server.listen("127.0.0.1:0");
    REQUIRE(url);
    server.start();
    BlockingClient client(*url, "");
    for (const std::size_t size : {std::size_t{5}, std::size_t{300'000}}) {
        const std::string text(size, 'x');
        client.send(text);
        CHECK(client.next() == "text " + text);
        CHECK(client.next() == "text empty");
    }
    client.hang_up();
    CHECK(server.stop(5s).complete());
}
