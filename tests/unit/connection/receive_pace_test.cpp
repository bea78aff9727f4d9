// The most that a connection receives in a second.
#include "wsserver/connection/receive_pace.hpp"

#include <limits>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr Clock::time_point start{1h};

ConnectionOptions limited(std::uint32_t messages, std::uint32_t bytes) {
    ConnectionOptions options;
    options.receive_rates = {messages, bytes};
    return options;
}

struct Rig : MemoryServer {
    explicit Rig(const ConnectionOptions& options) : MemoryServer(options) { handle("", Echo{}); }

    std::uint64_t pauses() { return reactor().counters().rate_pauses.read(); }
    std::uint64_t received() { return reactor().counters().messages_in.read(); }
};

void flood(WireClient& client, int count) {
    for (int i = 0; i < count; ++i) client.send("x");
}
void flood_with_pings(WireClient& client, int count) {
    for (int i = 0; i < count; ++i) client.ping("a pause");
}

}  // namespace

TEST_CASE("without rates everything is allowed", "[receive_pace]") {
    ReceivePace pace;
    CHECK_FALSE(ReceiveRates{}.any());
    pace.handled(1'000'000, std::numeric_limits<std::size_t>::max(), {}, start);
    CHECK(pace.messages_allowed({}, start) > 1'000'000);
    CHECK(pace.paused_until({}) < start);
    CHECK(ReceivePace::bytes_allowed(1'000'000, {}) == 1'000'000);
}

TEST_CASE("the bytes of a second may be handled at once", "[receive_pace]") {
    CHECK(ReceivePace::bytes_allowed(2001, {0, 1000}) == 1000);
    CHECK(ReceivePace::bytes_allowed(999, {0, 1000}) == 999);
    CHECK(ReceivePace::bytes_allowed(5, {0, 1}) == 1);
}

TEST_CASE("the rate that is exceeded more decides on the pause", "[receive_pace]") {
    constexpr ReceiveRates rates{10, 1000};
    ReceivePace pace;
    CHECK(pace.messages_allowed(rates, start) == 10);
    pace.handled(3, 999, rates, start);
    CHECK(pace.messages_allowed(rates, start) == 7);
    CHECK(pace.paused_until(rates) <= start);
    SECTION("bytes") {
        pace.handled(1, 2001, rates, start);
        CHECK(pace.paused_until(rates) == start + 2001ms);
    }
    SECTION("messages") {
        pace.handled(7, 1, rates, start);
        CHECK(pace.paused_until(rates) == start + 100ms);
    }
}

TEST_CASE("a peer that sends too many messages has to wait, and none is lost", "[receive_pace]") {
    Rig server{limited(10, 0)};
    WireClient client = server.open();
    flood(client, 100);
    server.run();
    CHECK(client.read().size() == 10);
    CHECK(server.pauses() == 1);
    for (int second = 1; second <= 9; ++second) {
        server.advance(1s);
        CHECK(server.received() <= 10U + 10U * static_cast<unsigned>(second));
    }
    server.advance(500ms);
    CHECK(server.received() == 100);
    CHECK(client.read().size() == 90);
    server.advance(10s);
    CHECK(server.reactor().list().at(0).state == "open");
    SECTION("after a second of silence it may send as much at once again") {
        const auto before = server.pauses();
        flood(client, 9);
        server.run();
        CHECK(client.read().size() == 9);
        CHECK(server.pauses() == before);
    }
}

TEST_CASE("a peer that sends too many bytes has to wait, and none is lost", "[receive_pace]") {
    Rig server{limited(0, 100'000)};
    WireClient client = server.open();
    const std::string message(50'000, 'm');
    for (int i = 0; i < 20; ++i) client.send(message);
    server.run();
    const auto once = MemoryTransport::receive_buffer_size;
    CHECK(server.reactor().counters().bytes_in.read() <= 100'000 + once + 1000);
    server.advance(5s);
    CHECK(server.reactor().counters().bytes_in.read() <= 600'000 + once + 1000);
    CHECK(server.reactor().counters().bytes_in.read() >= 500'000);
    server.advance(5s);
    CHECK(server.received() == 20);
    CHECK(client.read().size() == 20);
}

TEST_CASE("control frames count and wait", "[receive_pace][rfc6455-5.5]") {
    Rig server{limited(2, 0)};
    WireClient client = server.open();
    for (const char* number : {"1", "2", "3", "4"}) client.ping(number);
    client.close(CloseCode::normal, "bye");
    server.run();
    CHECK(client.read() == Strings{"pong 1", "pong 2"});
    server.advance(1100ms);
    CHECK(client.read() == Strings{"pong 3", "pong 4"});
    server.advance(1s);
    CHECK(client.read() == Strings{"close 1000"});
    client.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::normal);
}

TEST_CASE("bytes that wait because of a rate are not the peer's silence", "[receive_pace][keep_alive]") {
    ConnectionOptions options = limited(0, 100);
    options.ping_interval = options.pong_timeout = 2s;
    Rig server{options};
    WireClient client = server.open();
    client.send(std::string(6'000, 'm'));  // takes 60 s
    server.run();
    client.send("x");
    server.advance(50s);
    CHECK(server.shared.ends.empty());
    CHECK(client.wire().unread().empty());
    server.advance(10'500ms);
    CHECK(client.read().back() == "text x");
    CHECK(server.shared.ends.empty());
    SECTION("but after the pause it is") {
        server.advance(10s);
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].cause == "no answer to a ping in time");
    }
}

TEST_CASE("a message has its time without the pauses", "[receive_pace][message_timeout]") {
    ConnectionOptions options = limited(0, 1000);
    options.message_timeout = 5s;
    options.ping_interval = 0s;
    Rig server{options};
    server.transport().receive_at_most(1000);
    WireClient client = server.open();
    client.send(std::string(60'000, 'm'));
    server.advance(70s);
    CHECK(server.received() == 1);
    CHECK(client.read().size() == 1);
    SECTION("but no more than that") {
        const auto timeouts = [&] { return server.reactor().counters().message_timeouts.read(); };
        client.wire().write(std::string_view{"\x01\x81\0\0\0\0a", 7});  // a fragment
        for (int i = 0; i < 10 && timeouts() == 0; ++i) {
            CHECK(i < 5);
            flood_with_pings(client, 100);  // 1.3 s of pauses
            server.advance(3s);
        }
        CHECK(timeouts() == 1);
    }
}

TEST_CASE("a connection that closes reads the peer's Close frame at once", "[receive_pace][rfc6455-7.1.2]") {
    Rig server{limited(1, 0)};
    WireClient client = server.open();
    flood(client, 100);
    server.run();
    CHECK(client.read().size() == 1);
    server.hub().close(server.reactor().list().at(0).id, CloseCode::going_away, "");
    server.run();
    CHECK(client.read().back() == "close 1001");  // and answers it
    server.run();
    CHECK(server.received() == 100);
    client.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::going_away);
}

TEST_CASE("rates apply to open connections when they change", "[receive_pace]") {
    Rig server{limited(0, 0)};
    WireClient client = server.open();
    flood(client, 50);
    server.run();
    CHECK(client.read().size() == 50);
    server.reactor().set_options({limited(5, 0)});
    flood(client, 50);
    server.run();
    CHECK(client.read().size() == 5);
    server.reactor().set_options({limited(0, 0)});
    server.advance(1s);
    CHECK(client.read().size() == 45);
}

TEST_CASE("no pause is longer than a second, however little is allowed", "[receive_pace]") {
    Rig server{limited(0, 100)};
    WireClient client = server.open();
    for (int i = 0; i < 3; ++i) client.send(std::string(50'000, 'm'));  // more than 20 min, in one read
    server.run();
    CHECK(server.pauses() == 1);
    SECTION("so more is received soon") {
        server.advance(10s);
        CHECK(server.pauses() >= 10);
        CHECK(server.received() == 0);
        client.wire().reset();
    }
    SECTION("so a higher rate counts soon") {
        server.reactor().set_options({.connection = limited(0, 1'000'000)});
        server.advance(1100ms);
        CHECK(server.received() == 3);
        CHECK(client.read().size() == 3);
    }
    SECTION("so no rate counts soon") {
        server.reactor().set_options({.connection = limited(0, 0)});
        server.advance(1100ms);
        CHECK(server.received() == 3);
    }
    SECTION("and no byte too much is received") {
        server.advance(600s);
        CHECK(server.received() == 1);
        server.advance(600s);
        CHECK(server.received() == 2);
    }
}

TEST_CASE("a reset is noticed after a pause", "[receive_pace]") {
    Rig server{limited(1, 0)};
    WireClient client = server.open();
    flood(client, 10);
    server.run();
    client.wire().reset();
    server.advance(20s);
    CHECK(server.shared.ends.size() == 1);
    CHECK(server.shared.admitted == 0);
}
