// Rooms of a server: reactors in memory, and threads with real sockets. The index itself is tested in
// connection/rooms_test.cpp.
#include <algorithm>
#include <atomic>
#include <latch>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kib = 1024;

/// Obeys `join ROOM`, `leave ROOM` and `rooms`, and publishes `ROOM MESSAGE` to the other members of the room. Says
/// `left ROOMS` to all when a connection ends.
template <Runs where>
struct RoomKeeper {
    static constexpr Runs runs = where;
    void on_message(AnyConnection& connection, const Text& message) {
        const auto space = message.text.find(' ');
        const std::string_view word = message.text.substr(0, space);
        const std::string_view rest = space != std::string_view::npos ? message.text.substr(space + 1) : "";
        if (word == "join") {
            connection.send(to_string(connection.join(rest)));
        } else if (word == "leave") {
            connection.send(to_string(connection.leave(rest)));
        } else if (word == "rooms") {
            connection.send(names(connection));
        } else {
            connection.publish(word, rest);
        }
    }
    void on_close(AnyConnection& connection, const Close&) {
        connection.hub()->broadcast({}, "left " + names(connection));
    }
    static std::string names(const AnyConnection& connection) {
        auto rooms = connection.rooms();
        std::sort(rooms.begin(), rooms.end());
        std::string all;
        for (const std::string& room : rooms) all += room + ',';
        return all;
    }
};
using Inline = RoomKeeper<Runs::inline_>;
using Pooled = RoomKeeper<Runs::pooled>;

/// Clients on two reactors in memory, in turn.
struct Rig : MemoryServer {
    explicit Rig(const ConnectionOptions& options = {}) : MemoryServer(options, 2) {
        handle("", Inline{});
        handle("chat", Inline{});
    }
    /// The ids, in the order of clients; those of reactor 0 first.
    std::vector<ConnectionId> ids() {
        std::vector<ConnectionId> all;
        for (std::size_t i = 0; i < 2; ++i) {
            for (const auto& info : reactor(i).list()) all.push_back(info.id);
        }
        return all;
    }
    std::size_t memberships() {
        return reactor(0).memberships().rooms.memberships() + reactor(1).memberships().rooms.memberships();
    }
    std::uint64_t sum(Counter ConnectionCounters::*counter) {
        return (reactor(0).counters().*counter).read() + (reactor(1).counters().*counter).read();
    }
    /// Opens a client, and returns the id of its connection.
    ConnectionId open_one(std::string_view subprotocol = {}) {
        const auto before = ids();
        clients.push_back(open(subprotocol));
        for (const ConnectionId id : ids()) {
            if (std::find(before.begin(), before.end(), id) == before.end()) return id;
        }
        return {};
    }
    Strings read(std::size_t client) { return clients[client].read(); }

    std::vector<WireClient> clients;
};

}  // namespace

TEST_CASE("a handler's connections join rooms, publish to them and leave them", "[rooms]") {
    Rig server;
    for (int i = 0; i < 4; ++i) server.open_one();
    for (std::size_t i = 0; i < 3; ++i) server.clients[i].send("join a");
    server.clients[0].send("join b");
    server.clients[0].send("rooms");
    server.clients[3].send("join ");
    server.run();
    CHECK(server.read(0) == Strings{"text queued", "text queued", "text a,b,"});
    CHECK(server.read(3) == Strings{"text refused"});
    for (std::size_t i = 1; i < 3; ++i) (void)server.read(i);
    server.clients[3].send("a from outside");
    server.clients[1].send("a from inside");
    server.clients[1].send("b for one");
    server.run();
    CHECK(server.read(0) == Strings{"text from outside", "text from inside", "text for one"});
    CHECK(server.read(1) == Strings{"text from outside"});
    CHECK(server.read(2) == Strings{"text from outside", "text from inside"});
    CHECK(server.read(3).empty());
    server.clients[2].send("leave a");
    server.clients[2].send("leave a");
    server.clients[1].send("a again");
    server.run();
    CHECK(server.read(0) == Strings{"text again"});
    CHECK(server.read(2) == Strings{"text queued", "text queued"});
    CHECK(server.memberships() == 3);
    CHECK(server.shared.room_directory()->size() == 2);
}

TEST_CASE("a broadcast selects by room, subprotocol and exception", "[rooms]") {
    Rig server;
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 6; ++i) ids.push_back(server.open_one(i % 2 == 0 ? "chat" : ""));
    for (std::size_t i = 0; i < 5; ++i) CHECK(server.hub().join(ids[i], "a") == SendStatus::queued);
    std::vector<std::size_t> counts;
    const auto tell = [&](std::size_t receivers) { counts.push_back(receivers); };
    server.hub().broadcast({.room = "a"}, "1", tell);
    server.hub().broadcast({.room = "a", .except = ids[0]}, "2", tell);
    server.hub().broadcast({.room = "a", .subprotocol = "chat", .except = ids[0]}, "3", tell);
    server.hub().broadcast({}, "4", tell);
    CHECK(server.hub().broadcast({.room = "no such room"}, "5", tell) == SendStatus::queued);
    CHECK(counts == std::vector<std::size_t>{0});
    server.run();
    std::sort(counts.begin(), counts.end());
    CHECK(counts == std::vector<std::size_t>{0, 2, 4, 5, 6});
    CHECK(server.read(0) == Strings{"text 1", "text 4"});
    CHECK(server.read(1) == Strings{"text 1", "text 2", "text 4"});
    CHECK(server.read(2) == Strings{"text 1", "text 2", "text 3", "text 4"});
    CHECK(server.read(5) == Strings{"text 4"});
}

TEST_CASE("broadcasts to rooms, to lists and to all keep their order", "[rooms]") {
    Rig server;
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(server.open_one());
    for (const ConnectionId id : ids) server.hub().join(id, "a");
    server.hub().join(ids[0], "b");
    Strings expected;
    for (int i = 0; i < 12; ++i) {
        const std::string text = std::to_string(i);
        expected.push_back("text " + text);
        if (i % 4 == 0) server.hub().broadcast({}, text);
        if (i % 4 == 1) server.hub().broadcast({.room = "a"}, text);
        if (i % 4 == 2) server.hub().send(ids, text);
        if (i % 4 == 3) server.hub().broadcast({.room = "b"}, text);
    }
    server.run();
    CHECK(server.read(0) == expected);
    std::erase_if(expected, [](const std::string& line) { return std::stoi(line.substr(5)) % 4 == 3; });
    for (std::size_t i = 1; i < 4; ++i) CHECK(server.read(i) == expected);
}

TEST_CASE("a message to a list of connections is sent to each of them", "[rooms]") {
    Rig server;
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(server.open_one());
    server.clients[3].wire().close();
    server.run();
    std::size_t receivers = 99;
    const auto tell = [&](std::size_t count) { receivers = count; };
    const std::vector<ConnectionId> to{ids[0], ids[3], ids[2], {0, 0, 77}, {9, 1, 1}};
    CHECK(server.hub().send(to, "x", tell) == SendStatus::queued);
    server.run();
    CHECK(receivers == 2);
    (void)server.read(1);
    CHECK(server.read(0).back() == "text x");
    CHECK(server.read(2).back() == "text x");
    CHECK(server.hub().send(std::vector<ConnectionId>{}, "x", tell) == SendStatus::closed);
    CHECK(receivers == 0);
    CHECK(server.hub().send(to, "\xFF", tell) == SendStatus::refused);
}

TEST_CASE("a publication is passed to the reactors that have members", "[rooms][threads]") {
    Rig server;
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(server.open_one());
    const ConnectionId member = *std::find_if(ids.begin(), ids.end(), [](auto id) { return id.reactor == 1; });
    server.hub().join(member, "a");
    const auto from_elsewhere = [&](auto&& f) { std::thread{f}.join(); };
    const std::size_t idle = server.reactor(0).inbox_bytes();
    from_elsewhere([&] { server.hub().broadcast({.room = "a"}, "x"); });
    CHECK(server.reactor(0).inbox_bytes() == idle);
    CHECK(server.reactor(1).inbox_bytes() > idle);
    server.run();
    from_elsewhere([&] { server.hub().send(std::vector{member}, "x"); });
    CHECK(server.reactor(0).inbox_bytes() == idle);
    CHECK(server.reactor(1).inbox_bytes() > idle);
    server.run();
    server.hub().leave(member, "a");
    from_elsewhere([&] { server.hub().broadcast({.room = "a"}, "x"); });
    CHECK(server.reactor(1).inbox_bytes() == idle);
}

TEST_CASE("a connection receives the publications between its join and its leave", "[rooms][threads]") {
    Rig server;
    const ConnectionId id = server.open_one();
    std::thread{[&] {
        server.hub().broadcast({.room = "a"}, "too early");
        const bool asked = server.hub().join(id, "a") == SendStatus::queued;
        server.hub().broadcast({.room = "a"}, asked ? "in time" : "not asked");
        server.hub().leave(id, "a");
        server.hub().broadcast({.room = "a"}, "too late");
    }}.join();
    CHECK(server.shared.room_directory()->size() == 1);
    server.run();
    CHECK(server.read(0) == Strings{"text in time"});
    CHECK(server.memberships() == 0);
    CHECK(server.shared.room_directory()->size() == 0);

    SECTION("a request that is dropped leaves nothing in the directory") {
        std::thread{[&] { server.hub().join(id, "a"); }}.join();
        CHECK(server.shared.room_directory()->size() == 1);
        server.reactor(0).drop_inbox();
        server.reactor(1).drop_inbox();
        CHECK(server.shared.room_directory()->size() == 0);
    }
    SECTION("a request for a connection that ends leaves nothing in the directory") {
        std::thread{[&] { server.hub().join(id, "a"); }}.join();
        server.clients[0].wire().reset();
        server.run();
        CHECK(server.memberships() == 0);
        CHECK(server.shared.room_directory()->size() == 0);
    }
}

TEST_CASE("an ended connection has left its rooms, whatever ended it", "[rooms]") {
    ConnectionOptions options;
    options.close_timeout = 1s;
    Rig server{options};
    const ConnectionId id = server.open_one();
    server.open_one();
    server.hub().join(id, "a");
    server.hub().join(id, "b");
    SECTION("a closing handshake of the client") { server.clients[0].close(CloseCode::normal); }
    SECTION("a closing handshake of the server") { server.hub().close(id, CloseCode::normal, {}); }
    SECTION("a client that answers no Close frame") {
        server.clients[0].wire().set_window(0);
        server.hub().close(id, CloseCode::normal, {});
        server.advance(30s);
    }
    SECTION("the end of the stream") { server.clients[0].wire().close(); }
    SECTION("a reset of the stream") { server.clients[0].wire().reset(); }
    SECTION("a broken rule") { server.clients[0].wire().write("\xFF\xFF\xFF"); }
    server.run();
    (void)server.clients[0].read();
    server.run();
    CHECK(server.memberships() == 0);
    CHECK(server.shared.room_directory()->size() == 0);
    CHECK(server.read(1).at(0) == "text left a,b,");
    CHECK(server.hub().join(id, "a") == SendStatus::closed);
    const ConnectionId next = server.open_one();
    server.hub().join(next, "a");
    std::size_t receivers = 0;
    server.hub().broadcast({.room = "a"}, "x", [&](std::size_t count) { receivers = count; });
    server.run();
    CHECK(receivers == 1);
}

TEST_CASE("a connection that closes is in its rooms until on_close() and receives nothing", "[rooms]") {
    Rig server;
    const ConnectionId id = server.open_one();
    server.hub().join(id, "a");
    server.hub().close(id, CloseCode::normal, {});
    CHECK(server.memberships() == 1);
    CHECK(server.hub().join(id, "b") == SendStatus::closed);
    std::size_t receivers = 99;
    server.hub().broadcast({.room = "a"}, "x", [&](std::size_t count) { receivers = count; });
    server.run();
    CHECK(receivers == 0);
    CHECK(server.read(0) == Strings{"close 1000"});
    server.run();
    CHECK(server.memberships() == 0);
}

TEST_CASE("a connection is in at most max_rooms rooms", "[rooms]") {
    Rig server{ConnectionOptions{.max_rooms = 2}};
    const ConnectionId id = server.open_one();
    for (const auto* room : {"a", "b", "c", "a"}) server.clients[0].send(std::string{"join "} + room);
    server.run();
    CHECK(server.read(0) == Strings{"text queued", "text queued", "text dropped", "text queued"});
    CHECK(server.sum(&ConnectionCounters::joins_over_limit) == 1);
    std::thread{[&] { server.hub().join(id, "d"); }}.join();
    server.run();
    CHECK(server.sum(&ConnectionCounters::joins_over_limit) == 2);
    CHECK(server.memberships() == 2);
    CHECK(server.shared.room_directory()->size() == 2);
}

TEST_CASE("a room may change while a broadcast is sent to it", "[rooms]") {
    ConnectionOptions options;
    options.send_queue = {16 * kib, 128 * kib, SlowConsumer::close};
    options.ping_interval = 0s;
    const std::string large(40 * kib, 'x');
    MemoryServer server{options, 1};
    server.handle("", Inline{});
    std::vector<WireClient> clients;
    for (int i = 0; i < 7; ++i) clients.push_back(server.open());
    const auto list = server.reactor().list();
    for (std::size_t i = 0; i < 6; ++i) server.hub().join(list[i].id, "a");
    clients[2].wire().set_window(10);
    std::vector<std::size_t> counts;
    const auto broadcast = [&](std::string_view text) {
        server.hub().broadcast({.room = "a"}, text, [&](std::size_t count) { counts.push_back(count); });
        server.run();
    };
    // In the middle of a broadcast the slow receiver is closed. The program then changes the room.
    int changes = 0;
    server.shared.event_listener = [&](const ConnectionEvent& event) {
        if (event.kind != ConnectionEvent::Kind::close_sent || event.id != list[2].id) return;
        ++changes;
        server.hub().leave(list[0].id, "a");                            // had the message
        server.hub().leave(list[4].id, "a");                            // has not
        server.hub().close(list[3].id, CloseCode::normal, {});          // has not
        server.hub().join(list[6].id, "a");                             // was not a member
        server.hub().broadcast({.room = "a"}, "within the broadcast");  // in a later turn
    };
    for (int i = 0; i < 10 && changes == 0; ++i) broadcast(large);
    REQUIRE(changes == 1);
    const std::size_t before = counts.size() - 1;
    CHECK(counts.back() == 3);  // 0, 1 and 5
    const auto large_ones = [&](const Strings& events) {
        return static_cast<std::size_t>(std::count(events.begin(), events.end(), "text " + large));
    };
    const auto has_inner = [&](const Strings& events) {
        return std::count(events.begin(), events.end(), "text within the broadcast") == 1;
    };
    const std::map<std::size_t, std::pair<std::size_t, bool>> expected{
        {0, {before + 1, false}}, {1, {before + 1, true}}, {3, {before, false}},
        {4, {before, false}},     {5, {before + 1, true}}, {6, {0, true}}};
    for (const auto& [client, its] : expected) {
        INFO("client " << client);
        const Strings events = clients[client].read();
        CHECK(large_ones(events) == its.first);
        CHECK(has_inner(events) == its.second);
    }
    server.shared.event_listener = nullptr;
    server.run();
    broadcast("next");
    CHECK(counts.back() == 3);  // 1, 5 and 6
}

TEST_CASE("a broadcast to a room waits for slow receivers, as any other", "[rooms][publish]") {
    ConnectionOptions options;
    options.send_queue = {16 * kib, 128 * kib, SlowConsumer::close};
    options.ping_interval = 0s;
    Rig server{options};
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(server.open_one());
    for (std::size_t i = 0; i < 2; ++i) {
        server.hub().join(ids[i], "a");
        server.clients[i].wire().set_window(4 * kib);
    }
    SECTION("which is reported when they have caught up") {
        std::size_t receivers = 0;
        server.hub().broadcast({.room = "a", .waits = true}, std::string(40 * kib, 'x'),
                               [&](std::size_t count) { receivers = count; });
        server.run();
        CHECK(receivers == 0);
        for (std::size_t i = 0; i < 2; ++i) server.clients[i].wire().set_window(1000 * kib);
        server.advance(10ms);
        CHECK(receivers == 2);
    }
    SECTION("and a connection that publishes to the room is not read meanwhile") {
        const std::string text = "a " + std::string(kib, 'x');
        for (int i = 0; i < 300; ++i) server.clients[3].send(text);
        std::size_t received = 0;
        for (int turn = 0; turn < 1000; ++turn) {
            server.advance(20ms);
            (void)server.read(0);
            received += server.read(1).size();
        }
        CHECK(received == 300);
        CHECK(server.sum(&ConnectionCounters::publish_pauses) > 0);
        CHECK(server.sum(&ConnectionCounters::slow_consumers) == 0);
    }
}

TEMPLATE_TEST_CASE("rooms have members on several threads", "[rooms][threads]", Inline, Pooled) {
    constexpr std::size_t count = 12;
    std::latch ended{static_cast<std::ptrdiff_t>(count)};
    ServerOptions options;
    options.io_threads = 3;
    options.workers = 2;
    Server server{options};
    server.handle(TestType{});
    server.on_end([&](const ConnectionEnd&) { ended.count_down(); });
    const auto url = server.listen("127.0.0.1:0");
    REQUIRE(url);
    server.start();
    {
        std::vector<BlockingClient> clients;
        for (std::size_t i = 0; i < count; ++i) clients.emplace_back(*url, "");
        for (std::size_t i = 0; i < count; ++i) {
            clients[i].send("join all");
            clients[i].send(i % 2 == 0 ? "join even" : "join odd");
            clients[i].send("rooms");
        }
        for (std::size_t i = 0; i < count; ++i) {
            CHECK(clients[i].next() == "text queued");
            CHECK(clients[i].next() == "text queued");
            CHECK(clients[i].next() == (i % 2 == 0 ? "text all,even," : "text all,odd,"));
        }
        CHECK(server.statistics().rooms == 3);
        CHECK(server.statistics().memberships == 2 * count);
        clients[0].send("all hello");
        for (std::size_t i = 1; i < count; ++i) CHECK(clients[i].next() == "text hello");
        clients[1].send("even and");
        for (std::size_t i = 0; i < count; i += 2) CHECK(clients[i].next() == "text and");
        server.hub()->broadcast({.room = "odd"}, "odd ones");
        for (std::size_t i = 1; i < count; i += 2) CHECK(clients[i].next() == "text odd ones");
        clients[2].send("leave all");
        CHECK(clients[2].next() == "text queued");
        clients[2].send("all again");
        clients[2].send("rooms");
        CHECK(clients[2].next() == "text even,");
        CHECK(clients[3].next() == "text again");
    }
    ended.wait();
    CHECK(server.statistics().rooms == 0);
    CHECK(server.statistics().memberships == 0);
    CHECK(server.stop(1s).complete());
}

TEST_CASE("threads join, leave and publish while connections end", "[rooms][threads]") {
    constexpr int rounds = 200;
    ServerOptions options;
    options.io_threads = 2;
    Server server{options};
    server.handle(Inline{});
    const auto url = server.listen("127.0.0.1:0");
    REQUIRE(url);
    server.start();
    const auto hub = server.hub();
    std::atomic<bool> stopping{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            const std::string room = "room " + std::to_string(t % 2);
            while (!stopping) {
                for (const auto& info : server.list()) {
                    hub->join(info.id, room);
                    hub->broadcast({.room = room}, "x");
                    hub->leave(info.id, room);
                }
            }
        });
    }
    for (int i = 0; i < rounds; ++i) {
        BlockingClient client{*url, ""};
        client.send("join mine");
        if (i % 3 != 0) (void)client.next();
    }
    stopping = true;
    for (auto& thread : threads) thread.join();
    CHECK(server.stop(5s).complete());
    CHECK(server.statistics().memberships == 0);
    CHECK(server.statistics().rooms == 0);
}
