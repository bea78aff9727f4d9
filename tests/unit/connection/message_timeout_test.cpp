// The time of a message, from its first byte to its end.
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/connection/default_owner.hpp"
#include "wsserver/handshake/handshake.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// A frame of a client whose masking key is zero. `opcode` is the first byte, with FIN.
std::string frame(unsigned char opcode, std::string_view payload) {
    std::string bytes{static_cast<char>(opcode), static_cast<char>(0x80 | payload.size())};
    return bytes.append(4, '\0').append(payload);
}

constexpr unsigned char first_fragment = 0x01;
constexpr unsigned char last_fragment = 0x80;
constexpr unsigned char whole_text = 0x81;
constexpr unsigned char whole_ping = 0x89;

ConnectionOptions without_pings() {
    ConnectionOptions options;
    options.ping_interval = 0s;
    return options;
}

}  // namespace

TEST_CASE("a message that does not end in time closes the connection with 1008", "[message_timeout][rfc6455-7.4.1]") {
    const auto cut = GENERATE(std::size_t{6}, std::size_t{7}, std::size_t{10});
    MemoryServer server{without_pings()};
    server.handle("", Echo{});
    WireClient client = server.open();
    server.advance(1h);
    const std::string all = frame(whole_text, "Hello");
    client.wire().write(std::string_view{all}.substr(0, cut));
    server.advance(59s);
    CHECK(client.wire().unread().empty());

    SECTION("if nothing more arrives") {
        server.advance(2s);
        CHECK(client.read() == Strings{"close 1008 the message did not end in time"});
        CHECK(client.wire().at_end());
        CHECK(server.reactor().counters().message_timeouts.read() == 1);
        client.wire().write(std::string_view{all}.substr(cut));  // too late
        client.wire().close();
        server.run();
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].code == CloseCode::policy_violation);
        CHECK(server.shared.ends[0].error == make_error_code(Errc::message_timeout));
        CHECK(server.shared.ends[0].info.messages_in == 0);
    }
    SECTION("but not if it ends, even if other messages follow for hours") {
        client.wire().write(std::string_view{all}.substr(cut));
        server.run();
        CHECK(client.read() == Strings{"text Hello"});
        for (int i = 0; i < 100; ++i) {
            client.wire().write(std::string_view{all}.substr(0, cut));
            server.advance(50s);
            client.wire().write(std::string_view{all}.substr(cut));
            server.run();
        }
        CHECK(client.read().size() == 100);
        CHECK(server.reactor().counters().message_timeouts.read() == 0);
    }
}

TEST_CASE("the time of a message begins with its own first byte", "[message_timeout]") {
    MemoryServer server{without_pings()};
    server.handle("", Echo{});
    WireClient client = server.open();
    // Each write ends one message and begins the next.
    const std::string all = frame(whole_text, "Hello");
    client.wire().write(std::string_view{all}.substr(0, 8));
    for (int i = 0; i < 10; ++i) {
        server.advance(50s);
        client.wire().write(all.substr(8) + all.substr(0, 8));
        server.run();
    }
    CHECK(client.read().size() == 10);
    CHECK(server.shared.ends.empty());
}

TEST_CASE("neither pings nor pongs give a message more time", "[message_timeout][rfc6455-5.4]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    client.wire().write(frame(first_fragment, "Hel"));
    for (int i = 0; i < 5; ++i) {
        server.advance(11s);
        client.wire().write(frame(whole_ping, "p"));
        server.run();
        CHECK(client.read().back() == "pong p");  // read() answers the server's pings
    }
    SECTION("which ends it") {
        server.advance(6s);
        CHECK(client.read().back() == "close 1008 the message did not end in time");
    }
    SECTION("which may end in time") {
        client.wire().write(frame(last_fragment, "lo"));
        server.advance(20s);
        CHECK(client.read() == Strings{"text Hello"});
        CHECK(server.reactor().counters().message_timeouts.read() == 0);
    }
}

TEST_CASE("control frames that arrive in pieces are not a message", "[message_timeout]") {
    MemoryServer server{without_pings()};
    server.handle("", Echo{});
    WireClient client = server.open();
    const std::string ping = frame(whole_ping, "piece");
    client.wire().write(std::string_view{ping}.substr(0, 8));
    for (int i = 0; i < 10; ++i) {
        server.advance(20s);
        client.wire().write(ping.substr(8) + ping.substr(0, 8));
        server.run();
    }
    CHECK(client.read().size() == 10);
    CHECK(server.shared.ends.empty());
}

TEST_CASE("the time of a message can be changed, and 0 switches it off", "[message_timeout]") {
    ConnectionOptions options = without_pings();
    options.message_timeout = 0s;
    MemoryServer server{options};
    server.handle("", Echo{});
    WireClient patient = server.open();
    patient.wire().write(frame(first_fragment, "Hel"));
    server.advance(24h);
    CHECK(server.shared.ends.empty());
    options.message_timeout = 2s;
    server.reactor().set_options({options});
    WireClient client = server.open();
    client.wire().write(frame(first_fragment, "Hel"));
    server.advance(1s);
    CHECK(client.wire().unread().empty());
    server.advance(2s);
    CHECK(client.read().back().starts_with("close 1008"));
}

TEST_CASE("a message has its time again if the handler held reading", "[message_timeout]") {
    struct Busy {
        void on_message(AnyConnection& connection, const Text&) {
            static_cast<OwnedConnection&>(connection).hold_receiving();
        }
    };
    MemoryServer server{without_pings()};
    server.handle("", Busy{});
    WireClient client = server.open();
    InboxItem resume;
    resume.kind = InboxItem::Kind::resume;
    resume.to = server.reactor().list().at(0).id;
    client.wire().write(frame(whole_text, "much to do") + frame(first_fragment, "Hel"));
    server.advance(GENERATE(50s, 600s));
    CHECK(server.shared.ends.empty());
    CHECK(server.shared.server_hub->put(std::move(resume), {}) == SendStatus::queued);
    server.advance(50s);
    client.wire().write(frame(last_fragment, "lo"));
    server.run();
    CHECK(server.reactor().list().at(0).messages_in == 2);
    CHECK(server.reactor().counters().message_timeouts.read() == 0);
}

TEST_CASE("the end of a message that arrived while the process stood still is read", "[message_timeout]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    client.wire().write(frame(first_fragment, "Hel"));
    server.run();
    server.network.stand_still(10min);
    server.advance(50ms);
    client.wire().write(frame(last_fragment, "lo"));
    server.run();
    CHECK(client.read().back() == "text Hello");
    CHECK(server.reactor().counters().message_timeouts.read() == 0);
}

TEST_CASE("without a value, the time of a message is a minute on a server and unlimited on a client",
          "[message_timeout]") {
    SECTION("on a server") {
        ConnectionOptions options = without_pings();
        REQUIRE_FALSE(options.message_timeout.has_value());
        MemoryServer server{options};
        server.handle("", Echo{});
        WireClient client = server.open();
        client.wire().write(frame(whole_text, "Hello").substr(0, 8));
        server.run();
        server.advance(59s);
        CHECK(client.wire().unread().empty());
        server.advance(2s);
        CHECK(client.read() == Strings{"close 1008 the message did not end in time"});
    }
    SECTION("on a client") {
        Strings events;
        MemoryNetwork network;
        ClientOn<MemoryTransport> client{network};
        client.set_options(without_pings());
        auto [ours, theirs] = network.pair();
        client.connect(std::move(ours), {.host = "server.example"}, Recorder{&events});
        MemoryWire server{std::move(theirs)};
        network.run_until_idle();
        const std::string request = server.read();
        const std::string name = "Sec-WebSocket-Key: ";
        const std::string key = request.substr(request.find(name) + name.size(), 24);
        server.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: " +
            sec_websocket_accept(key) + "\r\n\r\n\x81\x05Hel");
        network.run_until_idle();
        network.advance(1h);
        server.write("lo");
        network.run_until_idle();
        CHECK(events == Strings{"open /", "text Hello"});
    }
}
