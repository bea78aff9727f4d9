// A load on the memory transport: its stages, what it counts, and how it ends. Time passes only as a test wants it.
#include "wsd-ctl/bench/load.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "wsd-ctl/bench/dialer.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/transport/endpoint.hpp"

using namespace std::chrono_literals;
using namespace wsd::ctl::bench;
using namespace wsserver::test;
using wsd::ctl::Exit;
using wsserver::AnyConnection;
using wsserver::MemoryTransport;
using wsserver::Text;
using Socket = wsserver::Result<wsserver::MemorySocket, std::error_code>;

namespace {

struct Watcher final : LoadWatcher {
    int begun = 0, ended = 0, ticks = 0;
    bool end_now = false;
    void on_measurement_begins() override { ++begun; }
    void on_measurement_ends() override { ++ended; }
    void on_tick(Stage, std::chrono::milliseconds, const Outcome&) override { ++ticks; }
    bool wants_end() override { return end_now; }
};

struct Rig {
    MemoryServer server;
    MemoryTransport transport{server.network};
    Watcher watcher;
    Options options;
    wsserver::ClientRequest request;
    std::function<Socket(std::uint32_t)> dial = [this](std::uint32_t) { return server.network.connect(server.place); };
    std::unique_ptr<Load<MemoryTransport>> load;

    explicit Rig(double rate = 1000) {
        options.connections = 10;
        options.size = 50;
        options.rate = rate;  // closed loops never come to rest where nothing takes any time
        options.in_flight = 1024;
        options.duration = 2s;
        options.timeout = 3s;
        request.host = "server";
        server.shared.handlers[""] = wsserver::make_echo();
    }
    void start() {
        request.subprotocols = options.subprotocols;
        load = std::make_unique<Load<MemoryTransport>>(transport, options, request, watcher, dial);
        load->start();
        server.run();
    }
    void run() {
        start();
        server.advance(20s);
    }
    const Outcome& outcome() const { return load->outcome(); }
    /// The close codes of the server's connections.
    std::vector<int> closes() const {
        std::vector<int> codes;
        for (const auto& end : server.shared.ends) codes.push_back(static_cast<int>(end.code));
        return codes;
    }
};

/// Echoes a number of messages, then does something else.
template <class Then>
struct EchoUntil {
    int left;
    Then then;
    void on_message(AnyConnection& connection, const Text& message) {
        left-- > 0 ? static_cast<void>(connection.send(message)) : then(connection);
    }
};
template <class Then>
EchoUntil(int, Then) -> EchoUntil<Then>;

}  // namespace

TEST_CASE("a load: all stages, and polite closes", "[bench][load]") {
    Rig rig;
    rig.run();
    CHECK(rig.watcher.begun == 1);
    CHECK(rig.watcher.ended == 1);
    CHECK(rig.watcher.ticks >= 30);
    const auto& tally = rig.outcome().tally;
    CHECK(tally.messages == 2000);
    CHECK(tally.bytes == 100'000);
    CHECK(tally.end - tally.begin == 2s);
    CHECK(tally.latency.count() == 2000);
    CHECK(tally.latency.max() == 0ns);
    CHECK(tally.wrong + tally.lost + tally.unsent == 0);
    CHECK(rig.outcome().opened == 10);
    CHECK(rig.outcome().exit_code() == 0);
    CHECK(rig.closes() == std::vector<int>(10, 1000));
}

TEST_CASE("a load: a server that stands still for a while is not excused", "[bench][load]") {
    Rig rig;
    rig.start();
    rig.server.advance(1500ms);  // half a second into the measurement
    rig.server.transport().hold_sends();
    rig.server.advance(500ms);
    rig.server.transport().release_sends();
    rig.server.advance(20s);
    const auto& latency = rig.outcome().tally.latency;
    CHECK(latency.count() == 2000);
    CHECK(latency.max() >= 499ms);
    CHECK(latency.max() <= 501ms);
    // A quarter of all messages fell into that time, and they waited 250 ms on average.
    CHECK(latency.quantile(0.74) == 0ns);
    CHECK(latency.quantile(0.875) > 230ms);
    CHECK(rig.outcome().exit_code() == 0);
}

TEST_CASE("a load: what is not answered is lost", "[bench][load]") {
    Rig rig;
    rig.options.rate.reset();
    rig.options.in_flight = 2;
    rig.server.handle("", EchoUntil{500, [](AnyConnection&) {}});
    rig.run();
    CHECK(rig.outcome().tally.lost == 20);
    CHECK(rig.outcome().exit_code() == Exit::exit_failed);
    CHECK(rig.closes() == std::vector<int>(10, 1000));
}

TEST_CASE("a load: what is not what was sent is wrong", "[bench][load]") {
    Rig rig;
    rig.server.handle("", EchoUntil{100, [](AnyConnection& connection) { connection.send(Text{"hm"}); }});
    rig.run();
    CHECK(rig.outcome().tally.wrong >= 2000);
    CHECK(rig.outcome().exit_code() == Exit::exit_failed);
}

TEST_CASE("a load: connections that the server ends", "[bench][load]") {
    Rig rig;
    rig.server.handle("", EchoUntil{1500, [](AnyConnection& connection) {
                                        connection.close(wsserver::CloseCode::policy_violation, "enough");
                                    }});
    rig.start();
    rig.server.advance(2s);
    CHECK(rig.outcome().ended == 10);
    CHECK(rig.outcome().tally.lost == 10);
    CHECK(rig.outcome().exit_code() == Exit::exit_closed_abnormally);
    REQUIRE(rig.outcome().failure);
    CHECK(rig.outcome().failure->text == "1008 enough");
    CHECK(rig.watcher.ended == 1);  // ends at once, as no connection is left
    CHECK(rig.outcome().tally.end - rig.outcome().tally.begin < 600ms);
}

TEST_CASE("a load: the server refuses", "[bench][load]") {
    Rig rig;
    rig.server.shared.refuse_with = wsserver::Errc::too_many_connections;
    rig.run();
    CHECK_FALSE(rig.outcome().measured);
    CHECK(rig.outcome().exit_code() == Exit::exit_handshake_refused);
    REQUIRE(rig.outcome().failure);
    CHECK(rig.outcome().failure->text.find("503") != std::string::npos);
}

TEST_CASE("a load: no answer to the opening handshake", "[bench][load]") {
    Rig rig;
    rig.server.transport().hold_sends();
    rig.run();
    CHECK_FALSE(rig.outcome().measured);
    CHECK(rig.outcome().exit_code() == Exit::exit_timeout);
}

TEST_CASE("a load: a full backlog is waited out, other errors end it", "[bench][load]") {
    Rig rig;
    int refusals = 3;
    const auto connect = rig.dial;
    rig.dial = [&](std::uint32_t connection) -> Socket {
        if (connection < 5 || refusals-- <= 0) return connect(connection);
        return wsserver::Unexpected{std::make_error_code(std::errc::resource_unavailable_try_again)};
    };
    rig.run();
    CHECK(rig.outcome().tally.messages == 2000);

    Rig other;
    other.dial = [&](std::uint32_t) -> Socket {
        return wsserver::Unexpected{std::make_error_code(std::errc::too_many_files_open)};
    };
    other.run();
    CHECK(other.outcome().exit_code() == Exit::exit_failed);
    CHECK_FALSE(other.outcome().measured);
}

TEST_CASE("a load: fan-out through a broadcasting server", "[bench][load]") {
    Rig rig{100};
    rig.options.mode = Mode::fan_out;
    rig.options.subprotocols = {"chat"};
    rig.server.shared.handlers["chat"] = wsserver::make_broadcast("chat");
    rig.run();
    CHECK(rig.outcome().tally.messages == 200 * 9);
    CHECK(rig.outcome().exit_code() == 0);
}

TEST_CASE("a load: without its publisher a fan-out is over", "[bench][load]") {
    Rig rig{100};
    rig.options.mode = Mode::fan_out;
    rig.options.subprotocols = {"chat"};
    rig.server.shared.handlers["chat"] = wsserver::make_broadcast("chat");
    rig.start();
    rig.server.advance(1500ms);
    rig.server.hub().close({0, 0, 1}, wsserver::CloseCode::going_away, "");
    rig.server.advance(10s);
    CHECK(rig.outcome().ended == 1);
    CHECK(rig.outcome().tally.lost == 0);
    CHECK(rig.outcome().tally.end - rig.outcome().tally.begin < 1s);
}

TEST_CASE("a load: idle connections are held, and it is noticed when they end", "[bench][load]") {
    Rig rig;
    rig.options.mode = Mode::idle;
    rig.options.rate.reset();
    rig.start();
    rig.server.advance(1500ms);
    CHECK(rig.server.reactor().counters().opened.read() == 10);
    rig.server.hub().close(wsserver::ConnectionId{0, 3, 1}, wsserver::CloseCode::going_away, "");
    rig.server.advance(10s);
    CHECK(rig.outcome().ended == 1);
    CHECK(rig.outcome().exit_code() == Exit::exit_closed_abnormally);
    CHECK(rig.outcome().tally.end - rig.outcome().tally.begin == 2s);
}

TEST_CASE("a load: it can be ended early, in any stage", "[bench][load]") {
    for (const auto after : {0ms, 500ms, 1500ms}) {
        CAPTURE(after.count());
        Rig rig;
        rig.start();
        rig.server.advance(after);
        rig.watcher.end_now = true;
        rig.server.advance(200ms);
        CHECK(rig.outcome().interrupted);
        CHECK(rig.outcome().measured == (after > 1s));
        CHECK(rig.closes() == std::vector<int>(10, 1000));
        if (after > 1s) CHECK(rig.outcome().tally.messages >= 500);
    }
}

TEST_CASE("a dialer takes further source addresses when one has given all it may", "[bench][dialer]") {
    const wsserver::Descriptor listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener.get(), 16) == 0);
    const auto place = wsserver::local_endpoint(listener.get());

    auto dialer = Dialer::find(place, 1s, 2);
    REQUIRE(dialer);
    std::vector<wsserver::Descriptor> sockets;
    for (std::uint32_t connection = 0; connection < 6; ++connection) {
        auto socket = dialer->dial(connection);
        REQUIRE(socket);
        CHECK(wsserver::local_endpoint(socket->get()).host == "127.0.0." + std::to_string(1 + connection / 2));
        sockets.push_back(*std::move(socket));
    }
}

TEST_CASE("a dialer says why it finds nobody", "[bench][dialer]") {
    const wsserver::Descriptor bound{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(bound.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const auto refused = Dialer::find(wsserver::local_endpoint(bound.get()), 1s);
    REQUIRE(!refused);
    CHECK(refused.error().code == Exit::exit_failed);
    CHECK(refused.error().text.find("refused") != std::string::npos);

    const auto no_path = Dialer::find({"", 0, std::string(200, 'x')}, 1s);
    REQUIRE(!no_path);
    CHECK(no_path.error().text.find("too long") != std::string::npos);
}
