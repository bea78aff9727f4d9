#include "wsserver/testing.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using wsserver::test::has;
using wsserver::test::Strings;
using namespace std::chrono_literals;

namespace {

/// Echoes messages. Some messages make it do something else.
struct Obedient {
    Strings* heard = nullptr;

    void on_open(AnyConnection& connection) { note("open " + std::string{connection.target()}); }
    void on_message(AnyConnection& connection, const Text& message) {
        if (message.text == "throw") throw std::runtime_error{"no such room"};
        if (message.text == "close") return void(connection.close(CloseCode{4000}, "bye"));
        if (message.text == "ping") return void(connection.ping(bytes_of("hi")));
        connection.send(message);
    }
    void on_message(AnyConnection& connection, const Binary& message) { connection.send(message); }
    void on_ping(AnyConnection&, const Ping& ping) { note("ping " + std::string{text_of(ping.payload)}); }
    void on_close(AnyConnection&, const Close& close) { note(to_string(ClientEvent{Opcode::close, {}, close.code})); }

    void note(std::string what) const {
        if (heard != nullptr) heard->push_back(std::move(what));
    }
};

struct Pooled {
    static constexpr Runs runs = Runs::pooled;
    std::thread::id* ran_on;
    void on_message(AnyConnection& connection, const Text& message) {
        *ran_on = std::this_thread::get_id();
        connection.send(message);
    }
};

struct Chat {
    void on_message(AnyConnection& connection, const Text& message) {
        connection.hub()->broadcast({.subprotocol = std::string{connection.subprotocol()}, .except = connection.id()},
                                    message);
    }
};

/// The text of the TestFailure that `f` throws, without the line number.
std::string failure_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const TestFailure& failure) {
        const std::string text = failure.what();
        CHECK(text.starts_with("testing_test.cpp:"));
        return text.substr(text.find(": ") + 2);
    }
    return "no failure";
}

}  // namespace

TEST_CASE("a client in memory sends and receives", "[testing]") {
    Strings heard;
    MemoryServer server{Obedient{&heard}};
    MemoryClient client = server.connect("/chat?room=5");
    CHECK(client.is_open());
    CHECK(client.response().status == 101);
    CHECK(client.subprotocol().empty());
    CHECK_FALSE(client.end());

    CHECK(client.send("hello") == SendStatus::queued);
    client.expect("text hello");
    client.send(Text{"a"});
    client.send(Binary{bytes_of("b")});
    const std::uint8_t bytes[] = {0x01, 0xFF};
    client.send(Binary{bytes});
    CHECK(client.received() == Strings{"text a", "binary b", "binary 01 ff"});
    client.ping("p");
    CHECK(client.receive() == ClientEvent{Opcode::pong, "p"});
    client.send("ping");
    client.expect("ping hi");
    CHECK_FALSE(client.try_receive());
    client.expect_nothing();

    CHECK(client.close(CloseCode::normal, "done") == SendStatus::queued);
    CHECK(client.receive() == ClientEvent{Opcode::close, {}, CloseCode::normal});
    CHECK_FALSE(client.is_open());
    CHECK(client.send("too late") == SendStatus::closed);
    CHECK(client.ping() == SendStatus::closed);
    CHECK(client.close() == SendStatus::closed);
    REQUIRE(client.end());
    CHECK(client.end()->code == CloseCode::normal);
    CHECK(heard == Strings{"open /chat?room=5", "ping p", "close 1000"});
    REQUIRE(server.ends().size() == 1);
    CHECK(server.ends()[0].info.id == client.id());
}

TEST_CASE("an event is written as one line", "[testing]") {
    CHECK(to_string(ClientEvent{Opcode::text, "Grüße"}) == "text Grüße");
    CHECK(to_string(ClientEvent{Opcode::text}) == "text");
    CHECK(to_string(ClientEvent{Opcode::binary, "~ "}) == "binary ~ ");
    CHECK(to_string(ClientEvent{Opcode::binary, "\x7F\x80"}) == "binary 7f 80");
    CHECK(to_string(ClientEvent{Opcode::ping}) == "ping");
    CHECK(to_string(ClientEvent{Opcode::pong, "a\n"}) == "pong 61 0a");
    CHECK(to_string(ClientEvent{Opcode::close, "bye", CloseCode::going_away}) == "close 1001 bye");
    CHECK(to_string(ClientEvent{Opcode::close}) == "close 1005");
}

TEST_CASE("an expected control frame may omit its payload", "[testing]") {
    MemoryServer server{Obedient{}};
    MemoryClient client = server.connect();
    for (const char* met : {"ping hi", "ping"}) {
        client.send("ping");
        client.expect(met);
    }
    client.send("ping");
    CHECK_THROWS_AS(client.expect("ping h"), TestFailure);
    client.send("close");
    SECTION("close 4000 bye") { client.expect("close 4000 bye"); }
    SECTION("close 4000") { client.expect("close 4000"); }
    SECTION("close") { client.expect("close"); }
    SECTION("no other code") { CHECK_THROWS_AS(client.expect("close 400"), TestFailure); }
    CHECK(client.end()->code == CloseCode{4000});
    MemoryClient other = server.connect();
    other.send("ab c");
    CHECK_THROWS_AS(other.expect("text ab"), TestFailure);
}

TEST_CASE("a client that disconnects ends its connection with 1006", "[testing]") {
    Strings heard;
    MemoryServer server{Obedient{&heard}};
    SECTION("by disconnect()") {
        MemoryClient client = server.connect();
        client.disconnect();
        client.expect("close 1006");
        client.disconnect();
    }
    SECTION("by its destructor") {
        static_cast<void>(server.connect());
        server.run();
    }
    SECTION("by assignment") {
        MemoryClient client = server.connect();
        heard.clear();
        client = server.connect();
        server.run();
        CHECK(server.list().size() == 1);
        CHECK(client.is_open());
    }
    CHECK(heard == Strings{"open /", "close 1006"});
}

TEST_CASE("several clients with subprotocols use the hub", "[testing]") {
    MemoryServer server;
    server.handle(Obedient{});
    server.handle("chat", Chat{});
    MemoryClient ann = server.connect("/", {"unknown", "chat"});
    MemoryClient bob = server.connect("/", {"chat"});
    MemoryClient eve = server.connect("/", {"unknown"});
    CHECK(ann.subprotocol() == "chat");
    CHECK(eve.subprotocol().empty());
    CHECK(server.list().size() == 3);

    ann.send("hi");
    bob.expect("text hi");
    ann.expect_nothing();
    eve.expect_nothing();

    std::size_t receivers = 0;
    server.hub()->broadcast({}, Text{"all"}, [&](std::size_t count) { receivers = count; });
    ann.expect("text all");
    CHECK(receivers == 3);
    bob.expect("text all");
    eve.expect("text all");
    CHECK(server.hub()->send(eve.id(), Text{"psst"}) == SendStatus::queued);
    eve.expect("text psst");

    CHECK(server.remove_handler("chat"));
    CHECK_FALSE(server.remove_handler("chat"));
    ann.expect("close 1001");
    CHECK(eve.is_open());
}

namespace {

/// The first message is the name of a room. The others are for the room.
struct RoomTalker {
    void on_message(AnyConnection& connection, const Text& message) {
        if (connection.rooms().empty()) return void(connection.join(message.text));
        connection.publish(connection.rooms().front(), message);
    }
    void on_close(AnyConnection& connection, const Close&) {
        for (const std::string& room : connection.rooms()) connection.publish(room, "someone left " + room);
    }
};

}  // namespace

TEST_CASE("clients in memory meet in rooms", "[testing][rooms]") {
    MemoryServer server{RoomTalker{}};
    auto ann = server.connect(), bob = server.connect(), cid = server.connect();
    ann.send("red");
    bob.send("red");
    cid.send("blue");
    ann.send("hello");
    bob.expect("text hello");
    cid.expect_nothing();
    std::size_t receivers = 0;
    server.hub()->broadcast({.room = "red"}, "to red", [&](std::size_t count) { receivers = count; });
    server.run();
    CHECK(receivers == 2);
    const std::vector<ConnectionId> two{ann.id(), cid.id()};
    CHECK(server.hub()->send(two, "to two", [&](std::size_t count) { receivers += count; }) == SendStatus::queued);
    server.run();
    CHECK(receivers == 4);
    ann.disconnect();
    CHECK(bob.received() == std::vector<std::string>{"text to red", "text someone left red"});
    CHECK(cid.received() == std::vector<std::string>{"text to two"});
}

TEST_CASE("a recording connection records rooms", "[testing][rooms]") {
    RecordingConnection connection{"chat"};
    CHECK(connection.join("red") == SendStatus::queued);
    CHECK(connection.join("") == SendStatus::refused);
    CHECK(connection.rooms() == std::vector<std::string>{"red"});
    CHECK(connection.leave("red") == SendStatus::queued);
    CHECK(connection.rooms().empty());
    CHECK(connection.calls == std::vector<std::string>{"join red", "leave red"});
    connection.publish("red", "hi");
    connection.handle().join("blue");
    connection.handle().leave("blue");
    connection.hub()->broadcast({.room = "blue", .subprotocol = "chat"}, "x");
    const std::vector<ConnectionId> to{{0, 1, 1}, {0, 2, 1}};
    connection.hub()->send(to, "y");
    CHECK(connection.recording_hub().calls ==
          std::vector<std::string>{"broadcast room red except 0-1-1 text hi", "join 0-1-1 blue", "leave 0-1-1 blue",
                                   "broadcast room blue subprotocol chat text x", "send 0-1-1 0-2-1 text y"});
}

TEST_CASE("texts and bytes of any type are sent as they are", "[testing]") {
    struct Sender {
        void on_open(AnyConnection& connection) {
            const std::vector<std::byte> bytes{std::byte{1}, std::byte{2}};
            connection.send("literal");
            connection.send(std::string{"string"} + "s");
            connection.send(std::string_view{"view"});
            connection.send(bytes);
            connection.send(std::span{bytes}.first(1));
            connection.handle().send("by handle");
            connection.hub()->send(connection.id(), "by hub");
            connection.hub()->broadcast({}, std::vector<std::uint8_t>{3});
            connection.publish("to others");
        }
    };
    MemoryServer server{Sender{}};
    MemoryClient client = server.connect();
    CHECK(client.received() == Strings{"text literal", "text strings", "text view", "binary 01 02", "binary 01",
                                       "text by handle", "text by hub", "binary 03"});
}

TEST_CASE("a reaction may take both types of messages as AnyMessage", "[testing]") {
    struct Echoes {
        void on_message(AnyConnection& connection, const AnyMessage& message) { connection.send(message); }
    };
    MemoryServer server{Echoes{}};
    MemoryClient client = server.connect();
    client.send("hi");
    client.send(std::vector<std::byte>{std::byte{1}});
    CHECK(client.received() == Strings{"text hi", "binary 01"});
}

TEST_CASE("a server in memory has routes", "[testing]") {
    struct Room {
        void on_open(AnyConnection& connection) {
            connection.send(Text{connection.parameter("room").value_or("none")});
        }
    };
    MemoryServer server{Room{}};
    server.handle_path("/chat/{room}", Room{});
    server.handle_path("/chat/{room}", "v1", Room{});
    auto chat = server.connect("/chat/a%20b"), v1 = server.connect("/chat/5", {"v1"}), other = server.connect("/");
    chat.expect("text a b");
    v1.expect("text 5");
    other.expect("text none");
    CHECK(server.remove_path_handler("/chat/{room}", "v1"));
    v1.expect("close 1001 the handler was removed");
    chat.expect_nothing();
    CHECK(server.remove_path("/chat/{room}"));
    CHECK_FALSE(server.remove_path("/chat/{room}"));
    chat.expect("close 1001 the handler was removed");
    CHECK(server.remove_handler(""));
    other.expect("close 1001 the handler was removed");
    CHECK(server.connect("/").response().status == 404);
    CHECK_THROWS_AS(server.handle_path("chat", Room{}), std::invalid_argument);
}

TEST_CASE("a program decides about opening handshakes of a server in memory", "[testing][upgrade]") {
    MemoryServer server{Obedient{}};
    SECTION("at once, or as if it were on a worker") {
        const Runs runs = GENERATE(Runs::inline_, Runs::pooled);
        server.on_upgrade(
            [](const UpgradeRequest& request) -> Admission {
                if (request.path() == "/throw") throw std::runtime_error{"no database"};
                if (request.cookie("sid") != "5") return Admission::refuse({.status = 401, .body = "no token"});
                Admission admission;
                admission.fields = {{"Set-Cookie", "seen=1"}};
                return admission;
            },
            runs);
        auto stranger = server.connect();
        CHECK_FALSE(stranger.is_open());
        CHECK(stranger.response().status == 401);
        CHECK(stranger.response().body == "no token");
        CHECK(stranger.id().generation == 0);
        auto known = server.connect(ClientRequest{.fields = {{"Cookie", "sid=5"}}});
        CHECK(known.response().find("set-cookie") == "seen=1");
        known.send("hi");
        known.expect("text hi");
        CHECK(server.connect("/throw").response().status == 500);
        server.advance(std::chrono::minutes{1});
        REQUIRE(server.ends().size() == 2);
        CHECK(server.ends()[1].cause ==
              "the program refused the client: 500 Internal Server Error: it threw: no database");
    }
    SECTION("later") {
        std::vector<UpgradeReply> replies;
        server.on_upgrade([&](const UpgradeRequest&, UpgradeReply reply) { replies.push_back(std::move(reply)); });
        auto alice = server.connect();
        auto bob = server.connect();
        REQUIRE(replies.size() == 2);
        CHECK_FALSE(alice.is_open());
        CHECK(alice.response().status == 0);
        try {
            alice.expect("text hi");
            FAIL("there is no event");
        } catch (const TestFailure& failure) {
            CHECK(std::string_view{failure.what()}.ends_with("the server has not answered the opening handshake"));
        }
        CHECK(replies[0](Admission{}) == SendStatus::queued);
        CHECK(replies[1].fail("the database is down") == SendStatus::queued);
        server.run();
        CHECK(alice.is_open());
        CHECK(server.hub()->send(alice.id(), "welcome") == SendStatus::queued);
        alice.expect("text welcome");
        CHECK(bob.response().status == 500);
    }
    SECTION("not in time") {
        std::vector<UpgradeReply> replies;
        server.on_upgrade([&](const UpgradeRequest&, UpgradeReply reply) { replies.push_back(std::move(reply)); });
        auto client = server.connect();
        server.advance(std::chrono::minutes{1});
        CHECK(client.response().status == 503);
        CHECK(replies.at(0).is_gone());
    }
    SECTION("only if Origin and Host are allowed") {
        int asked = 0;
        server.on_upgrade([&](const UpgradeRequest&) { return ++asked, Admission{}; });
        CHECK(server.connect(ClientRequest{.origin = "http://elsewhere.example"}).response().status == 403);
        CHECK(asked == 0);
    }
}

TEST_CASE("a handler decides about opening handshakes of a server in memory", "[testing][upgrade]") {
    struct Guarded {
        Admission on_upgrade(const UpgradeRequest& request) {
            if (request.query("odd")) throw 7;
            if (!request.query("token")) return Admission::refuse({.status = 401});
            Admission admission;
            if (request.query("choose")) admission.subprotocol = "";
            admission.fields = {{"X-Guard", "1"}};
            return admission;
        }
        void on_open(AnyConnection& connection) { connection.send(connection.parameter("room").value_or("-")); }
    };
    MemoryServer server;
    server.handle_path("/rooms/{room}", Guarded{});
    CHECK(server.connect("/rooms/5").response().status == 401);
    auto client = server.connect("/rooms/5?token");
    CHECK(client.response().find("x-guard") == "1");
    client.expect("text 5");
    CHECK(server.connect("/rooms/5?odd").response().status == 500);
    CHECK(server.connect("/rooms/5?token&choose").response().status == 500);
    server.advance(std::chrono::minutes{1});
    CHECK(server.ends().back().cause ==
          "the program refused the client: 500 Internal Server Error: a handler chooses no subprotocol and no other "
          "handler");
}

TEST_CASE("a recording connection has the parameters that the test sets", "[testing]") {
    RecordingConnection connection{"chat", "/rooms/5"};
    CHECK_FALSE(connection.parameter("room"));
    connection.parameters["room"] = "5";
    CHECK(connection.parameter("room") == "5");
}

namespace {

/// Sends text that is not UTF-8 on all ways that it has.
template <Runs where>
struct Careless {
    static constexpr Runs runs = where;
    std::vector<SendStatus>* results;
    std::vector<std::size_t>* receivers;
    bool* was_checked;

    void on_message(AnyConnection& connection, const Text& message) {
        const std::string bad = "bad \xFF";
        *was_checked = message.is_checked();
        results->push_back(connection.send(bad));
        results->push_back(connection.send(Text{message.text.substr(0, 1)}));  // the half of a character
        results->push_back(connection.publish(bad));
        results->push_back(connection.handle().send(bad));
        results->push_back(connection.hub()->send(connection.id(), bad));
        results->push_back(connection.hub()->broadcast({}, bad, [to = receivers](std::size_t n) { to->push_back(n); }));
        connection.send(message);
    }
};

}  // namespace

TEMPLATE_TEST_CASE_SIG("text that is not UTF-8 is refused, and the connection stays open", "[testing][rfc6455-5.6]",
                       ((Runs where), where), Runs::inline_, Runs::pooled) {
    std::vector<SendStatus> results;
    std::vector<std::size_t> receivers;
    bool was_checked = false;
    MemoryServer server{Careless<where>{&results, &receivers, &was_checked}};
    MemoryClient client = server.connect();
    CHECK(client.send("\xFF") == SendStatus::refused);
    CHECK(results.empty());
    CHECK(client.send("\u00fc") == SendStatus::queued);
    CHECK(results == std::vector<SendStatus>(6, SendStatus::refused));
    CHECK(receivers == std::vector<std::size_t>{0});
    CHECK(was_checked);
    CHECK(client.received() == Strings{"text \u00fc"});
    CHECK(client.is_open());
}

TEST_CASE("a broadcast and publish return what happened", "[testing]") {
    std::shared_ptr<Hub> hub;
    {
        MemoryServer server{Obedient{}};
        hub = server.hub();
        CHECK(hub->broadcast({}, "to no one") == SendStatus::queued);
    }
    std::size_t calls = 0;
    CHECK(hub->broadcast({}, "too late", [&](std::size_t) { ++calls; }) == SendStatus::closed);
    CHECK(calls == 1);
}

TEST_CASE("recorders refuse text that is not UTF-8", "[testing]") {
    RecordingConnection connection;
    connection.recording_hub().receivers = 7;
    std::size_t receivers = 7;
    CHECK(connection.send("\xFF") == SendStatus::refused);
    CHECK(connection.handle().send("\xFF") == SendStatus::refused);
    CHECK(connection.hub()->broadcast({}, "\xFF", [&](std::size_t n) { receivers = n; }) == SendStatus::refused);
    CHECK(receivers == 0);
    CHECK(connection.calls.empty());
    CHECK(connection.recording_hub().calls.empty());
    CHECK(connection.hub()->broadcast({}, "good") == SendStatus::queued);
}

TEST_CASE("a server and the program share a handler", "[testing]") {
    struct Counts {
        Counts(int from, std::string greeting) : messages(from), greets(std::move(greeting)) {}
        std::mutex mutex{};  // so it cannot be moved
        int messages;
        std::string greets;
        void on_open(AnyConnection& connection) { connection.send(greets); }
        void on_message(AnyConnection&, const Text&) { ++messages; }
    };
    MemoryServer server;
    const std::shared_ptr<Counts> built = server.handle<Counts>("chat", 5, "welcome");
    const auto given = std::make_shared<Counts>(0, "hello");
    SECTION("for a subprotocol") { server.handle("", given); }
    SECTION("by default") { server.handle(given); }
    MemoryClient ann = server.connect("/", {"chat"});
    MemoryClient bob = server.connect();
    ann.expect("text welcome");
    bob.expect("text hello");
    ann.send("one");
    bob.send("two");
    bob.send("three");
    CHECK(built->messages == 6);
    CHECK(given->messages == 2);
    CHECK(server.list().front().handler == "chat");
}

TEST_CASE("a handler that is built in place may be the default", "[testing]") {
    MemoryServer server;
    server.handle<Obedient>();
    MemoryClient client = server.connect();
    client.send("hi");
    client.expect("text hi");
}

TEST_CASE("a thread may use the hub", "[testing][threads]") {
    MemoryServer server{Obedient{}};
    MemoryClient client = server.connect();
    std::thread{[hub = server.hub()] { hub->broadcast({}, Text{"from elsewhere"}); }}.join();
    client.expect("text from elsewhere");
}

TEST_CASE("pooled handlers run on the test's thread", "[testing]") {
    std::thread::id ran_on;
    MemoryServer server{Pooled{.ran_on = &ran_on}};
    MemoryClient client = server.connect();
    client.send("x");
    CHECK(ran_on == std::this_thread::get_id());
    client.expect("text x");
}

TEST_CASE("time passes only in advance()", "[testing]") {
    ServerOptions options;
    options.connection.ping_interval = 10s;
    options.connection.pong_timeout = 5s;
    MemoryServer server{Obedient{}, options};
    MemoryClient client = server.connect();
    SECTION("a ping is answered") {
        server.advance(9s);
        client.expect_nothing();
        server.advance(2s);
        client.expect("ping");
        server.advance(60s);
        CHECK(client.is_open());
    }
    SECTION("a client that does not read loses its connection") {
        client.pause_receiving();
        server.advance(16s);
        client.resume_receiving();
        CHECK(client.received().back().starts_with("close 1006"));
        CHECK(server.ends().at(0).code == CloseCode::abnormal);
    }
    SECTION("new options apply to open connections, too") {
        options.connection.ping_interval = 0s;
        server.reconfigure(options);
        server.advance(60s);
        client.expect_nothing();
    }
}

TEST_CASE("the server's policy applies to a slow consumer", "[testing]") {
    ServerOptions options;
    options.connection.send_queue.high_mark = 1000;
    options.connection.send_queue.hard_limit = 2000;
    MemoryServer server{Obedient{}, options};
    MemoryClient client = server.connect();
    client.pause_receiving();
    const std::string message(50'000, 'x');
    for (int i = 0; i < 5; ++i) server.hub()->broadcast({}, Text{message});
    server.run();
    server.advance(1min);
    REQUIRE(server.ends().size() == 1);
    CHECK(server.ends()[0].cause == "slow consumer: its send queue was full");
}

TEST_CASE("stop() closes connections with 1001", "[testing]") {
    MemoryServer server{Obedient{}};
    MemoryClient client = server.connect(), asleep = server.connect();
    asleep.pause_receiving();
    server.stop(3s);
    client.expect("close 1001");
    CHECK(server.list().empty());
    CHECK(failure_of([&] { static_cast<void>(server.connect()); }) == "cannot connect: the server was stopped");
    CHECK(failure_of([&] { static_cast<void>(server.get("/")); }) == "cannot connect: the server was stopped");
    CHECK(failure_of([&] { static_cast<void>(server.wire()); }) == "cannot connect: the server was stopped");
}

TEST_CASE("the server refuses opening handshakes", "[testing]") {
    ServerOptions options;
    options.strict_subprotocol = true;
    options.max_connections = 1;
    MemoryServer server{Obedient{}, options};
    {
        MemoryClient client = server.connect("/", {"unknown"});
        CHECK_FALSE(client.is_open());
        CHECK(client.response().status == 400);
        CHECK(client.id() == ConnectionId{});
        CHECK(client.send("x") == SendStatus::closed);
        CHECK(failure_of([&] { client.expect("text x"); }) ==
              "expected \"text x\", but received nothing; the server refused the opening handshake: 400 Bad Request");
        REQUIRE(client.end());
        CHECK_FALSE(client.end()->opened);
    }
    MemoryClient first = server.connect();
    CHECK(server.connect().response().status == 503);
    first.close();

    ClientRequest request;
    request.origin = "http://elsewhere.example";
    CHECK(server.connect(request).response().status == 403);
    options.allowed_origins = {"http://elsewhere.example"};
    server.reconfigure(options);
    CHECK(server.connect(request).response().status == 101);
    request.target = "no path";
    CHECK(has(failure_of([&] { static_cast<void>(server.connect(request)); }), "cannot connect: "));
}

TEST_CASE("the server refuses other hosts", "[testing]") {
    ServerOptions options;
    options.hosts = {"www.example.org"};
    MemoryServer server{Obedient{}, options};
    ClientRequest request;
    request.host = "elsewhere.example";
    CHECK(server.connect(request).response().status == 421);
    request.host = "www.example.org";
    CHECK(server.connect(request).response().status == 101);
}

TEST_CASE("the server answers plain HTTP requests", "[testing]") {
    MemoryServer server{Obedient{}};
    server.on_http([](const HttpRequest& request) -> std::optional<HttpResponse> {
        if (request.target == "/throw") throw std::runtime_error{"no"};
        if (request.target != "/health") return std::nullopt;
        return HttpResponse{.body = "fine\n"};
    });
    CHECK(server.get("/health").status == 200);
    CHECK(server.get("/health").body == "fine\n");
    CHECK(server.get("/").status == 426);
    CHECK(server.get("/throw").status == 500);
}

TEST_CASE("a client can send bytes that break the rules", "[testing]") {
    Strings heard;
    MemoryServer server{Obedient{&heard}};
    MemoryWire wire = server.wire();
    wire.write("nonsense\r\n\r\n");
    server.run();
    CHECK(wire.read().starts_with("HTTP/1.1 400"));
    CHECK(heard.empty());
}

TEST_CASE("a failed expectation says what was received", "[testing]") {
    MemoryServer server{Obedient{}};
    MemoryClient client = server.connect();
    CHECK(failure_of([&] { client.expect("text a"); }) ==
          "expected \"text a\", but received nothing; the connection is open");
    CHECK(failure_of([&] { client.receive(); }) == "expected an event, but received nothing; the connection is open");
    client.send("b");
    CHECK(failure_of([&] { client.expect("text a"); }) == "expected \"text a\", but received \"text b\"");
    client.send("c");
    CHECK(failure_of([&] { client.expect_nothing(); }) == "expected nothing, but received \"text c\"");
    client.send("throw");
    CHECK(failure_of([&] { client.expect("text throw"); }) ==
          "expected \"text throw\", but received \"close 1011 the handler failed\" (the handler threw: no such room)");
    CHECK(failure_of([&] { client.expect("text d"); }) ==
          "expected \"text d\", but received nothing; the connection has ended (the handler threw: no such room)");

    MemoryClient gone = server.connect();
    gone.disconnect();
    gone.expect("close 1006");
    CHECK(failure_of([&] { gone.receive(); }) ==
          "expected an event, but received nothing; the connection has ended: disconnected (the peer ended the stream "
          "without a Close frame)");
}

TEST_CASE("a failure names the line of the test", "[testing]") {
    MemoryServer server{Obedient{}};
    MemoryClient client = server.connect();
    const int line = __LINE__ + 2;
    try {
        client.expect("text a");
    } catch (const TestFailure& failure) {
        CHECK(std::string{failure.what()}.starts_with("testing_test.cpp:" + std::to_string(line) + ": "));
        return;
    }
    FAIL("no TestFailure");
}

TEST_CASE("a client may outlive its server", "[testing]") {
    Strings heard;
    std::optional<MemoryServer> server{std::in_place, Obedient{&heard}};
    MemoryClient client = server->connect();
    std::optional<MemoryServer> moved = std::move(server);
    client.send("x");
    moved.reset();
    server.reset();
    CHECK(heard == Strings{"open /", "close 1006"});
    CHECK(client.received() == Strings{"text x", "close 1006 the server is gone"});
    CHECK(client.send("y") == SendStatus::closed);
    CHECK_FALSE(client.is_open());
}

TEST_CASE("a recording connection records the calls of a handler", "[testing]") {
    RecordingConnection connection{"chat", "/rooms/5"};
    CHECK(connection.subprotocol() == "chat");
    CHECK(connection.target() == "/rooms/5");
    CHECK(to_string(connection.id()) == "0-1-1");
    CHECK_FALSE(connection.peer().empty());
    CHECK(connection.user_data() == nullptr);
    connection.set_user_data(&connection);
    CHECK(connection.user_data() == &connection);

    Obedient handler;
    handler.on_message(connection, Text{"hi"});
    handler.on_message(connection, Binary{bytes_of(std::string_view{"\0", 1})});
    handler.on_message(connection, Text{"ping"});
    handler.on_message(connection, Text{"close"});
    CHECK(connection.calls == Strings{"text hi", "binary 00", "ping hi", "close 4000 bye"});
    CHECK(connection.recording_hub().calls.empty());

    connection.status = SendStatus::dropped;
    CHECK(connection.send(Text{"x"}) == SendStatus::dropped);
}

TEST_CASE("a recording hub records its calls", "[testing]") {
    const auto hub = std::make_shared<RecordingHub>();
    RecordingConnection ann{hub, {0, 1, 1}, "chat"}, bob{hub, {0, 2, 1}};
    Chat{}.on_message(ann, Text{"hi"});
    hub->receivers = 5;
    std::size_t receivers = 0;
    const auto count = [&](std::size_t number) { receivers += number; };
    hub->broadcast({}, Binary{bytes_of("\x01")}, count);
    hub->ping_all(count);
    hub->close_all(CloseCode::going_away, "bye", count);
    CHECK(receivers == 15);
    CHECK(bob.handle().send(Text{"x"}) == SendStatus::queued);
    hub->status = SendStatus::closed;
    CHECK(bob.handle().send(Binary{}) == SendStatus::closed);
    CHECK(bob.handle().ping(bytes_of("p")) == SendStatus::closed);
    CHECK(bob.handle().close() == SendStatus::closed);
    CHECK(hub->calls == Strings{"broadcast chat except 0-1-1 text hi", "broadcast all binary 01", "ping_all",
                                "close_all 1001 bye", "send 0-2-1 text x", "send 0-2-1 binary", "ping 0-2-1 p",
                                "close 0-2-1 1000"});
}
