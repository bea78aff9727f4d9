#include "wsserver/server/detail/reactor.hpp"

#include <atomic>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/base/within_memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

struct Silent {
    void on_message(AnyConnection&, const Text&) {}
};

struct ToOthers {
    void on_message(AnyConnection& connection, const Text& message) {
        connection.hub()->broadcast({.subprotocol = std::string{connection.subprotocol()}, .except = connection.id()},
                                    message);
    }
};

/// Calls `closed` in on_close().
struct Closes {
    std::function<void()> closed;
    void on_message(AnyConnection&, const Text&) {}
    void on_close(AnyConnection&, const Close&) { closed(); }
};

}  // namespace

TEST_CASE("a broadcast reaches its audience on all reactors", "[reactor]") {
    MemoryServer server{ConnectionOptions{}, 3};
    server.handle("", Silent{});
    server.handle("chat", ToOthers{});
    std::vector<WireClient> chatters, others;
    for (int i = 0; i < 6; ++i) chatters.push_back(server.open("chat"));
    for (int i = 0; i < 3; ++i) others.push_back(server.open());

    std::size_t receivers = 0;
    SECTION("all connections") {
        server.hub().broadcast({}, Text{"all"}, [&](std::size_t count) { receivers = count; });
        server.run();
        CHECK(receivers == 9);
        for (auto& client : chatters) CHECK(client.read() == Strings{"text all"});
        for (auto& client : others) CHECK(client.read() == Strings{"text all"});
    }
    SECTION("a subprotocol") {
        server.hub().broadcast({.subprotocol = "chat"}, Text{"chatters"},
                               [&](std::size_t count) { receivers = count; });
        server.run();
        CHECK(receivers == 6);
        for (auto& client : chatters) CHECK(client.read() == Strings{"text chatters"});
        for (auto& client : others) CHECK(client.read().empty());
    }
    SECTION("from a handler, except its own connection") {
        chatters[2].send("hello");
        server.run();
        for (std::size_t i = 0; i < 6; ++i) CHECK(chatters[i].read() == (i == 2 ? Strings{} : Strings{"text hello"}));
        for (auto& client : others) CHECK(client.read().empty());
    }
    SECTION("pings and closes") {
        server.hub().ping_all([&](std::size_t count) { receivers = count; });
        server.run();
        CHECK(receivers == 9);
        server.hub().close_all(CloseCode::going_away, "bye", [&](std::size_t count) { receivers = count; });
        server.run();
        CHECK(receivers == 9);
        for (auto& client : others) CHECK(client.read().back() == "close 1001 bye");
    }
}

TEST_CASE("the broadcasts of one turn need one send for each connection and keep their order", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    server.handle("chat", Silent{});
    WireClient one = server.open(), two = server.open(), chatter = server.open("chat");
    const ConnectionId first = server.reactor().list().at(0).id;
    std::vector<std::size_t> receivers;
    const auto tell = [&](std::size_t count) {
        receivers.push_back(count);
        // A Count may broadcast again.
        if (receivers.size() == 1) server.hub().broadcast({.subprotocol = "chat"}, Text{"again"}, {});
    };
    server.reactor().post([&] {
        server.reactor().attach();
        server.hub().broadcast({}, Text{"a"}, tell);
        server.hub().broadcast({.except = first}, Text{"b"}, tell);
        server.hub().broadcast({.subprotocol = "chat"}, Text{"c"}, tell);
        server.hub().broadcast({}, Text{"d"}, tell);
    });
    const std::size_t before = server.transport().count(MemoryOperation::send);
    server.run();
    CHECK(receivers == std::vector<std::size_t>{3, 2, 1, 3});
    CHECK(one.read() == Strings{"text a", "text d"});
    CHECK(two.read() == Strings{"text a", "text b", "text d"});
    CHECK(chatter.read() == Strings{"text a", "text b", "text c", "text d", "text again"});
    // One run for the chat connection, two for the others, which are not in every audience. "again" is sent later.
    CHECK(server.transport().count(MemoryOperation::send) == before + 2 + 2 + 1 + 1);
}

TEST_CASE("a message to one connection does not overtake a broadcast", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    server.reactor().post([&] {
        server.reactor().attach();
        server.hub().send(id, Text{"a"});
        server.hub().broadcast({}, Text{"b"}, {});
        server.hub().send(id, Text{"c"});
        server.hub().broadcast({}, Text{"d"}, {});
        server.hub().close(id, CloseCode::normal, "");
    });
    server.run();
    CHECK(client.read() == Strings{"text a", "text b", "text c", "text d", "close 1000"});
}

TEST_CASE("a Count of a broadcast may use the hub in any way", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    int told = 0;
    server.hub().broadcast({}, Text{"first"}, [&](std::size_t) {
        server.shared.server_hub->detach();  // waits for all calls inside the hub
        ++told;
    });
    SECTION("when another message sends it early") { server.hub().send(id, Text{"second"}); }
    SECTION("when close_all() sends it early") { server.hub().close_all(CloseCode::normal, "", {}); }
    CHECK(told == 1);
}

TEST_CASE("a Count may throw", "[reactor]") {
    MemoryServer server{ConnectionOptions{}, 2};
    server.handle("", Silent{});
    WireClient client = server.open();
    int told = 0;
    const auto tell = [&](std::size_t) {
        ++told;
        throw std::runtime_error{"no"};
    };
    const auto run = [&] {
        server.hub().ping_all(tell);
        server.hub().broadcast({}, Text{"a"}, tell);
        server.hub().broadcast({}, Text{"b"}, [&](std::size_t) { ++told; });
        server.run();
    };
    SECTION("on the caller's thread") { CHECK_NOTHROW(run()); }
    SECTION("on a reactor's thread") {
        // The requests of another thread wait in the inbox.
        std::thread{[&] {
            server.hub().ping_all(tell);
            server.hub().broadcast({}, Text{"a"}, tell);
            server.hub().broadcast({}, Text{"b"}, [&](std::size_t) { ++told; });
        }}.join();
        CHECK_NOTHROW(server.run());
    }
    CHECK(told == 3);
    const Strings heard = client.read();
    REQUIRE(heard.size() == 3);
    CHECK(heard[1] == "text a");
    CHECK(heard[2] == "text b");
}

TEST_CASE("several messages to one connection need one send", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    const std::size_t before = server.transport().count(MemoryOperation::send);
    for (int i = 0; i < 20; ++i) server.hub().send(id, Text{"m"});
    server.hub().broadcast({}, Text{"b"}, {});
    server.run();
    CHECK(client.read().size() == 21);
    CHECK(server.transport().count(MemoryOperation::send) == before + 1);
}

TEST_CASE("a send to the id of a closed connection returns closed", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    CHECK(server.hub().send(id, Text{"x"}) == SendStatus::queued);

    SECTION("its closing handshake has started") {
        CHECK(server.hub().close(id, CloseCode::normal, "") == SendStatus::queued);
        CHECK(server.hub().close(id, CloseCode::normal, "") == SendStatus::closed);
    }
    SECTION("it has ended, and another connection has its slot") {
        client.wire().close();
        server.run();
        WireClient next = server.open();
        const ConnectionId next_id = server.reactor().list().at(0).id;
        CHECK(next_id.slot == id.slot);
        CHECK(next_id.generation != id.generation);
        CHECK(server.hub().send(next_id, Text{"for the next"}) == SendStatus::queued);
        CHECK(server.hub().send(id, Text{"for the old"}) == SendStatus::closed);
        server.run();
        CHECK(next.read() == Strings{"text for the next"});
    }
    SECTION("it never existed") {
        for (const ConnectionId never : {ConnectionId{0, 0, 0}, ConnectionId{0, 77, 1}, ConnectionId{0, 4'000'000, 1},
                                         ConnectionId{1, 0, 1}, ConnectionId{65535, 4294967295, 4294967295}}) {
            CHECK(server.hub().send(never, Text{"x"}) == SendStatus::closed);
        }
        return;
    }
    SECTION("the server is gone") {
        const std::shared_ptr<Hub> hub = server.shared.server_hub;
        server.shared.server_hub->detach();
        CHECK(hub->send(id, Text{"x"}) == SendStatus::closed);
        std::size_t receivers = 99;
        hub->broadcast({}, Text{"x"}, [&](std::size_t count) { receivers = count; });
        CHECK(receivers == 0);
        return;
    }
    CHECK(server.hub().send(id, Text{"x"}) == SendStatus::closed);
    CHECK(server.hub().ping(id, {}) == SendStatus::closed);
}

TEST_CASE("other threads reach connections through the inbox", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    constexpr int threads = 4, each = 500;
    std::atomic<int> queued = 0;  // assertions are allowed on the test's own thread only
    {
        std::vector<std::jthread> senders;
        for (int t = 0; t < threads; ++t) {
            senders.emplace_back([&, t] {
                for (int i = 0; i < each; ++i) {
                    const std::string text = std::to_string(t) + ":" + std::to_string(i);
                    if (server.hub().send(id, Text{text}) == SendStatus::queued) ++queued;
                }
            });
        }
    }
    CHECK(queued == threads * each);
    server.run();
    // All messages were received, those of each thread in order.
    std::vector<int> next(threads, 0);
    const Strings words = client.read();
    CHECK(words.size() == threads * each);
    for (const std::string& word : words) {
        const auto sender = static_cast<std::size_t>(word.at(5) - '0');
        CHECK(word == "text " + std::to_string(sender) + ":" + std::to_string(next[sender]++));
    }
}

TEST_CASE("a request that runs out of memory does not block later ones", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    const auto refuses = [&](const std::function<void()>& give) {
        server.transport().refuse_posts(true);
        (void)within_memory(give);
        server.transport().refuse_posts(false);
        give();
    };
    SECTION("for one connection, through the inbox") {
        std::thread{[&] { refuses([&] { server.hub().send(id, Text{"x"}); }); }}.join();
    }
    int counts = 0;
    const auto broadcast = [&] { server.hub().broadcast({}, Text{"x"}, [&](std::size_t) { ++counts; }); };
    SECTION("for all connections, through the inbox") {
        std::thread{[&] { refuses(broadcast); }}.join();
        server.run();
        CHECK(counts == 2);  // that of the request without memory is called, too
    }
    SECTION("for one connection, on its thread") {
        refuses([&] { server.hub().send(id, Text{"x"}); });
    }
    SECTION("for all connections, on their thread") {
        refuses(broadcast);
        server.run();
        CHECK(counts == 2);
    }
    server.advance(100ms);
    const Strings heard = client.read();
    REQUIRE_FALSE(heard.empty());
    CHECK(heard.back() == "text x");
}

TEST_CASE("a mailbox that has space again resumes receiving during the closing handshake", "[reactor][rfc6455-7.1.4]") {
    struct Full {
        void on_message(AnyConnection& connection, const Text&) {
            static_cast<OwnedConnection&>(connection).hold_receiving();
        }
    };
    MemoryServer server;
    server.handle("", Full{});
    WireClient client = server.open();
    InboxItem room;
    room.kind = InboxItem::Kind::resume;
    room.to = server.reactor().list().at(0).id;
    client.send("x");
    server.run();
    server.hub().close(room.to, CloseCode::normal, "");
    server.run();
    CHECK(client.read() == Strings{"close 1000"});
    server.run();
    CHECK(server.reactor().list().at(0).state == "closing");
    CHECK(server.shared.server_hub->put(std::move(room), {}) == SendStatus::queued);
    server.run();
    client.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::normal);
}

TEST_CASE("stop sends 1001 and ends after the last connection", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    WireClient polite = server.open();
    WireClient rude = server.open();
    WireClient half_open = server.connect();
    server.run();
    server.reactor().stop(server.network.now() + 10s);
    server.run();
    CHECK(polite.read() == Strings{"close 1001 the server stops"});
    CHECK(half_open.wire().at_end());
    server.run();
    polite.wire().close();
    server.run();
    CHECK(server.shared.stopped == 0);

    SECTION("the rest is terminated at the deadline or at the end of its closing handshake") {
        server.advance(11s);
        CHECK(server.shared.stopped == 1);
        CHECK(server.shared.admitted == 0);
        (void)rude.wire().read();
        CHECK((rude.wire().at_end() || rude.wire().was_reset()));
    }
    SECTION("a second stop brings the deadline nearer") {
        server.reactor().stop(server.network.now());
        server.advance(100ms);
        CHECK(server.shared.stopped == 1);
        CHECK(server.shared.admitted == 0);
    }
}

TEST_CASE("on_close() is not called for a connection that was reported as without it", "[reactor]") {
    int closed = 0;
    std::vector<ConnectionId> reported;
    MemoryServer server;
    const auto report = [&] { reported = server.reactor().take_close_due(); };
    server.handle("", Closes{[&] {
                      ++closed;
                      report();
                  }});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    SECTION("the report comes first") {
        report();
        client.close(CloseCode::normal);
        server.run();
        CHECK(closed == 0);
        CHECK(reported == std::vector<ConnectionId>{id});
    }
    SECTION("the call comes first") {
        client.close(CloseCode::normal);
        server.run();
        CHECK(closed == 1);
        CHECK(reported.empty());
    }
    CHECK(client.read() == Strings{"close 1000"});
}

TEST_CASE("removing a handler closes only its connections", "[reactor]") {
    MemoryServer server;
    server.handle("", Silent{});
    server.handle("chat", ToOthers{});
    WireClient stays = server.open();
    WireClient goes = server.open("chat");
    server.reactor().close_served_by(*server.shared.handlers.at("chat"), "chat", nullptr, CloseCode::going_away);
    server.run();
    CHECK(stays.read().empty());
    CHECK(goes.read() == Strings{"close 1001 the handler was removed"});
}

TEST_CASE("info describes a connection", "[reactor]") {
    MemoryServer server;
    server.handle("chat", ToOthers{});
    WireClient client = server.open("chat");
    client.send("12345");
    server.advance(3s);
    const ConnectionInfo info = server.reactor().list().at(0);
    CHECK(server.reactor().info(info.id)->peer == info.peer);
    CHECK_FALSE(info.peer.empty());
    CHECK(info.subprotocol == "chat");
    CHECK(info.handler == "chat");
    CHECK(info.state == "open");
    CHECK(info.age == 3s);
    CHECK(info.messages_in == 1);
    CHECK(info.messages_out == 0);
    CHECK(info.bytes_in > 11);
    CHECK_FALSE(info.round_trip);
    CHECK_FALSE(server.reactor().info({0, info.id.slot, info.id.generation + 1}));
}

TEST_CASE("in a turn only a few connections continue with what was too much for one turn", "[reactor]") {
    struct Counting {
        int* messages;
        void on_message(AnyConnection&, const Text&) { ++*messages; }
    };
    constexpr int peers = 8, each = 50'000, a_turn = 4 * 512;
    ConnectionOptions options;
    options.ping_interval = 1ms;  // so that the reactor is woken in each turn
    MemoryServer server(options);
    int messages = 0;
    server.handle("", Counting{&messages});
    std::vector<WireClient> clients;
    for (int i = 0; i < peers; ++i) clients.push_back(server.open());
    for (WireClient& client : clients) {
        for (int i = 0; i < each; ++i) client.send("");
    }
    server.transport().run_turns(1000);
    int most = 0, turns = 0;
    for (; messages < peers * each && turns < peers * each; ++turns) {
        const int before = messages;
        server.network.stand_still(1ms);
        server.transport().run_turns(1000);
        most = std::max(most, messages - before);
    }
    CHECK(messages == peers * each);
    // Besides those that continue, each may receive more.
    CHECK(most <= a_turn + peers * 512);
}
