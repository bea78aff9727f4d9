// Opening handshakes about which the program decides later, on a network in memory.
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// A server whose program decides later, and a client that has sent its request.
struct Rig : MemoryServer {
    Rig() {
        handle("", Echo{});
        shared.decides_later = true;
        client.wire().write(upgrade_request());
        run();
    }
    UpgradeReply take_reply() {
        UpgradeReply reply = std::move(shared.replies.back());
        shared.replies.pop_back();
        return reply;
    }
    SendStatus decide(Admission admission) {
        UpgradeReply reply = take_reply();
        const SendStatus status = reply(std::move(admission));
        CHECK(reply.is_gone());
        run();
        return status;
    }

    WireClient client = connect();
};

/// A text message with a masking key of zeros.
std::string frame(std::string_view text) {
    return std::string{"\x81"} + static_cast<char>(0x80 | text.size()) + std::string(4, '\0') + std::string{text};
}

}  // namespace

TEST_CASE("the program decides later about an opening handshake", "[undecided][rfc6455-4.2]") {
    Rig server;
    CHECK(server.client.read_response().empty());
    SECTION("it accepts") {
        Admission admission;
        admission.fields = {
            {"Set-Cookie", "sid=1"}, {"Upgrade", "h2c"}, {"sec-websocket-extensions", "x"}, {"a b", "c"}};
        CHECK(server.decide(std::move(admission)) == SendStatus::queued);
        const std::string response = server.client.read_response();
        CHECK(response.starts_with("HTTP/1.1 101 "));
        CHECK(response.find("\r\nSet-Cookie: sid=1\r\n") != std::string::npos);
        for (const auto* absent : {"h2c", "xtensions", "a b"}) CHECK(response.find(absent) == std::string::npos);
        server.client.send("hello");
        server.run();
        CHECK(server.client.read() == Strings{"text hello"});
    }
    SECTION("it refuses") {
        CHECK(server.decide(Admission::refuse(
                  {.status = 401, .fields = {{"WWW-Authenticate", "Bearer"}}, .body = "no"})) == SendStatus::queued);
        const std::string response = server.client.read_response();
        CHECK(response.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
        CHECK(response.find("\r\nWWW-Authenticate: Bearer\r\n") != std::string::npos);
        server.advance(10s);
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].refused_with == 401);
        CHECK(server.shared.ends[0].error == Errc::refused_by_program);
        CHECK(server.shared.ends[0].cause == "the program refused the client: 401 Unauthorized");
        CHECK(server.shared.ends[0].target == "/chat");
    }
    SECTION("it cannot decide") {
        CHECK(server.take_reply().fail("the database is down") == SendStatus::queued);
        server.run();
        CHECK(server.client.read_response().starts_with("HTTP/1.1 500 "));
    }
    SECTION("it forgets the reply") {
        server.shared.replies.clear();
        server.run();
        CHECK(server.client.read_response().starts_with("HTTP/1.1 500 "));
    }
    SECTION("it forgets the reply by putting another one in its place") {
        UpgradeReply reply = server.take_reply();
        WireClient other = server.connect();
        other.wire().write(upgrade_request());
        server.run();
        reply = server.take_reply();
        server.run();
        CHECK(server.client.read_response().starts_with("HTTP/1.1 500 "));
        CHECK(reply(Admission{}) == SendStatus::queued);
        CHECK(reply(Admission{}) == SendStatus::closed);
        server.run();
        CHECK(other.read_response().starts_with("HTTP/1.1 101 "));
    }
}

TEST_CASE("a decision that comes too late is told so", "[undecided]") {
    Rig server;
    UpgradeReply reply = server.take_reply();
    CHECK_FALSE(reply.is_gone());
    SECTION("the time is over") {
        server.advance(11s);
        CHECK(server.client.read_response().starts_with("HTTP/1.1 503 "));
        CHECK(server.reactor().counters().handshake_timeouts.read() == 1);
        REQUIRE(server.reactor().list().size() == 1);  // it waits for the end of the client's stream
    }
    SECTION("the client has gone") { server.client.wire().close(); }
    SECTION("the server stops") { server.reactor().stop(server.network.now()); }
    server.advance(10s);
    CHECK(server.shared.ends.size() == 1);
    CHECK(reply.is_gone());
    CHECK(reply(Admission{}) == SendStatus::closed);
    server.run();
    CHECK_FALSE(server.client.read_response().starts_with("HTTP/1.1 101 "));
}

TEST_CASE("early frames of a client wait for the decision", "[undecided]") {
    Rig server;
    const std::string early = frame("one") + frame("two") + frame("three");
    const std::size_t cut = GENERATE_COPY(range(std::size_t{0}, early.size() + 1));
    const bool all_before = GENERATE(false, true);
    const auto write_rest = [&] {
        server.client.wire().write(early.substr(cut));
        server.run();
    };
    server.client.wire().write(early.substr(0, cut));
    server.run();
    if (all_before) write_rest();
    SECTION("until it is accepted") {
        (void)server.decide({});
        if (!all_before) write_rest();
        server.client.wire().write(frame("four"));
        server.run();
        CHECK(server.client.read_response().starts_with("HTTP/1.1 101 "));
        CHECK(server.client.read() == Strings{"text one", "text two", "text three", "text four"});
    }
    SECTION("and is dropped if it is refused") {
        (void)server.decide(Admission::refuse({.status = 403}));
        if (!all_before) write_rest();
        CHECK(server.client.read_response().starts_with("HTTP/1.1 403 "));
        server.client.wire().close();
        server.run();
        CHECK(server.shared.ends.size() == 1);
        CHECK(server.reactor().memory().read() == 0);
    }
}

TEST_CASE("a connection that closes in on_open waits for the Close frame among its early bytes", "[undecided]") {
    struct Closes {
        bool throws;
        void on_open(AnyConnection& connection) const {
            if (throws) throw std::runtime_error{"no"};
            connection.close(CloseCode{4000});
        }
    };
    const bool throws = GENERATE(false, true);
    Rig server;
    server.handle("", Closes{throws});
    const std::string early = frame("one") + std::string{"\x88\x82\0\0\0\0\x03\xE8", 8};
    const std::size_t cut = GENERATE_COPY(range(std::size_t{0}, early.size() + 1));
    server.client.wire().write(early.substr(0, cut));
    server.run();
    (void)server.decide({});
    server.client.wire().write(early.substr(cut));
    server.run();
    server.client.wire().close();
    server.advance(10s);
    CHECK(server.reactor().counters().close_timeouts.read() == 0);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::normal);
}

TEST_CASE("bytes before the decision are read only up to a point", "[undecided]") {
    Rig server;
    server.client.wire().write(frame("one"));
    server.run();
    const std::string much(1 << 20, 'x');
    server.client.wire().write(much);
    server.run();
    CHECK(server.reactor().memory().read() < much.size() / 4);
    (void)server.decide(Admission::refuse({.status = 403}));
    server.advance(10s);
    CHECK(server.reactor().memory().read() == 0);
}
