#include "wsserver/connection/default_owner.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/protocol/event_text.hpp"
#include "wsserver/transport/asio.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using wsserver::test::Recorder;
using wsserver::test::Strings;
using namespace std::chrono_literals;

namespace {

// --- Examples: complete programs for connections over any transport. ---

struct Echo {
    void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
};

template <Transport T, class... Args>
void serve(typename T::Listener listener, Args&&... arguments_of_transport) {
    ServerOn<T> server{arguments_of_transport...};
    server.handle(Echo{});
    server.on_end([&](const ConnectionEnd&) { server.stop(); });
    server.listen(std::move(listener));
    server.run();
}

struct Hello {
    std::string* answer;
    void on_open(AnyConnection& connection) { connection.send(Text{"hello"}); }
    void on_message(AnyConnection& connection, const Text& message) {
        *answer = message.text;
        connection.close();
    }
};

template <Transport T, class... Args>
std::string greet(typename T::Socket socket, Args&&... arguments_of_transport) {
    std::string answer;
    ClientOn<T> client{arguments_of_transport...};
    client.on_end([&](const ConnectionEnd&) { client.stop(); });
    client.connect(std::move(socket), {.host = "server.example", .target = "/hello"}, Hello{&answer});
    client.run();
    return answer;
}

// --- A server and its clients in memory ---

const Endpoint place{"server.example", 80, {}};

/// Removes the payload of pings that the connection sent itself: a time of eight bytes.
Strings without_times(Strings events) {
    for (std::string& event : events) {
        if (event.starts_with("ping ") && event.size() == std::string_view{"ping "}.size() + 8 * 3 - 1) event = "ping";
    }
    return events;
}

/// Its destructor ends connections. Strings that their handlers record into must outlive it, as its member `events`
/// does.
struct OnMemory {
    Strings events;                       ///< what handlers of the clients record
    std::vector<ConnectionEnd> ends;      ///< of the server's connections
    std::vector<HttpResponse> responses;  ///< received by the clients
    MemoryNetwork network;
    ServerOn<MemoryTransport> server{network};
    ClientOn<MemoryTransport> client{network};

    OnMemory() {
        server.handle(Echo{});
        server.listen(std::move(network.open_listeners(place).front()));
        server.on_end([this](const ConnectionEnd& end) { ends.push_back(end); });
        client.on_response([this](const HttpResponse& response) { responses.push_back(response); });
    }
    ConnectionId connect(ClientRequest request = {}) { return connect(events, std::move(request)); }
    ConnectionId connect(Strings& record, ClientRequest request = {}) {
        request.host = place.host;
        const ConnectionId id = client.connect(*network.connect(place), std::move(request), Recorder{&record})->id();
        network.run_until_idle();
        return id;
    }
    void run() { network.run_until_idle(); }
};

}  // namespace

TEST_CASE("a server and a client over Asio need a few lines", "[default_owner][threads]") {
    auto listening = open_listeners({"127.0.0.1", 0, {}});
    REQUIRE(listening);
    std::thread server{[&] { serve<AsioTransport>(std::move(listening->sockets.front())); }};
    AsioTransport dialler;
    Descriptor socket;
    const auto dialling =
        dialler.connect(listening->endpoint, dialler.now() + 60s, [&](Result<Descriptor, std::error_code> connected) {
            REQUIRE(connected);
            socket = std::move(*connected);
            dialler.stop();
        });
    dialler.run();
    CHECK(greet<AsioTransport>(std::move(socket)) == "hello");
    server.join();
}

TEST_CASE("connections of default owners open, send and close", "[default_owner]") {
    Strings others;
    OnMemory f;
    const ConnectionId first = f.connect({.target = "/a"}), second = f.connect(others);
    CHECK(f.client.size() == 2);
    CHECK(f.server.list().size() == 2);
    CHECK(f.responses.at(0).status == 101);
    CHECK(f.client.find(first)->send(Text{"x"}) == SendStatus::queued);
    f.run();
    CHECK(f.client.find(second)->close(CloseCode{4000}, "bye") == SendStatus::queued);
    f.run();
    CHECK(f.events == Strings{"open /a", "text x"});
    CHECK(others == Strings{"open /", "close 4000"});
    CHECK(f.client.find(second) == nullptr);
    REQUIRE(f.ends.size() == 1);
    CHECK(f.ends[0].reason == "bye");
    CHECK(f.server.size() == 1);
    CHECK(f.server.counters().opened.read() == 2);
    CHECK(f.client.counters().messages_in.read() == 1);
}

TEST_CASE("the first subprotocol that has a handler is chosen", "[default_owner]") {
    OnMemory f;
    struct Named {
        std::string name;
        void on_open(AnyConnection& connection) { connection.send(Text{name}); }
    };
    f.server.handle("b", Named{"b"});
    f.server.handle("c", Named{"c"});
    f.connect({.subprotocols = {"a", "c", "b"}});
    f.connect({.subprotocols = {"a"}});
    CHECK(f.events == Strings{"open /", "text c", "open /"});

    ServerOn<MemoryTransport> empty{f.network};
    const Endpoint elsewhere{"elsewhere.example", 80, {}};
    empty.listen(std::move(f.network.open_listeners(elsewhere).front()));
    f.client.connect(*f.network.connect(elsewhere), {.host = elsewhere.host}, Recorder{&f.events});
    f.run();
    CHECK(f.responses.back().status == 404);  // it has no handlers at all
}

TEST_CASE("a default owner serves paths, and a route is removed", "[default_owner][paths]") {
    OnMemory f;
    struct Room {
        void on_open(AnyConnection& connection) {
            connection.send("room " + connection.parameter("room").value_or("?"));
        }
    };
    f.server.handle_path("/rooms/{room}", Room{});
    const std::shared_ptr<Room> room = f.server.handle_path<Room>("/rooms/{room}", "chat");
    CHECK(room != nullptr);
    f.connect({.target = "/rooms/a%2Fb"});
    f.connect({.target = "/rooms/5", .subprotocols = {"chat"}});
    f.connect({.target = "/elsewhere"});
    CHECK(f.events == Strings{"open /rooms/a%2Fb", "text room a/b", "open /rooms/5", "text room 5", "open /elsewhere"});
    REQUIRE(f.server.routes().size() == 2);
    CHECK(f.server.routes().back().subprotocol == "chat");
    CHECK(f.server.remove_path_handler("/rooms/{id}", "chat"));
    CHECK_FALSE(f.server.remove_path_handler("/rooms/{id}", "chat"));
    f.run();
    CHECK(f.server.size() == 2);
    CHECK(f.server.remove_path("/rooms/{id}"));
    CHECK(f.server.remove_handler(""));
    f.run();
    CHECK(f.server.size() == 0);
    for (const auto& end : f.ends) CHECK(end.code == CloseCode::going_away);
    CHECK_THROWS_AS(f.server.handle_path("rooms", Room{}), std::invalid_argument);
}

TEST_CASE("a program decides about opening handshakes of a default owner", "[default_owner][upgrade]") {
    OnMemory f;
    SECTION("at once, or as if it were on a worker") {
        const Runs runs = GENERATE(Runs::inline_, Runs::pooled);
        f.server.on_upgrade(
            [](const UpgradeRequest& request) -> Admission {
                if (request.query("throw")) throw std::runtime_error{"no database"};
                if (request.query("token") != "5") return Admission::refuse({.status = 401, .body = "no token"});
                Admission admission;
                admission.fields = {{"Set-Cookie", "seen=1"}};
                return admission;
            },
            runs);
        f.connect({.target = "/?token=4"});
        CHECK(f.responses.back().status == 401);
        CHECK(f.responses.back().body == "no token");
        f.connect({.target = "/?token=5"});
        CHECK(f.responses.back().status == 101);
        CHECK(f.responses.back().find("set-cookie") == "seen=1");
        CHECK(f.events == Strings{"open /?token=5"});
        f.connect({.target = "/?throw"});
        CHECK(f.responses.back().status == 500);
        f.network.advance(1min);
        const auto caused = [&](std::string_view cause) {
            return std::ranges::count_if(f.ends, [&](const auto& end) { return end.cause == cause; });
        };
        CHECK(caused("the program refused the client: 401 Unauthorized") == 1);
        CHECK(caused("the program refused the client: 500 Internal Server Error: it threw: no database") == 1);
    }
    SECTION("later, on any thread") {
        std::vector<UpgradeReply> replies;
        f.server.on_upgrade([&](const UpgradeRequest&, UpgradeReply reply) { replies.push_back(std::move(reply)); });
        f.connect();
        f.connect();
        f.connect();
        REQUIRE(replies.size() == 3);
        CHECK(f.responses.empty());
        std::thread{[&] {
            (void)replies[0](Admission{});
            (void)replies[1](Admission::refuse({.status = 403}));
        }}.join();
        replies.pop_back();
        f.run();
        REQUIRE(f.responses.size() == 3);
        CHECK(f.responses[0].status == 101);
        CHECK(f.responses[1].status == 403);
        CHECK(f.responses[2].status == 500);
        CHECK(replies[0](Admission{}) == SendStatus::closed);
    }
    SECTION("too late") {
        std::optional<UpgradeReply> reply;
        f.server.on_upgrade([&](const UpgradeRequest&, UpgradeReply given) { reply = std::move(given); });
        ConnectionOptions patient;
        patient.handshake_timeout = 1h;
        f.client.set_options(patient);
        f.connect();
        f.network.advance(1min);
        REQUIRE(f.responses.size() == 1);
        CHECK(f.responses.back().status == 503);
        CHECK(reply->is_gone());
        CHECK((*reply)(Admission{}) == SendStatus::closed);
    }
}

TEST_CASE("a reply may outlive its default owner", "[default_owner][upgrade]") {
    std::vector<UpgradeReply> replies;
    {
        OnMemory f;
        f.server.on_upgrade([&](const UpgradeRequest&, UpgradeReply reply) { replies.push_back(std::move(reply)); });
        f.connect();
        CHECK_FALSE(replies.at(0).is_gone());
    }
    CHECK(replies.at(0)(Admission{}) == SendStatus::closed);
}

TEST_CASE("pages of other origins are refused by default", "[default_owner][rfc6455-10.2]") {
    OnMemory f;
    f.connect({.origin = "http://elsewhere.example"});
    CHECK(f.responses.back().status == 403);
    f.server.allow_origins({"http://elsewhere.example"});
    f.connect({.origin = "http://elsewhere.example"});
    CHECK(f.responses.back().status == 101);
    CHECK(f.events == Strings{"open /"});
    f.server.serve_hosts({"www.example.org"});
    f.connect();
    CHECK(f.responses.back().status == 421);
}

TEST_CASE("a browser is refused if none of its subprotocols is served", "[default_owner]") {
    OnMemory f;
    f.server.allow_origins({"http://app.example"});
    f.connect({.subprotocols = {"unknown"}, .origin = "http://app.example"});
    CHECK(f.responses.back().status == 400);
    f.connect({.subprotocols = {"unknown"}});
    CHECK(f.responses.back().status == 101);
}

TEST_CASE("a default owner answers plain HTTP requests", "[default_owner]") {
    OnMemory f;
    const auto get = [&](const std::string& target) {
        MemoryWire wire = f.network.wire(place);
        wire.write("GET " + target + " HTTP/1.1\r\nHost: server.example\r\n\r\n");
        f.run();
        return wire.read().substr(0, 12);
    };
    CHECK(get("/") == "HTTP/1.1 426");
    f.server.on_http([](const HttpRequest& request) -> std::optional<HttpResponse> {
        if (request.target == "/throw") throw std::runtime_error{"no"};
        return HttpResponse{.body = "fine"};
    });
    CHECK(get("/") == "HTTP/1.1 200");
    CHECK(get("/throw") == "HTTP/1.1 500");
}

TEST_CASE("a posting hub reaches connections from any thread", "[default_owner][threads]") {
    Strings others;
    OnMemory f;
    f.server.handle("chat", Echo{});
    f.connect();
    f.connect(others, {.subprotocols = {"chat"}});
    const ConnectionId id = f.server.list().at(0).id;
    const auto hub = f.server.hub();
    std::size_t receivers = 0;
    const auto count = [&](std::size_t number) { receivers += number; };
    const std::string too_long(126, 'x');
    std::thread{[&] {
        CHECK(hub->send(id, Text{"a"}) == SendStatus::queued);
        CHECK(hub->send(id, Binary{bytes_of("b")}) == SendStatus::queued);
        CHECK(hub->ping(id, bytes_of("p")) == SendStatus::queued);
        CHECK(hub->ping(id, bytes_of(too_long)) == SendStatus::refused);
        CHECK(hub->send({0, 7, 7}, Text{"a"}) == SendStatus::closed);
        hub->broadcast({.subprotocol = "chat"}, Text{"c"}, count);
        hub->broadcast({.except = id}, Binary{bytes_of("d")}, count);
        hub->ping_all(count);
        CHECK(hub->close(id, CloseCode::abnormal, "") == SendStatus::refused);
        CHECK(hub->close(id, CloseCode::normal, "bye") == SendStatus::queued);
    }}.join();
    f.run();
    CHECK(receivers == 1 + 1 + 2);
    CHECK(without_times(f.events) == Strings{"open /", "ping p", "ping", "text a", "binary b", "close 1000 bye"});
    CHECK(hub->send(id, Text{"late"}) == SendStatus::closed);
    hub->close_all(CloseCode::going_away, "", count);
    f.run();
    CHECK(receivers == 5);
    CHECK(without_times(others) == Strings{"open /", "ping", "text c", "binary d", "close 1001"});
}

TEST_CASE("connections of a default owner meet in rooms", "[default_owner][rooms][threads]") {
    struct Joiner {
        void on_open(AnyConnection& connection) { connection.join("all"); }
        void on_message(AnyConnection& connection, const Text& message) {
            message.text == "out" ? connection.leave("all") : connection.publish("all", message);
        }
    };
    Strings others;
    OnMemory f;
    f.server.handle(Joiner{});
    auto& first = *f.client.find(f.connect());
    f.connect(others, {});
    CHECK(f.server.rooms().rooms() == 1);
    CHECK(f.server.rooms().memberships() == 2);
    const ConnectionId id = f.server.list().at(0).id;
    const auto hub = f.server.hub();
    std::size_t receivers = 0;
    const auto count = [&](std::size_t number) { receivers += number; };
    const std::vector<ConnectionId> twice{id, {0, 7, 7}, id};
    std::vector<SendStatus> results;
    std::thread{[&] {
        results.push_back(hub->join(id, "some"));
        results.push_back(hub->join(id, ""));
        results.push_back(hub->join({0, 7, 7}, "some"));
        hub->broadcast({.room = "some"}, "to some", count);
        results.push_back(hub->leave(id, "some"));
        hub->broadcast({.room = "some"}, "to no one", count);
        hub->broadcast({.room = "all", .except = id}, "to the others", count);
        results.push_back(hub->send(twice, "twice", count));
    }}.join();
    CHECK(results == std::vector<SendStatus>{SendStatus::queued, SendStatus::refused, SendStatus::closed,
                                             SendStatus::queued, SendStatus::queued});
    f.run();
    CHECK(receivers == 1 + 0 + 1 + 2);
    CHECK(first.join("a client has no rooms") == SendStatus::refused);
    CHECK(f.client.hub()->join(first.id(), "a client has no rooms") == SendStatus::refused);
    first.send("hello");
    f.run();
    CHECK(others == Strings{"open /", "text to the others", "text hello"});
    CHECK(f.events == Strings{"open /", "text to some", "text twice", "text twice"});
    first.send("out");
    first.close(CloseCode::normal, {});
    f.run();
    CHECK(f.server.rooms().memberships() == 1);
}

TEST_CASE("a posting hub outlives its owner", "[default_owner]") {
    std::shared_ptr<Hub> hub;
    ConnectionId id;
    Strings events;
    std::size_t reports = 0;
    const auto count = [&](std::size_t receivers) { reports += receivers == 0 ? 1 : 100; };
    {
        OnMemory f;
        f.connect(events);
        id = f.server.list().at(0).id;
        hub = f.server.hub();
        hub->broadcast({}, Text{"never sent"}, count);
        CHECK(hub->send(id, Text{"never sent"}) == SendStatus::queued);
    }
    CHECK(events == Strings{"open /", "close 1006 the owner is gone"});
    CHECK(hub->send(id, Text{"x"}) == SendStatus::closed);
    hub->broadcast({}, Text{"x"}, count);
    CHECK(reports == 2);
}

TEST_CASE("a default owner's timers run, and its options may change", "[default_owner]") {
    OnMemory f;
    auto options = f.client.options();
    options.ping_interval = 0ms;
    f.client.set_options(options);
    f.client.set_options({.ping_interval = 0ms});
    options = f.server.options();
    options.ping_interval = 3s;
    f.server.set_options(options);
    f.connect();
    f.network.advance(4s);
    CHECK(without_times(f.events) == Strings{"open /", "ping"});
    f.network.advance(60s);
    CHECK(f.server.size() == 1);
    MemoryWire silent = f.network.wire(place);
    f.network.advance(11s);
    CHECK(f.server.counters().handshake_timeouts.read() == 1);
}

TEST_CASE("while a default owner ends its connections, those that are left may send", "[default_owner]") {
    OnMemory f;
    std::vector<SendStatus> sent;
    std::vector<ConnectionId> ids, ended;
    {
        ClientOn<MemoryTransport> client{f.network};
        for (int i = 0; i < 3; ++i) {
            auto* connection = client.connect(*f.network.connect(place), {.host = place.host}, Recorder{&f.events});
            ids.push_back(connection->id());
        }
        f.run();
        client.on_end([&](const ConnectionEnd& end) {
            ended.push_back(end.info.id);
            if (auto* last = client.find(ids[2])) sent.push_back(last->send(Text{"last"}));
        });
    }
    const std::vector expected{SendStatus::queued, SendStatus::queued, SendStatus::closed};
    CHECK(sent == expected);
    CHECK(ended == ids);
}

TEST_CASE("default owners show their frames to a tap, and the server names itself", "[default_owner]") {
    struct Tap final : FrameTap {
        Strings frames;
        void on_frame(bool incoming, const FrameHeader& header) override {
            frames.push_back((incoming ? "in " : "out ") + std::to_string(header.payload_length));
        }
    } of_server, of_client;
    OnMemory f;
    f.server.set_tap(&of_server);
    f.client.set_tap(&of_client);
    f.server.set_options({.max_message = 10});  // changes neither
    f.client.set_options({});
    f.connect();
    CHECK(f.responses.at(0).find("Server").empty());
    f.server.set_server_name("me");
    const ConnectionId id = f.connect();
    CHECK(f.responses.at(1).find("Server") == "me");
    CHECK(f.client.find(id)->send(Text{"four"}) == SendStatus::queued);
    f.run();
    CHECK(of_client.frames == Strings{"out 4", "in 4"});
    CHECK(of_server.frames == Strings{"in 4", "out 4"});
    f.server.set_tap(nullptr);
    f.client.set_tap(nullptr);
}

// --- The memory budget ---

namespace {

constexpr std::size_t kib = 1024;

/// Sends as many bytes as the client asks for.
struct SendsMuch {
    void on_message(AnyConnection& connection, const Text& count) {
        const std::string bytes(std::stoul(std::string{count.text}), 'b');
        connection.send(Binary{bytes_of(bytes)});
    }
};

/// A client that has sent a part of a message of 700 KiB, with a masking key of zeros.
test::WireClient half(OnMemory& f, std::size_t size) {
    test::WireClient client{f.network.wire(place)};
    client.wire().write(test::upgrade_request());
    client.wire().write(std::string{"\x82\xFF\0\0\0\0\0\x0A\xF0\0\0\0\0\0", 14}.append(size, 'b'));
    f.run();
    (void)client.read_response();
    return client;
}

}  // namespace

TEST_CASE("a default owner has a memory budget if it is given one", "[default_owner][memory_budget]") {
    OnMemory f;
    const bool limited = GENERATE(false, true);
    f.server.set_options({.ping_interval = 0s});
    f.server.set_memory_limit(limited ? 1000 * kib : 0);
    test::WireClient first = half(f, 600 * kib);
    test::WireClient second = half(f, 300 * kib);
    CHECK(f.server.counters().memory_pauses.read() == (limited ? 1 : 0));
    CHECK(f.server.memory() >= 900 * kib);
    test::WireClient third = half(f, 300 * kib);
    f.network.advance(10ms);
    CHECK(f.server.counters().closed_for_memory.read() == (limited ? 1 : 0));
    CHECK((f.server.memory() <= 1000 * kib) == limited);
    CHECK(first.read() == (limited ? Strings{"close 1013 out of memory budget"} : Strings{}));
    f.network.advance(3min);
    CHECK(f.server.memory() == 0);
}

TEST_CASE("delayed calls over their limit and those without memory are counted apart", "[default_owner]") {
    OnMemory f;
    f.server.set_options({.max_delayed_calls = 2});
    std::vector<SendStatus> results;
    results.reserve(5);
    bool has_memory = false;
    f.server.on_message([&](AnyConnection& connection, const Text&) {
        const test::AllocationsMayFail scope;
        ConnectionCall call = [](AnyConnection&) {};
        if (!has_memory) test::AllocationFailures::from(1, 1);
        results.push_back(connection.after(1s, std::move(call)));
        test::AllocationFailures::none();
    });
    const ConnectionId id = f.connect();
    for (int i = 0; i < 5; ++i) {
        f.client.find(id)->send_as(SendKind::reply, Text{"call"});
        f.run();
        has_memory = true;
    }
    using enum SendStatus;
    CHECK(results == std::vector{dropped, queued, queued, dropped, dropped});
    CHECK(f.server.counters().calls_dropped.read() == 1);
    CHECK(f.server.counters().calls_over_limit.read() == 2);
}

TEST_CASE("over its budget, a default server refuses opening handshakes", "[default_owner][memory_budget]") {
    OnMemory f;
    test::WireClient large = half(f, 600 * kib);
    test::WireClient late{f.network.wire(place)};
    f.server.set_memory_limit(500 * kib);
    f.network.advance(1ms);
    late.wire().write(test::upgrade_request());
    f.run();
    CHECK(late.read_response().starts_with("HTTP/1.1 503 "));
    CHECK(f.server.counters().refused_for_memory.read() == 1);
    CHECK(f.server.memory() == 0);
    CHECK(f.server.counters().closed_for_memory.read() == 1);
    CHECK(f.server.options().max_message == ConnectionOptions{}.max_message);
}

TEST_CASE("the budget of a default owner may shrink within a reaction", "[default_owner][memory_budget]") {
    struct Shrinks {
        ServerOn<MemoryTransport>* server;
        void on_message(AnyConnection& connection, const Text&) {
            connection.send(Text{"first"});
            server->set_memory_limit(kib);
            connection.send(Text{"second"});
        }
    };
    OnMemory f;
    f.server.handle(Shrinks{&f.server});
    const ConnectionId id = f.connect();
    test::WireClient large = half(f, 600 * kib);
    f.client.find(id)->send_as(SendKind::reply, Text{"shrink"});
    f.run();
    f.network.advance(100ms);
    CHECK(f.events == Strings{"open /", "text first", "text second"});
    CHECK(f.server.counters().closed_for_memory.read() == 1);
    CHECK(f.server.memory() == 0);
}

TEST_CASE("the clients of a default owner share a budget", "[default_owner][memory_budget]") {
    OnMemory f;
    f.server.handle(SendsMuch{});
    f.client.set_memory_limit(1000 * kib);
    f.client.transport().receive_at_most(10 * kib);
    std::vector<ConnectionId> all;
    for (int i = 0; i < 4; ++i) all.push_back(f.connect());
    for (const ConnectionId id : all) f.client.find(id)->send_as(SendKind::reply, Text{std::to_string(700 * kib)});
    f.run();
    f.network.advance(3min);
    CHECK(f.client.counters().memory_pauses.read() > 0);
    CHECK(f.client.memory() == 0);
    const auto received = std::count_if(f.events.begin(), f.events.end(),
                                        [](const std::string& event) { return event.starts_with("binary "); });
    const auto closed = std::count_if(f.events.begin(), f.events.end(),
                                      [](const std::string& event) { return event.starts_with("close 1013"); });
    CAPTURE(received, closed);
    CHECK(received + closed == 4);
}

// --- Broadcasts ---

namespace {

/// Sends each message on to all other members of a room, to which all belong.
struct InRoom {
    void on_open(AnyConnection& connection) { connection.join("room"); }
    void on_message(AnyConnection& connection, Text message) { connection.publish("room", std::move(message)); }
};

/// Clients in memory that have joined the room.
std::vector<test::WireClient> members(OnMemory& f, std::size_t count) {
    f.server.handle(InRoom{});
    std::vector<test::WireClient> all;
    for (std::size_t i = 0; i < count; ++i) {
        all.emplace_back(f.network.wire(place)).wire().write(test::upgrade_request());
        f.run();
        (void)all.back().read_response();
    }
    return all;
}

}  // namespace

TEST_CASE("a default server encodes a broadcast once, and counts it once", "[default_owner][rooms]") {
    const bool tapped = GENERATE(false, true);
    const std::string text(20 * kib, 'x');
    struct Count final : FrameTap {
        std::size_t sent = 0;
        void on_frame(bool received, const FrameHeader&) override { sent += received ? 0 : 1; }
    } tap;
    OnMemory f;
    auto clients = members(f, 21);
    f.server.set_fragment_size(15 * kib);
    if (tapped) f.server.set_tap(&tap);
    f.server.transport().hold_sends();
    std::size_t receivers = 0;
    SECTION("of a handler") {
        clients.front().send(text);
        f.run();
        receivers = 20;
    }
    SECTION("of the hub") {
        f.server.hub()->broadcast({}, text, [&](std::size_t count) { receivers = count; });
        f.run();
        CHECK(receivers == 21);
    }
    SECTION("to a list") {
        std::vector<ConnectionId> ids;
        for (const ConnectionInfo& info : f.server.list()) ids.push_back(info.id);
        ids.resize(15);
        f.server.hub()->send(ids, text, [&](std::size_t count) { receivers = count; });
        f.run();
        CHECK(receivers == 15);
    }
    CHECK(f.server.list().at(5).queued == text.size() + 8);
    CHECK(tap.sent == (tapped ? 2 * receivers : 0));
    if (tapped) {
        CHECK(f.server.memory() >= receivers * text.size());
    } else {
        CHECK(f.server.memory() >= text.size());
        CHECK(f.server.memory() < 3 * text.size());
    }
    f.server.transport().release_sends();
    f.run();
    std::size_t heard = 0;
    for (auto& client : clients) heard += client.read() == Strings{"text " + text} ? 1 : 0;
    CHECK(heard == receivers);
    CHECK(f.server.memory() == 0);
}

TEST_CASE("a long message that is moved to the room of a default server is shared", "[default_owner][rooms]") {
    const std::string text(300 * kib, 'x');
    OnMemory f;
    auto clients = members(f, 14);
    f.server.transport().hold_sends();
    clients.front().send(text);
    f.run();
    CHECK(f.server.memory() >= text.size());
    CHECK(f.server.memory() < 6 * text.size());  // with what its memory has to spare
    clients[1].wire().reset();
    f.run();
    f.server.transport().release_sends();
    f.run();
    CHECK(clients[2].read() == Strings{"text " + text});
    CHECK(clients[3].read() == Strings{"text " + text});
    CHECK(clients[0].read().empty());
    CHECK(f.server.memory() == 0);
}

TEST_CASE("a message that is moved is copied if it is sent in short fragments", "[default_owner][rooms]") {
    struct Echo {
        void on_message(AnyConnection& connection, Text message) { connection.send(std::move(message)); }
    };
    const std::string text(100 * kib, 'x');
    const bool to_room = GENERATE(true, false);
    OnMemory f;
    auto clients = members(f, 2);
    f.server.set_fragment_size(1);
    if (!to_room) {
        f.server.handle(Echo{});
        clients.emplace_back(f.network.wire(place)).wire().write(test::upgrade_request());
        f.run();
        (void)clients.back().read_response();
    }
    f.server.transport().hold_sends();
    clients[to_room ? 0 : 2].send(text);
    f.run();
    CHECK(f.server.memory() >= text.size());
    CHECK(f.server.memory() < 2000 * kib);  // the headers apart would need 3200 KiB
    f.server.transport().release_sends();
    f.run();
    CHECK(clients.back().read() == Strings{"text " + text});
    CHECK(f.server.memory() == 0);
}

TEST_CASE("broadcasts of a default server count for its budget", "[default_owner][memory_budget]") {
    OnMemory f;
    auto clients = members(f, 3);
    f.server.set_memory_limit(1000 * kib);
    for (auto& client : clients) client.wire().set_window(1);
    for (int i = 0; i < 12; ++i) {
        f.server.hub()->broadcast({}, std::string(100 * kib, 'x'));
        f.run();
    }
    f.network.advance(1s);
    CHECK(f.server.counters().closed_for_memory.read() > 0);
    CHECK(f.server.memory() <= 1000 * kib);
}

TEST_CASE("a broadcast of a default server that finds no memory is reported", "[default_owner][rooms]") {
    const bool is_long = GENERATE(false, true);
    for (std::size_t first = 1;; ++first) {
        std::size_t reports = 0, receivers = 0;
        OnMemory f;
        auto clients = members(f, 3);
        f.server.hub()->broadcast({}, std::string(is_long ? 100 * kib : kib, 'x'), [&](std::size_t count) {
            ++reports;
            receivers = count;
        });
        {
            const test::AllocationsMayFail within;
            test::AllocationFailures::from(first, 1);
            f.run();
        }
        const bool failed = test::AllocationFailures::happened() > 0;
        test::AllocationFailures::none();
        CAPTURE(first);
        CHECK(reports == 1);
        f.run();
        if (!failed) {
            CHECK(receivers == 3);
            CHECK(first > 2);
            break;
        }
        CHECK(receivers <= 3);
        f.server.hub()->broadcast({}, "next", [&](std::size_t count) { receivers = count; });
        f.run();
        CHECK(receivers >= 2);  // one has ended, if it has tried to send without memory
    }
}
