#include "wsserver/connection/default_owner.hpp"

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
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

/// The strings that its handlers record into must outlive it, because its destructor ends connections.
struct OnMemory {
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
    ConnectionId connect(Strings& events, ClientRequest request = {}) {
        request.host = place.host;
        const ConnectionId id = client.connect(*network.connect(place), std::move(request), Recorder{&events})->id();
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
    Strings events, others;
    OnMemory f;
    const ConnectionId first = f.connect(events, {.target = "/a"}), second = f.connect(others);
    CHECK(f.client.size() == 2);
    CHECK(f.server.list().size() == 2);
    CHECK(f.responses.at(0).status == 101);
    CHECK(f.client.find(first)->send(Text{"x"}) == SendStatus::queued);
    f.run();
    CHECK(f.client.find(second)->close(CloseCode{4000}, "bye") == SendStatus::queued);
    f.run();
    CHECK(events == Strings{"open /a", "text x"});
    CHECK(others == Strings{"open /", "close 4000"});
    CHECK(f.client.find(second) == nullptr);
    REQUIRE(f.ends.size() == 1);
    CHECK(f.ends[0].reason == "bye");
    CHECK(f.server.size() == 1);
    CHECK(f.server.counters().opened.read() == 2);
    CHECK(f.client.counters().messages_in.read() == 1);
}

TEST_CASE("the first subprotocol that has a handler is chosen", "[default_owner]") {
    Strings events;
    OnMemory f;
    struct Named {
        std::string name;
        void on_open(AnyConnection& connection) { connection.send(Text{name}); }
    };
    f.server.handle("b", Named{"b"});
    f.server.handle("c", Named{"c"});
    f.connect(events, {.subprotocols = {"a", "c", "b"}});
    f.connect(events, {.subprotocols = {"a"}});
    CHECK(events == Strings{"open /", "text c", "open /"});

    ServerOn<MemoryTransport> empty{f.network};
    const Endpoint elsewhere{"elsewhere.example", 80, {}};
    empty.listen(std::move(f.network.open_listeners(elsewhere).front()));
    f.client.connect(*f.network.connect(elsewhere), {.host = elsewhere.host}, Recorder{&events});
    f.run();
    CHECK(f.responses.back().status == 400);
}

TEST_CASE("pages of other origins are refused by default", "[default_owner][rfc6455-10.2]") {
    Strings events;
    OnMemory f;
    f.connect(events, {.origin = "http://elsewhere.example"});
    CHECK(f.responses.back().status == 403);
    f.server.allow_origins({"http://elsewhere.example"});
    f.connect(events, {.origin = "http://elsewhere.example"});
    CHECK(f.responses.back().status == 101);
    CHECK(events == Strings{"open /"});
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
    Strings events, others;
    OnMemory f;
    f.server.handle("chat", Echo{});
    f.connect(events);
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
    CHECK(without_times(events) == Strings{"open /", "ping p", "ping", "text a", "binary b", "close 1000 bye"});
    CHECK(hub->send(id, Text{"late"}) == SendStatus::closed);
    hub->close_all(CloseCode::going_away, "", count);
    f.run();
    CHECK(receivers == 5);
    CHECK(without_times(others) == Strings{"open /", "ping", "text c", "binary d", "close 1001"});
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
    Strings events;
    OnMemory f;
    auto options = f.client.options();
    options.ping_interval = 0ms;
    f.client.set_options(options);
    f.client.set_options({.ping_interval = 0ms});  // masking keys remain
    options = f.server.options();
    options.ping_interval = 3s;
    f.server.set_options(options);
    f.connect(events);
    f.network.advance(4s);
    CHECK(without_times(events) == Strings{"open /", "ping"});
    f.network.advance(60s);
    CHECK(f.server.size() == 1);
    MemoryWire silent = f.network.wire(place);
    f.network.advance(11s);
    CHECK(f.server.counters().handshake_timeouts.read() == 1);
}
