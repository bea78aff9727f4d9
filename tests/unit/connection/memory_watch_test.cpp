// Reactors whose connections hold much memory.
#include "wsserver/connection/memory_watch.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kib = 1024;

/// The beginning of a binary message of `whole` bytes: its header and `size` bytes. The masking key is zero.
std::string beginning(std::size_t size, std::size_t whole = 1024 * kib) {
    std::string bytes{"\x82\xFF\0\0\0\0\0\0\0\0\0\0\0\0", 14};
    for (std::size_t i = 0; i < 8; ++i) bytes[2 + i] = static_cast<char>(whole >> (56 - 8 * i) & 0xFF);
    return bytes.append(size, 'b');
}

ReactorOptions limited(std::size_t limit) {
    ReactorOptions options;
    options.memory_limit = limit;
    options.connection.ping_interval = 0s;
    return options;
}

struct Rig : MemoryServer {
    explicit Rig(const ReactorOptions& options, std::size_t reactors = 1)
        : MemoryServer(options, reactors), options_(options) {
        handle("", Echo{});
    }
    std::size_t held() { return shared.memory_use().total; }
    const ConnectionCounters& counters() { return reactor().counters(); }
    /// A client that has sent `size` bytes of a message of `whole` bytes.
    WireClient half(std::size_t size, std::size_t whole = 1024 * kib) {
        WireClient client = open();
        client.wire().write(beginning(size, whole));
        run();
        return client;
    }
    /// From now on, all connections may hold `bytes`.
    void limit(std::size_t bytes) {
        options_.memory_limit = bytes;
        reactor().set_options(options_);
        run();
    }

   private:
    ReactorOptions options_;
};

/// Connections without a stream, which record what a MemoryWatch does.
struct HolderPool {
    struct Connection {
        MemoryHolder holder;
        bool closed = false;
        std::function<void()> on_closing = [] {};

        MemoryHolder memory_holder() const { return holder; }
        bool forget_holder() noexcept { return false; }
        void hold_for_memory(bool held) { holder.paused = held; }
        void close_for_memory() {
            closed = true;
            on_closing();
        }
    };

    Connection* find(ConnectionId id) { return &all[id.slot]; }
    /// Adds `count` connections that hold as much as `holder`.
    void add(std::size_t count, MemoryHolder holder, MemoryWatch<HolderPool>& watch) {
        for (std::size_t i = 0; i < count; ++i) {
            holder.id.slot = static_cast<decltype(holder.id.slot)>(all.size());
            all.push_back({holder});
            REQUIRE(watch.note(holder.id));
        }
    }

    std::vector<Connection> all;
};

}  // namespace

TEST_CASE("of those that wait for one broadcast, the one with most of it left is closed first", "[memory_watch]") {
    HolderPool pool;
    MemoryWatch<HolderPool> watch{pool};
    for (const std::size_t left : {1U, 900U, 300U}) pool.add(1, {.shared = 1000 * kib, .left = left * kib}, watch);
    watch.look(MemoryBudget{800 * kib}, {.total = 1000 * kib, .broadcasts = 1000 * kib});
    CHECK_FALSE(pool.all[0].closed);
    CHECK(pool.all[1].closed);
    CHECK_FALSE(pool.all[2].closed);
}

TEST_CASE("near the end of a large broadcast, a client is closed before those that hold less than all of it",
          "[memory_watch]") {
    Rig server{limited(0)};
    WireClient holder = server.half(100 * kib, 200 * kib), slow = server.open();
    slow.wire().set_window(0);
    server.hub().broadcast({}, Text{"is sent directly"}, {});
    server.hub().broadcast({}, Text{std::string(300 * kib, 'x')}, {});
    server.run();
    (void)holder.read();
    slow.wire().set_window(257 * kib);  // four of five fragments
    server.run();
    server.limit(350 * kib);
    server.advance(50ms);  // several looks
    CHECK(server.counters().closed_for_memory.read() == 1);
    CHECK(server.held() < 101 * kib);
    holder.wire().write(std::string(100 * kib, 'b'));
    server.run();
    CHECK(holder.read().size() == 1);
}

TEST_CASE("an incomplete message is counted until it is handled", "[memory_watch]") {
    Rig server{limited(0)};
    WireClient client = server.half(100 * kib);
    CHECK(server.held() >= 100 * kib);
    CHECK(server.held() < 101 * kib);
    client.wire().write(std::string(1024 * kib - 100 * kib, 'b'));
    server.run();
    CHECK(server.held() == 0);
    CHECK(client.read().size() == 1);
    SECTION("or its connection ends") {
        client.wire().write(beginning(50 * kib));
        server.run();
        CHECK(server.held() >= 50 * kib);
        client.wire().reset();
        server.run();
        CHECK(server.held() == 0);
    }
}

TEST_CASE("a send queue is counted until the peer has taken it", "[memory_watch]") {
    Rig server{limited(0)};
    WireClient client = server.open();
    client.wire().set_window(0);
    for (int i = 0; i < 10; ++i) {
        client.send(std::string(10 * kib, 'm'));
        server.run();
    }
    CHECK(server.held() >= 100 * kib);
    client.wire().set_window(1 << 20);
    server.run();
    CHECK(client.read().size() == 10);
    server.run();
    CHECK(server.held() == 0);
}

TEST_CASE("a broadcast that waits for many is counted once", "[memory_watch]") {
    Rig server{limited(0), 2};
    std::vector<WireClient> clients;
    for (int i = 0; i < 10; ++i) {
        clients.push_back(server.open());
        clients.back().wire().set_window(0);
    }
    server.hub().broadcast({}, Text{std::string(200 * kib, 'x')}, {});
    server.run();
    CHECK(server.held() > 200 * kib);
    CHECK(server.held() < 220 * kib);
    for (WireClient& client : clients) client.wire().set_window(1 << 20);
    server.run();
    CHECK(server.held() == 0);
}

TEST_CASE("when memory is short, the largest are not read", "[memory_watch]") {
    Rig server{limited(4096 * kib)};  // the mark is at 3072 KiB
    std::vector<WireClient> medium;
    for (int i = 0; i < 3; ++i) medium.push_back(server.half(600 * kib));
    WireClient large = server.half(900 * kib);
    WireClient small = server.half(300 * kib);
    CHECK(server.counters().memory_pauses.read() == 0);
    small.wire().write(std::string(200 * kib, 'b'));
    server.run();
    server.advance(10ms);
    CHECK(server.reactor().paused_for_memory() == 1);
    const std::size_t before = server.held();
    large.wire().write(std::string(10 * kib, 'b'));
    server.run();
    CHECK(server.held() == before);
    small.wire().write(std::string(10 * kib, 'b'));
    server.run();
    CHECK(server.held() > before);

    SECTION("until others have freed memory") {
        for (WireClient& client : medium) client.wire().reset();
        server.run();
        server.advance(10ms);
        CHECK(server.reactor().paused_for_memory() == 0);
        large.wire().write(std::string(114 * kib, 'b'));
        server.run();
        CHECK(large.read().size() == 1);
        CHECK(server.counters().closed_for_memory.read() == 0);
    }
    SECTION("also if that takes as long as a pause may take") {
        server.advance(70s);
        CHECK(small.read().back().starts_with("close 1008"));
        CHECK(server.counters().message_timeouts.read() == 4);
        CHECK(server.reactor().paused_for_memory() == 0);
        large.wire().write(std::string(114 * kib, 'b'));
        server.run();
        CHECK(large.read().size() == 1);
        CHECK(server.counters().closed_for_memory.read() == 0);
        CHECK(server.held() == 0);
    }
}

TEST_CASE("while others hold much, short messages are echoed", "[memory_watch]") {
    Rig server{limited(1024 * kib), 2};
    WireClient good = server.open();
    std::vector<WireClient> bad;
    for (int i = 0; i < 40; ++i) {
        bad.push_back(server.half(200 * kib, 400 * kib));
        CHECK(server.held() < 1024 * kib + 256 * kib);
        good.send("still here");
        server.run();
        CHECK(good.read() == Strings{"text still here"});
    }
    server.advance(10ms);
    CHECK(server.held() <= 1024 * kib);
    server.advance(70s);
    CHECK(server.held() <= 768 * kib);
    server.advance(60s);  // those that could go on had their whole time again
    CHECK(server.held() == 0);
    CHECK(server.reactor(0).list().size() + server.reactor(1).list().size() >= 1);
    good.send("still here");
    server.run();
    CHECK(good.read() == Strings{"text still here"});
}

TEST_CASE("over the limit, the largest is closed with 1013", "[memory_watch][rfc6455-7.4.1]") {
    ReactorOptions options = limited(0);
    Rig server{options};
    WireClient small = server.half(100 * kib);
    WireClient large = server.half(300 * kib);
    options.memory_limit = 350 * kib;
    server.reactor().set_options(options);
    server.run();
    CHECK(large.read() == Strings{"close 1013 out of memory budget"});
    CHECK(small.wire().unread().empty());
    CHECK(server.counters().closed_for_memory.read() == 1);
    CHECK(server.held() < 101 * kib);  // freed at once
    large.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::try_again_later);
    CHECK(server.shared.ends[0].cause == "out of memory budget");
}

TEST_CASE("over the limit, the receivers of one broadcast are not closed for others", "[memory_watch]") {
    Rig server{limited(0)};
    std::vector<WireClient> holders;
    for (int i = 0; i < 9; ++i) holders.push_back(server.half(100 * kib));
    std::vector<WireClient> receivers;
    for (int i = 0; i < 20; ++i) {
        receivers.push_back(server.open());
        receivers.back().wire().set_window(0);
    }
    server.hub().broadcast({}, Text{std::string(300 * kib, 'x')}, {});
    server.run();
    server.limit(1024 * kib);
    server.advance(50ms);  // several looks
    CHECK(server.held() <= 1024 * kib);
    CHECK(server.counters().closed_for_memory.read() == 2);
    CHECK(server.reactor().paused_for_memory() == 7);
    for (WireClient& receiver : receivers) receiver.wire().set_window(1 << 20);
    server.run();
    for (WireClient& receiver : receivers) CHECK(receiver.read() == Strings{"text " + std::string(300 * kib, 'x')});
}

TEST_CASE("a receiver that was closed ends no pause while others wait for the broadcast", "[memory_watch]") {
    const MemoryBudget budget{100 * kib};
    HolderPool pool;
    MemoryWatch<HolderPool> watch{pool};
    pool.add(2, {.held = 25 * kib}, watch);
    const auto receivers = GENERATE(std::size_t{2}, std::size_t{10});
    pool.add(receivers, {.shared = 60 * kib}, watch);
    REQUIRE(watch.look(budget, {.total = 110 * kib, .broadcasts = 60 * kib}));
    CHECK(watch.shared() == receivers * 60 * kib);
    CHECK(watch.paused() == (receivers == 2 ? 2 : 1));
    CHECK_FALSE(pool.all[1].closed);
    CHECK(pool.all[1].holder.paused);
    CHECK(pool.all[0].closed == (receivers == 10));  // it holds more than its part of the broadcast is for each
    CHECK(pool.all[2].closed == (receivers == 2));
}

TEST_CASE("a look within a look does nothing", "[memory_watch]") {
    const MemoryBudget budget{100 * kib};
    HolderPool pool;
    MemoryWatch<HolderPool> watch{pool};
    pool.add(4, {.held = 60 * kib}, watch);
    int closings = 0;
    for (auto& connection : pool.all) {
        connection.on_closing = [&] {
            ++closings;
            CHECK(watch.look(budget, {.total = 240 * kib}));
        };
    }
    CHECK_FALSE(watch.look(budget, {.total = 240 * kib}));  // memory is not short afterwards
    CHECK(closings == 3);
}

TEST_CASE("over the limit, a peer that does not read is cut, and reported with 1013", "[memory_watch]") {
    ReactorOptions options = limited(0);
    Strings said;
    Rig server{options};
    WireClient client = server.open();
    client.wire().set_window(0);
    for (int i = 0; i < 20; ++i) {
        client.send(std::string(20 * kib, 'm'));
        server.run();
    }
    options.memory_limit = 100 * kib;
    server.reactor().set_options(options);
    server.run();
    CHECK(server.held() == 0);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::try_again_later);
}

TEST_CASE("a message of more than three quarters of the limit gets 1009 at once", "[memory_watch][rfc6455-7.4.1]") {
    Rig server{limited(1000 * kib)};
    SECTION("if its length is too much") {
        WireClient client = server.half(10, 750 * kib + 1);
        CHECK(client.read() == Strings{"close 1009 the message is too big"});
        CHECK(server.counters().memory_pauses.read() == 0);
        CHECK(server.held() == 0);
        client.wire().close();
        server.run();
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].error == make_error_code(Errc::message_too_big));
    }
    SECTION("but not one of three quarters") {
        WireClient client = server.half(740 * kib, 750 * kib);
        client.wire().write(std::string(10 * kib, 'b'));
        server.run();
        CHECK(client.read().size() == 1);
    }
    SECTION("until the limit is raised") {
        server.limit(0);
        WireClient client = server.half(800 * kib, 800 * kib);
        CHECK(client.read().size() == 1);
    }
}

TEST_CASE("a pause that does not end closes with 1013", "[memory_watch][rfc6455-7.4.1]") {
    ReactorOptions options = limited(0);
    const auto timeout = GENERATE(0s, 10s, 3600s);
    options.connection.message_timeout = timeout;
    const auto longest = timeout == 10s ? 10s : 60s;
    Rig server{options};

    SECTION("a message that alone holds too much, since the limit was lowered") {
        WireClient client = server.half(900 * kib);
        server.limit(1100 * kib);
        CHECK(server.reactor().paused_for_memory() == 1);
        server.advance(longest - 1s);
        CHECK(client.wire().unread().empty());
        server.advance(2s);
        CHECK(client.read() == Strings{"close 1013 out of memory budget"});
        client.wire().close();
        server.run();
    }
    SECTION("a send queue that the peer does not read") {
        WireClient client = server.open();
        client.wire().set_window(0);
        for (int i = 0; i < 20; ++i) {
            client.send(std::string(20 * kib, 'm'));
            server.run();
        }
        server.limit(500 * kib);
        CHECK(server.reactor().paused_for_memory() == 1);
        server.advance(longest - 1s);
        CHECK(server.shared.ends.empty());
        server.advance(2s);
    }
    CHECK(server.counters().closed_for_memory.read() == 1);
    CHECK(server.counters().message_timeouts.read() == 0);
    CHECK(server.held() == 0);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::try_again_later);
    CHECK(server.shared.ends[0].cause == "out of memory budget");
    server.advance(1s);
    CHECK(server.reactor().paused_for_memory() == 0);
}

TEST_CASE("of messages that are paused too long, as many are closed as others need", "[memory_watch]") {
    Rig server{limited(0)};
    std::vector<WireClient> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(server.half(100 * kib, 101 * kib));
    server.limit(server.held());
    REQUIRE(server.reactor().paused_for_memory() == 20);
    server.advance(61s);
    CHECK(server.counters().closed_for_memory.read() == 5);  // down to three quarters
    for (WireClient& client : clients) client.wire().write(std::string(kib, 'b'));
    server.run();
    std::size_t echoed = 0;
    for (WireClient& client : clients) echoed += client.read().back().starts_with("binary") ? 1 : 0;
    CHECK(echoed == 15);
    CHECK(server.counters().message_timeouts.read() == 0);
}

TEST_CASE("a pause that helped a message gives it its whole time again", "[memory_watch][message_timeout]") {
    Rig server{limited(0)};
    WireClient client = server.half(900 * kib);
    server.advance(50s);
    server.limit(1100 * kib);
    server.advance(30s);
    CHECK(client.wire().unread().empty());
    server.limit(0);
    server.advance(50s);
    client.wire().write(std::string(124 * kib, 'b'));
    server.run();
    CHECK(client.read().size() == 1);
    CHECK(server.counters().message_timeouts.read() == 0);
}

TEST_CASE("a pause may be long if closing frees nothing", "[memory_watch]") {
    /// Keeps the bytes of its messages, as a pooled handler does.
    struct Keeps final : AnyHandler {
        std::string_view name() const noexcept override { return "keeps"; }
        std::size_t waiting_bytes() const noexcept override { return charge->bytes(); }
        void on_message(AnyConnection& connection, const Text& message) override {
            charge->set(charge->bytes() + message.text.size());
            static_cast<OwnedConnection&>(connection).note_memory();
        }
        std::unique_ptr<MemoryCharge> charge;
    };
    const auto handler = std::make_shared<Keeps>();
    Rig server{limited(1000 * kib)};
    server.shared.handlers["keeps"] = handler;
    handler->charge = std::make_unique<MemoryCharge>(&server.reactor().memory());
    WireClient client = server.open("keeps");
    for (int i = 0; i < 2; ++i) client.send(std::string(400 * kib, 'm'));
    WireClient other = server.half(100 * kib, 200 * kib);
    server.advance(10ms);
    REQUIRE(server.reactor().paused_for_memory() == 1);
    server.advance(10min);
    CHECK(server.reactor().paused_for_memory() == 1);
    CHECK(client.wire().unread().empty());
    CHECK(server.counters().closed_for_memory.read() == 0);
    handler->charge->set(0);
    client.send("read again");
    server.advance(10ms);
    CHECK(handler->charge->bytes() == std::string_view{"read again"}.size());
    handler->charge.reset();
}

TEST_CASE("a connection that closes while memory is short keeps its code", "[memory_watch][rfc6455-7.1.2]") {
    Rig server{limited(0)};
    WireClient client = server.half(900 * kib);
    const ConnectionId id = server.reactor().list().at(0).id;
    SECTION("if it was paused before") {
        server.limit(1100 * kib);
        server.hub().close(id, CloseCode::going_away, "bye");
    }
    SECTION("if it would be paused later") {
        server.hub().close(id, CloseCode::going_away, "bye");
        server.limit(1100 * kib);
    }
    server.advance(100ms);
    CHECK(server.held() == 0);
    client.wire().write(std::string(124 * kib, 'b'));  // the end of the message, which is not read
    CHECK(client.read() == Strings{"close 1001 bye"});
    CHECK(client.wire().at_end());
    client.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::going_away);
    CHECK(server.counters().close_timeouts.read() == 0);
    CHECK(server.reactor().counters().messages_in.read() == 0);
}

TEST_CASE("a connection that closes is read if memory is free in time", "[memory_watch][rfc6455-7.1.2]") {
    Rig server{limited(0)};
    WireClient client = server.half(900 * kib);
    server.limit(1100 * kib);
    server.hub().close(server.reactor().list().at(0).id, CloseCode::going_away, "bye");
    server.limit(0);
    server.advance(1s);
    client.wire().write(std::string(124 * kib, 'b'));
    server.run();
    CHECK(server.counters().messages_in.read() == 1);
    CHECK(client.read() == Strings{"close 1001 bye"});  // and answers it
    client.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::going_away);
    CHECK(server.shared.ends[0].cause.empty());
    CHECK(server.counters().close_timeouts.read() == 0);
}

TEST_CASE("a peer that ends the stream during a pause is noticed after it", "[memory_watch]") {
    Rig server{limited(0)};
    WireClient client = server.half(900 * kib);
    server.limit(1100 * kib);
    client.wire().reset();
    server.advance(62s);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.held() == 0);
    CHECK(server.shared.admitted == 0);
}

TEST_CASE("over the limit, opening handshakes get a 503 and plain requests their answer", "[memory_watch]") {
    ReactorOptions options = limited(0);
    Rig server{options};
    server.shared.http_response = HttpResponse{.status = 200, .body = "fine"};
    WireClient large = server.half(300 * kib);
    WireClient early = server.connect();
    WireClient healthz = server.connect();
    WireClient late = server.connect();
    server.run();
    options.memory_limit = 200 * kib;
    server.reactor().set_options(options);
    early.wire().write(upgrade_request());
    healthz.wire().write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    server.run();
    CHECK(early.read_response().starts_with("HTTP/1.1 503 "));
    CHECK(healthz.read_response().starts_with("HTTP/1.1 200 "));
    CHECK(server.counters().refused_for_memory.read() == 1);
    server.advance(10ms);
    late.wire().write(upgrade_request());
    server.run();
    CHECK(late.read_response().starts_with("HTTP/1.1 101 "));
}

TEST_CASE("a reactor whose connections do not grow helps when memory is short", "[memory_watch]") {
    Rig server{limited(1024 * kib), 2};
    WireClient first = server.half(500 * kib, 600 * kib);
    WireClient second = server.half(200 * kib, 600 * kib);
    WireClient third = server.half(200 * kib, 600 * kib);
    WireClient fourth = server.half(60 * kib, 600 * kib);
    server.advance(10ms);
    CHECK(server.reactor(0).paused_for_memory() + server.reactor(1).paused_for_memory() >= 2);
    CHECK(server.held() <= 1024 * kib);
}
