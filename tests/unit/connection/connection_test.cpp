#include "wsserver/connection/connection.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

TEST_CASE("a message is echoed", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    client.send("Hello");
    server.run();
    CHECK(client.read() == Strings{"text Hello"});
}

TEST_CASE("a large message is received in pieces of any size", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    server.transport().receive_at_most(GENERATE(5000U, 65'536U));
    const std::string message(1'000'000, 'm');
    client.send(message);
    client.send("next");
    server.run();
    CHECK((client.read() == Strings{"text " + message, "text next"}));
}

TEST_CASE("frames in the packet of the opening handshake are not lost", "[connection][rfc6455-4.2.2]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.connect();
    CountingKeys keys;
    ProtocolOptions options;
    options.keys = &keys;
    Protocol<Role::client> protocol{options};
    OutputBuffer frames;
    REQUIRE(protocol.send(Text{"early"}, frames));
    const std::string all = upgrade_request() + std::string{text_of(std::as_const(frames).bytes())};

    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        WireClient peer = server.connect();
        peer.wire().write(std::string_view{all}.substr(0, cut));
        server.run();
        peer.wire().write(std::string_view{all}.substr(cut));
        server.run();
        CAPTURE(cut);
        CHECK(peer.read_response().starts_with("HTTP/1.1 101 "));
        CHECK(peer.read() == Strings{"text early"});
    }
}

TEST_CASE("the same bytes in pieces of any size give the same replies", "[connection]") {
    for (std::size_t at_once = 1; at_once < 40; ++at_once) {
        MemoryServer server;
        server.handle("", Echo{});
        server.transport().receive_at_most(at_once);
        WireClient client = server.open();
        client.send("one");
        client.ping("p");
        client.send(std::string(300, 'x'));
        client.close(CloseCode::normal, "bye");
        server.run();
        CAPTURE(at_once);
        CHECK(client.read() == Strings{"text one", "pong p", "text " + std::string(300, 'x'), "close 1000"});
        CHECK(client.wire().at_end());
    }
}

TEST_CASE("a handler's reactions are called in order", "[connection]") {
    Strings said;
    MemoryServer server;
    server.handle("", Recorder{&said});
    WireClient client = server.open();
    client.send("one");
    client.ping("two");
    client.close(CloseCode{3999}, "done");
    server.run();
    CHECK(said == Strings{"open /chat", "text one", "ping two", "close 3999 done"});
    CHECK(client.read() == Strings{"pong two", "close 3999"});

    SECTION("and the connection ends when the peer ends the stream") {
        CHECK(client.wire().at_end());
        client.wire().close();
        server.run();
        CHECK(server.shared.admitted == 0);
        REQUIRE(server.shared.ends.size() == 1);
        const ConnectionEnd& end = server.shared.ends[0];
        CHECK(end.code == CloseCode{3999});
        CHECK(end.reason == "done");
        CHECK(end.cause.empty());
        CHECK(end.opened);
        CHECK(end.info.messages_in == 1);
        CHECK(end.info.bytes_out > 0);
    }
    SECTION("or after the close timeout") {
        server.advance(6s);
        CHECK(server.shared.admitted == 0);
        CHECK(server.reactor().counters().close_timeouts.read() == 0);
    }
}

TEST_CASE("Close frames, Pings and Pongs are reported to the owner", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    client.send("a message is not reported");
    server.run();

    SECTION("if the peer closes") {
        client.ping("abc");
        server.run();
        CHECK(server.hub().ping(id, bytes_of("12345")) == SendStatus::queued);
        server.run();
        client.read();
        server.run();
        client.close(CloseCode{4001}, "bye");
        server.run();
        CHECK(server.shared.events == Strings{"ping 3", "pong 5", "close received 4001 bye", "close sent 4001"});
    }
    SECTION("if the peer closes without a code") {
        client.wire().write("\x88\x80????");
        server.run();
        CHECK(server.shared.events == Strings{"close received 1005", "close sent 1005"});
    }
    SECTION("if the server closes") {
        CHECK(server.hub().close(id, CloseCode::going_away, "later") == SendStatus::queued);
        server.run();
        client.read();
        server.run();
        CHECK(server.shared.events == Strings{"close sent 1001 later", "close received 1001"});
    }
    SECTION("if the peer breaks a rule") {
        client.wire().write("\x83\x80????");
        server.run();
        CHECK(server.shared.events == Strings{"close sent 1002 " + std::string{message_of(Errc::reserved_opcode)}});
    }
    SECTION("but not if no Close frame was sent") {
        client.wire().close();
        server.run();
        CHECK(server.shared.events.empty());
    }
}

TEST_CASE("replies to valid frames are sent before the Close frame for an invalid one", "[connection][rfc6455-7.1.7]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    OutputBuffer frames;
    CountingKeys keys;
    ProtocolOptions options;
    options.keys = &keys;
    Protocol<Role::client> protocol{options};
    REQUIRE(protocol.send(Text{"good"}, frames));
    REQUIRE(protocol.ping(bytes_of("good too"), frames));
    frames.append(bytes_of("\x83\x80????"));  // reserved opcode 3
    REQUIRE(protocol.send(Text{"unheard"}, frames));
    client.wire().write(std::as_const(frames).bytes());
    server.run();
    const Strings words = client.read();
    REQUIRE(words.size() == 3);
    CHECK(words[0] == "text good");
    CHECK(words[1] == "pong good too");
    CHECK(words[2].starts_with("close 1002"));
    CHECK(client.wire().at_end());
    client.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::protocol_error);
    CHECK(server.shared.ends[0].error == make_error_code(Errc::reserved_opcode));
    CHECK(server.shared.ends[0].info.messages_in == 1);
}

TEST_CASE("an exception closes only its own connection", "[connection]") {
    struct Thrower {
        void on_message(AnyConnection& connection, const Text& message) {
            if (message.text == "throw") throw std::runtime_error("no such room");
            if (message.text == "throw an int") throw 5;
            connection.send(message);
        }
    };
    MemoryServer server;
    server.handle("", Thrower{});
    WireClient other = server.open();
    for (const char* word : {"throw", "throw an int"}) {
        WireClient client = server.open();
        client.send(word);
        server.run();
        CHECK(client.read() == Strings{"close 1011 the handler failed"});
    }
    other.send("still here");
    server.run();
    CHECK(other.read() == Strings{"text still here"});
    CHECK(server.reactor().counters().handler_exceptions.read() == 2);
}

TEST_CASE("a handler that takes no binary messages declines them", "[connection][rfc6455-7.4.1]") {
    struct TextOnly {
        void on_message(AnyConnection&, const Text&) {}
    };
    MemoryServer server;
    server.handle("", TextOnly{});
    WireClient client = server.open();
    OutputBuffer frame;
    encode_message(Binary{bytes_of("x")}, 0, frame);
    Bytes bytes = std::as_const(frame).bytes();
    std::string masked{"\x82\x81\0\0\0\0", 6};
    masked.push_back(static_cast<char>(bytes.back()));
    client.wire().write(masked);
    server.run();
    const Strings words = client.read();
    REQUIRE(words.size() == 1);
    CHECK(words[0].starts_with("close 1003"));
}

// --- Refusals ---

namespace {

/// A client that gets a 503, because of `why`.
WireClient refused_by(MemoryServer& server, ReactorShared::StreamAdmission why) {
    server.shared.admission = why;
    WireClient client = server.connect();
    client.wire().write(upgrade_request());
    server.run();
    const std::string response = client.wire().read();
    CHECK(response.starts_with("HTTP/1.1 503 "));
    CHECK(response.find("Retry-After:") != std::string::npos);
    return client;
}

}  // namespace

TEST_CASE("a refused request is answered with its status, then the stream ends", "[connection][rfc6455-4.2.2]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.connect();
    SECTION("a request that is not an upgrade") {
        client.wire().write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        server.run();
        CHECK(client.wire().read().starts_with("HTTP/1.1 426 "));
    }
    SECTION("bytes that are not HTTP") {
        client.wire().write("\x16\x03\x01 this is TLS\r\n\r\n");
        server.run();
        const std::string response = client.wire().read();
        CHECK(response.starts_with("HTTP/1.1 400 "));
        CHECK(response.find("this is TLS") != std::string::npos);
    }
    SECTION("a request whose refusal has a detail") {
        client.wire().write("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        server.run();
        CHECK(client.wire().read().find("there is more than one") != std::string::npos);
    }
    SECTION("a HEAD request that no one answers") {
        client.wire().write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        server.run();
        const std::string response = client.wire().read();
        CHECK(response.starts_with("HTTP/1.1 426 "));
        CHECK(response.ends_with("\r\n\r\n"));  // no content (RFC 9110 §9.3.2)
    }
    SECTION("a HEAD request for an upgrade") {
        client.wire().write("HEAD / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
        server.run();
        const std::string response = client.wire().read();
        CHECK(response.starts_with("HTTP/1.1 405 "));
        CHECK(response.ends_with("\r\n\r\n"));  // no content (RFC 9110 §9.3.2)
    }
    SECTION("a request from a forbidden origin") {
        server.shared.refuse_with = Errc::origin_forbidden;
        client.wire().write(upgrade_request());
        server.run();
        CHECK(client.wire().read().starts_with("HTTP/1.1 403 "));
    }
    SECTION("a connection over the limit") {
        client.wire().close();
        WireClient another = refused_by(server, ReactorShared::StreamAdmission::answer_503);
        CHECK(server.reactor().counters().turned_away.read() == 1);
        another.wire().close();
        server.run();
        CHECK(server.shared.admitted == 0);
        return;
    }
    SECTION("a connection over the rate") {
        WireClient another = refused_by(server, ReactorShared::StreamAdmission::answer_503_for_rate);
        CHECK(server.reactor().over_connection_rate() == 2);  // `client` is, too
        another.wire().close();
        client.wire().close();
        server.run();
        CHECK(server.reactor().counters().refused.read() == 1);
        CHECK(server.shared.ends.front().error == make_error_code(Errc::too_many_new_connections));
        return;
    }
    SECTION("a request that is not complete in time") {
        client.wire().write("GET / HTTP/1.1\r\n");
        server.run();
        server.advance(9s);
        CHECK(client.wire().read().empty());
        server.advance(2s);
        CHECK(client.wire().read().starts_with("HTTP/1.1 408 "));
        CHECK(server.reactor().counters().handshake_timeouts.read() == 1);
    }
    CHECK(client.wire().at_end());
    CHECK(server.reactor().counters().refused.read() == 1);
    client.wire().close();
    server.run();
    CHECK(server.shared.admitted == 0);
    REQUIRE_FALSE(server.shared.ends.empty());
    CHECK_FALSE(server.shared.ends.back().opened);
    CHECK_FALSE(server.shared.ends.back().cause.empty());
}

TEST_CASE("connections far over the limit are closed at once", "[connection]") {
    MemoryServer server;
    server.shared.admission = ReactorShared::StreamAdmission::close_at_once;
    WireClient client = server.connect();
    server.run();
    CHECK((client.wire().at_end() || client.wire().was_reset()));
    CHECK(server.shared.admitted == 0);
}

TEST_CASE("the program may answer a request that is not an upgrade", "[connection]") {
    MemoryServer server;
    server.shared.http_response = HttpResponse{200, {}, "text/plain", "ok\n"};
    WireClient client = server.connect();
    client.wire().write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    server.run();
    const std::string response = client.wire().read();
    CHECK(response.starts_with("HTTP/1.1 200 "));
    CHECK(response.ends_with("\r\n\r\nok\n"));
    CHECK(client.wire().at_end());
    CHECK(server.reactor().counters().http_answered.read() == 1);
}

// --- Closing ---

TEST_CASE("a handler may begin the closing handshake", "[connection][rfc6455-7.1.2]") {
    struct Closer {
        void on_message(AnyConnection& connection, const Text& message) {
            connection.send(message);
            CHECK(connection.close(CloseCode{4000}, "enough") == SendStatus::queued);
            CHECK(connection.send(message) == SendStatus::closed);
            CHECK(connection.close() == SendStatus::closed);
        }
    };
    MemoryServer server;
    server.handle("", Closer{});
    WireClient client = server.open();
    client.send("x");
    server.run();
    SECTION("and the peer answers it") {
        CHECK(client.read() == Strings{"text x", "close 4000 enough"});
        server.run();
        CHECK(client.wire().at_end());
        client.wire().close();
        server.run();
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].code == CloseCode{4000});
        CHECK(server.shared.ends[0].cause.empty());
    }
    SECTION("and the peer does not answer in time") {
        server.advance(4s);
        CHECK(server.shared.ends.empty());
        server.advance(2s);
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].code == CloseCode::abnormal);
        CHECK(server.shared.ends[0].cause == "no answer to the Close frame in time");
        CHECK(server.reactor().counters().close_timeouts.read() == 1);
        CHECK(server.shared.admitted == 0);
    }
}

TEST_CASE("a Close frame or Ping that may not be sent is refused", "[connection][rfc6455-7.4]") {
    struct Closer {
        void on_open(AnyConnection& connection) {
            CHECK(connection.close(CloseCode::no_status) == SendStatus::refused);
            CHECK(connection.close(CloseCode::abnormal) == SendStatus::refused);
            CHECK(connection.close(CloseCode::normal, std::string(124, 'x')) == SendStatus::refused);
            CHECK(connection.ping(bytes_of(std::string(126, 'x'))) == SendStatus::refused);
            CHECK(connection.send(Text{"open"}) == SendStatus::queued);
        }
    };
    MemoryServer server;
    server.handle("", Closer{});
    WireClient client = server.open();
    CHECK(client.read() == Strings{"text open"});
}

TEST_CASE("a stream that ends without a Close frame is reported as 1006", "[connection][rfc6455-7.1.5]") {
    Strings said;
    MemoryServer server;
    server.handle("", Recorder{&said});
    WireClient client = server.open();
    SECTION("the peer ends it") { client.wire().close(); }
    SECTION("the peer resets it") { client.wire().reset(); }
    SECTION("it ends in the middle of a frame") {
        client.wire().write(std::string_view{"\x81\xfe\x01", 3});
        client.wire().close();
    }
    server.run();
    REQUIRE(said.size() == 2);
    CHECK(said[1].starts_with("close 1006 "));
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::abnormal);
    CHECK_FALSE(server.shared.ends[0].cause.empty());
    CHECK(server.shared.admitted == 0);
}

TEST_CASE("a peer that ends its direction still receives its replies", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    client.wire().set_window(0);
    for (int i = 0; i < 10; ++i) client.send("message " + std::to_string(i));
    client.wire().shutdown();
    server.run();
    CHECK(server.shared.ends.empty());
    client.wire().set_window(1 << 20);
    server.run();
    CHECK(client.read().size() == 10);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.admitted == 0);
}

TEST_CASE("a connection ends exactly once if any I/O step fails", "[connection]") {
    const auto error = std::make_error_code(std::errc::connection_reset);
    for (const MemoryOperation operation : {MemoryOperation::receive, MemoryOperation::send}) {
        for (std::size_t nth = 1; nth < 12; ++nth) {
            Strings said;
            MemoryServer server;
            server.handle("", Recorder{&said});
            server.transport().fail(operation, nth, error);
            server.transport().receive_at_most(50);
            WireClient client = server.open();
            client.send("x");
            server.run();
            client.ping("y");
            server.run();
            client.close(CloseCode::normal);
            server.run();
            client.wire().close();
            server.advance(1min);
            CAPTURE(static_cast<int>(operation), nth);
            CHECK(server.shared.admitted == 0);
            CHECK(server.shared.ends.size() == 1);
            if (!said.empty()) CHECK(said.back().starts_with("close "));
        }
    }
}

// --- Flow control ---

TEST_CASE("the connection does not read from a peer that does not read its echoes", "[connection]") {
    ConnectionOptions options;
    options.send_queue.high_mark = 10'000;
    MemoryServer server{options};
    server.handle("", Echo{});
    WireClient client = server.open();
    client.wire().set_window(0);
    const std::string message(1000, 'm');
    for (int i = 0; i < 200; ++i) {
        client.send(message);
        server.run();
    }
    const std::size_t queued = server.reactor().list().at(0).queued;
    CHECK(queued >= 10'000);
    CHECK(queued < 30'000);
    client.wire().set_window(1 << 20);
    server.run();
    std::size_t echoes = client.read().size();
    server.run();
    echoes += client.read().size();
    CHECK(echoes == 200);
    CHECK(server.reactor().list().at(0).queued == 0);
}

TEST_CASE("messages from others to a slow peer are subject to the policy", "[connection]") {
    ConnectionOptions options;
    options.send_queue.high_mark = 5'000;
    MemoryServer server{options};
    SECTION("drop_newest") {
        options.send_queue.policy = SlowConsumer::drop_newest;
        server.reactor().set_options({options});
        server.handle("", Echo{});
        WireClient client = server.open();
        client.wire().set_window(0);
        const ConnectionId id = server.reactor().list().at(0).id;
        std::size_t queued = 0, dropped = 0;
        for (int i = 0; i < 100; ++i) {
            const SendStatus status = server.hub().send(id, Text{std::string(200, 'a')});
            ++(status == SendStatus::queued ? queued : dropped);
            server.run();
        }
        CHECK(dropped > 0);
        CHECK(server.reactor().counters().messages_dropped.read() == dropped);
        CHECK(server.reactor().list().at(0).dropped == dropped);
        CHECK(server.shared.events == Strings(dropped, "dropped 1"));
        client.wire().set_window(1 << 20);
        server.run();
        CHECK(client.read().size() == queued);
    }
    SECTION("close") {
        server.handle("", Echo{});
        WireClient client = server.open();
        client.wire().set_window(0);
        const ConnectionId id = server.reactor().list().at(0).id;
        SendStatus status = SendStatus::queued;
        for (int i = 0; i < 100 && status == SendStatus::queued; ++i) {
            status = server.hub().send(id, Text{std::string(200, 'a')});
            server.run();
        }
        CHECK(status == SendStatus::closed);
        CHECK(server.reactor().counters().slow_consumers.read() == 1);
        client.wire().set_window(1 << 20);
        server.run();
        CHECK(client.read().back() == "close 1013 slow consumer");
    }
}

TEST_CASE("after a ping that exceeds the queue, the closing handshake has its full timeout", "[connection]") {
    ConnectionOptions options;
    options.send_queue.hard_limit = 5'000;
    MemoryServer server{options};
    server.handle("", Echo{});
    WireClient client = server.open();
    client.wire().set_window(0);
    const ConnectionId id = server.reactor().list().at(0).id;
    CHECK(server.hub().send(id, Text{std::string(10'000, 'a')}) == SendStatus::queued);
    server.advance(options.ping_interval + 1s);
    CHECK(server.reactor().counters().slow_consumers.read() == 1);
    CHECK(server.reactor().list().size() == 1);
    server.advance(options.close_timeout);
    CHECK(server.reactor().counters().close_timeouts.read() == 1);
    CHECK(server.reactor().list().empty());
}

TEST_CASE("a pong overtakes queued messages", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    client.wire().set_window(100);
    client.send(std::string(300'000, 'z'));
    server.run();
    client.ping("how long");
    server.run();
    client.wire().set_window(1 << 20);
    server.run();
    const Strings words = client.read();
    REQUIRE(words.size() == 2);
    CHECK(words[0] == "pong how long");
    CHECK(words[1] == "text " + std::string(300'000, 'z'));
}

TEST_CASE("a peer that sends very much at once does not delay the others", "[connection]") {
    Strings said;  // must outlive the server, whose destructor ends connections
    MemoryServer server;
    server.handle("", Recorder{&said});
    WireClient loud = server.open(), quiet = server.open();
    said.clear();
    constexpr int many = 3000;
    Strings expected;
    for (int i = 0; i < many; ++i) {
        loud.send(std::to_string(i));
        expected.push_back("text " + std::to_string(i));
    }

    SECTION("and loses nothing") {
        quiet.send("quiet");
        server.run();
        const auto place = std::find(said.begin(), said.end(), "text quiet");
        REQUIRE(place != said.end());
        CHECK(place - said.begin() <= 1024);
        said.erase(place);
        CHECK(said == expected);
    }
    SECTION("and its Close frame is handled") {
        loud.close(CloseCode::normal);
        server.run();
        expected.push_back("close 1000");
        CHECK(said == expected);
        CHECK(loud.read() == Strings{"close 1000"});
    }
    SECTION("and the end of its stream is handled") {
        loud.wire().shutdown();
        server.run();
        expected.push_back("close 1006 the peer ended the stream without a Close frame");
        CHECK(said == expected);
    }
    SECTION("and nothing after a protocol error is handled") {
        loud.wire().write(std::string_view{"\xC1\x80\0\0\0\0", 6});
        loud.send("too late");
        server.run();
        REQUIRE(said.size() == many + 1);
        CHECK(said.back().starts_with("close 1002 "));
    }
    SECTION("and its connection may be cut meanwhile") {
        server.transport().post([&] { server.reactor().end(); });
        server.run();
        CHECK(said.size() <= many + 2);
    }
}

TEST_CASE("the output of a turn is sent in one send", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const std::size_t before = server.transport().count(MemoryOperation::send);
    for (int i = 0; i < 50; ++i) client.send("m");
    server.run();
    CHECK(client.read().size() == 50);
    CHECK(server.transport().count(MemoryOperation::send) == before + 1);
}

// --- Timers ---

TEST_CASE("a silent peer is pinged and then disconnected", "[connection][rfc6455-5.5.2]") {
    Strings said;
    MemoryServer server;
    server.handle("", Recorder{&said});
    WireClient client = server.open();
    server.advance(20s);
    CHECK(client.wire().unread().empty());
    client.send("not silent");
    server.advance(20s);
    CHECK(client.wire().unread().empty());
    server.advance(6s);
    SECTION("but not if it answers") {
        const Strings words = client.read();
        REQUIRE(words.size() == 1);
        CHECK(words[0].starts_with("ping"));
        server.advance(15ms);
        CHECK(server.reactor().list().at(0).round_trip.has_value());
        CHECK(said.back() == "pong");
        server.advance(24s);
        CHECK(client.wire().unread().empty());
        CHECK(server.shared.ends.empty());
    }
    SECTION("if it does not answer in time") {
        CHECK(client.wire().unread().size() == 10);
        server.advance(19s);
        CHECK(server.shared.ends.empty());
        server.advance(3s);
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].cause == "no answer to a ping in time");
        CHECK(server.reactor().counters().pong_timeouts.read() == 1);
        CHECK(said.back().starts_with("close 1006"));
    }
}

TEST_CASE("timeouts beyond the range of the clock never expire", "[connection]") {
    const auto beyond = GENERATE(std::chrono::milliseconds::max(), std::chrono::milliseconds{24h * 365 * 500});
    ConnectionOptions options;
    options.handshake_timeout = options.ping_interval = options.pong_timeout = options.close_timeout = beyond;
    options.message_timeout = beyond;
    const auto much = 24h;
    MemoryServer server{options};
    server.handle("", Echo{});
    SECTION("for the opening handshake") {
        WireClient client = server.connect();
        server.run();
        server.advance(much);
        CHECK(server.reactor().list().size() == 1);
    }
    SECTION("for a ping") {
        WireClient client = server.open();
        server.advance(much);
        CHECK(client.wire().unread().empty());
        CHECK(server.shared.ends.empty());
    }
    SECTION("for the answer to a ping") {
        options.ping_interval = 1s;
        server.reactor().set_options({options});
        WireClient client = server.open();
        server.advance(much);
        CHECK(client.wire().unread().size() == 10);
        CHECK(server.shared.ends.empty());
    }
    SECTION("for the answer to a Close frame") {
        WireClient client = server.open();
        server.hub().close(server.reactor().list().at(0).id, CloseCode::normal, {});
        server.advance(much);
        CHECK(server.shared.ends.empty());
    }
}

TEST_CASE("pings from others do not give a silent peer more time", "[connection][rfc6455-5.5.2]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    server.advance(26s);
    CHECK(client.wire().unread().size() == 10);
    for (int i = 0; i < 9; ++i) {
        CHECK(server.hub().ping(id, {}) == SendStatus::queued);
        server.advance(2s);
    }
    CHECK(server.shared.ends.empty());
    SECTION("if it answers none of them") {
        server.advance(4s);
        REQUIRE(server.shared.ends.size() == 1);
        CHECK(server.shared.ends[0].cause == "no answer to a ping in time");
    }
    SECTION("and if it answers, the first ping counts") {
        CHECK(client.read().size() == 10);
        server.run();
        CHECK(server.reactor().list().at(0).round_trip > 18s);
        server.advance(20s);
        CHECK(server.shared.ends.empty());
        CHECK(server.hub().ping(id, {}) == SendStatus::queued);
        server.advance(42ms);
        CHECK(client.read().size() == 1);
        server.run();
        CHECK(server.reactor().list().at(0).round_trip == 42ms);
    }
}

TEST_CASE("an unanswered ping from others does not end a connection; only silence does",
          "[connection][rfc6455-5.5.2]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    server.advance(26s);
    REQUIRE(client.read().size() == 1);  // read() answers the ping
    server.advance(2s);
    CHECK(server.hub().ping(id, {}) == SendStatus::queued);
    // An interval of silence, then the connection's own ping and its timeout.
    server.advance(40s);
    CHECK(server.shared.ends.empty());
    server.advance(10s);
    CHECK(server.shared.ends.size() == 1);
}

TEST_CASE("a peer is not silent while the connection does not read from it", "[connection][rfc6455-5.5.2]") {
    struct Busy {
        void on_message(AnyConnection& connection, const Text&) {
            static_cast<OwnedConnection&>(connection).hold_receiving();
        }
    };
    MemoryServer server;
    server.handle("", Busy{});
    WireClient client = server.open();
    InboxItem resume;
    resume.kind = InboxItem::Kind::resume;
    resume.to = server.reactor().list().at(0).id;
    const bool pinged_before = GENERATE(false, true);
    if (pinged_before) server.advance(26s);
    client.send("much to do");
    server.advance(120s);
    REQUIRE(server.shared.ends.empty());
    CHECK(server.shared.server_hub->put(std::move(resume), {}) == SendStatus::queued);
    SECTION("but it may be when the connection reads again") {
        server.advance(60s);
        CHECK(server.shared.ends.size() == 1);
    }
    SECTION("and it has time to answer when the connection reads again") {
        std::size_t pings = 0;
        for (int i = 0; i < 12; ++i) {
            server.advance(5s);
            pings += client.read().size();  // read() answers the ping
        }
        CHECK(pings >= 2);
        CHECK(server.shared.ends.empty());
    }
}

TEST_CASE("pings are sent at their interval even if a pong may take longer", "[connection]") {
    ConnectionOptions options;
    options.ping_interval = 1s;
    options.pong_timeout = 20s;
    MemoryServer server{options};
    server.handle("", Echo{});
    WireClient client = server.open();
    for (int i = 0; i < 5; ++i) {
        server.advance(1100ms);
        const Strings words = client.read();  // read() answers the ping
        REQUIRE(words.size() == 1);
        CHECK(words[0].starts_with("ping"));
        server.run();
    }
    server.advance(1100ms);
    CHECK(client.wire().unread().size() == 10);
    server.advance(19s);
    CHECK(client.wire().unread().size() == 10);
    CHECK(server.shared.ends.empty());
    server.advance(2s);
    CHECK(server.shared.ends.size() == 1);
}

TEST_CASE("no pings are sent if the interval is 0", "[connection]") {
    ConnectionOptions options;
    options.ping_interval = 0s;
    MemoryServer server{options};
    server.handle("", Echo{});
    WireClient client = server.open();
    server.advance(1h);
    CHECK(client.wire().unread().empty());
    CHECK(server.shared.ends.empty());
}

TEST_CASE("the round trip of a ping is measured", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    CHECK(server.hub().ping(id, {}) == SendStatus::queued);
    server.run();
    server.advance(42ms);
    CHECK(client.read().size() == 1);
    server.run();
    CHECK(server.reactor().list().at(0).round_trip == 42ms);
}

// --- What was queued before the Close frame is sent first (RFC 6455 §5.5.1) ---

namespace {

/// A peer that reads `at_once` bytes each second until `bytes` have arrived or nothing arrives for a minute.
std::size_t read_slowly(MemoryServer& server, WireClient& client, std::size_t at_once, std::string& tail) {
    std::size_t total = 0;
    for (int silent = 0; silent < 60;) {
        const std::string some = client.wire().read(at_once);
        silent = some.empty() ? silent + 1 : 0;
        total += some.size();
        tail = (tail + some).substr(tail.size() + some.size() > 100 ? tail.size() + some.size() - 100 : 0);
        server.advance(1s);
        if (client.wire().at_end()) break;
    }
    return total;
}

/// Sends 15 MB and then closes.
struct SendsAndCloses {
    void on_message(AnyConnection& connection, const Text&) {
        connection.send(Binary{bytes_of(std::string(15'000'000, 'b'))});
        connection.close(CloseCode::normal, "done");
    }
};

}  // namespace

TEST_CASE("a close waits until a slow reader has taken what was queued before it", "[connection][rfc6455-5.5.1]") {
    struct Sends {
        void on_message(AnyConnection& connection, const Text&) {
            connection.send(Binary{bytes_of(std::string(15'000'000, 'b'))});
        }
    };
    MemoryServer server;
    server.handle("", Sends{});
    WireClient client = server.open();
    client.wire().set_window(1 << 20);
    client.send("x");
    server.run();
    std::string_view close_text = "done";
    SECTION("close of a handle") {
        CHECK(server.hub().close(server.reactor().list().at(0).id, CloseCode::normal, "done") == SendStatus::queued);
    }
    SECTION("close of all") { server.hub().close_all(CloseCode::going_away, "done"); }
    SECTION("removal of the handler") {
        const auto& handler = *server.shared.handlers.at("");
        server.reactor().close_served_by(handler.underlying(), "", nullptr, CloseCode::service_restart);
        close_text = "the handler was removed";
    }
    SECTION("stop with a grace period") {
        server.reactor().stop(server.network.now() + 1min);
        close_text = "the server stops";
    }
    server.run();
    std::string tail;
    CHECK(read_slowly(server, client, 1'000'000, tail) > 15'000'000);
    CHECK(tail.ends_with(close_text));
    REQUIRE(server.shared.ends.size() == 1);  // the peer has not answered
    CHECK(server.shared.ends[0].cause == "no answer to the Close frame in time");
}

TEST_CASE("send and close in one reaction arrive whole at a slow reader that answers", "[connection][rfc6455-7.1.2]") {
    MemoryServer server;
    server.handle("", SendsAndCloses{});
    WireClient client = server.open();
    client.wire().set_window(1 << 20);
    client.send("x");
    server.run();
    std::string bytes;
    std::vector<std::string> events;
    for (int second = 0; second < 60 && server.shared.ends.empty(); ++second) {
        for (auto& event : client.read()) events.push_back(std::move(event));
        server.advance(1s);
        if (client.wire().at_end()) {
            client.wire().shutdown();
            server.run();
        }
    }
    REQUIRE(events.size() == 2);
    CHECK(events[0].size() > 15'000'000);
    CHECK(events[1] == "close 1000 done");
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::normal);
    CHECK(server.reactor().counters().close_timeouts.read() == 0);
}

TEST_CASE("a full server answers plain requests, and gives silent clients little time", "[connection]") {
    MemoryServer server;
    server.shared.admission = ReactorShared::StreamAdmission::answer_503;
    server.shared.http_response = HttpResponse{200, {}, "text/plain", "ok\n"};
    WireClient healthy = server.connect(), silent = server.connect();
    healthy.wire().write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    server.run();
    CHECK(healthy.wire().read().starts_with("HTTP/1.1 200 "));
    CHECK(server.reactor().counters().turned_away.read() == 0);
    server.advance(1200ms);
    CHECK(silent.wire().read().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a plain HTTP response arrives whole at a slow reader", "[connection]") {
    MemoryServer server;
    server.shared.http_response = HttpResponse{200, {}, "text/plain", std::string(15'000'000, 'h')};
    WireClient client = server.connect();
    client.wire().set_window(1 << 20);
    client.wire().write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.run();
    std::string tail;
    CHECK(read_slowly(server, client, 1'000'000, tail) > 15'000'000);
    CHECK(client.wire().at_end());
}

TEST_CASE("a reader that stops taking the queued output is ended after close_timeout", "[connection]") {
    ConnectionOptions options;
    options.close_timeout = 5s;
    MemoryServer server{options};
    server.handle("", SendsAndCloses{});
    WireClient client = server.open();
    client.wire().set_window(1 << 20);
    client.send("x");
    server.run();
    SECTION("at once") {
        server.advance(4900ms);
        CHECK(server.shared.ends.empty());
        server.advance(400ms);
    }
    SECTION("later") {
        for (int second = 0; second < 8; ++second) {
            CHECK(!client.wire().read(1'000'000).empty());
            server.advance(1s);
        }
        CHECK(server.shared.ends.empty());
        server.advance(2 * options.close_timeout + 200ms);
    }
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].cause == "the peer takes no more output");
    CHECK(server.reactor().counters().close_timeouts.read() == 1);
}

TEST_CASE("the time to answer a Close frame begins when it has been sent", "[connection][rfc6455-7.1.3]") {
    MemoryServer server;
    server.handle("", SendsAndCloses{});
    WireClient client = server.open();
    client.wire().set_window(8 << 20);
    client.send("x");
    server.advance(4s);
    client.wire().set_window(20 << 20);
    (void)client.wire().read(1);  // makes space: all of it is sent now
    server.run();
    server.advance(4900ms);
    CHECK(server.shared.ends.empty());
    server.advance(400ms);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].cause == "no answer to the Close frame in time");
}

TEST_CASE("the end of the grace period ends also a reader that is still taking output", "[connection]") {
    MemoryServer server;
    server.handle("", SendsAndCloses{});
    WireClient client = server.open();
    client.wire().set_window(1 << 20);
    client.send("x");
    server.run();
    server.reactor().stop(server.network.now() + 3s);
    for (int second = 0; second < 3; ++second) {
        (void)client.wire().read(1'000'000);
        server.advance(1s);
    }
    CHECK(server.shared.stopped == 1);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].cause == "the server stopped");
}

// --- A reactor that stood still reads before it judges ---

TEST_CASE("a peer that answered a ping while the process stood still is kept", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const ConnectionOptions options;
    server.advance(options.ping_interval + 1s);
    const auto pause = GENERATE(19s, 20s, 21s, 1min, 10h);
    server.network.stand_still(pause);
    SECTION("and whose answer is read after the timer") {
        server.advance(50ms);
        CHECK(client.read().size() == 1);  // answers the ping
        server.advance(50ms);
    }
    SECTION("and whose answer is read first") {
        CHECK(client.read().size() == 1);
        server.advance(100ms);
    }
    CHECK(server.shared.ends.empty());
    client.send("alive");
    server.run();
    CHECK(client.read().back() == "text alive");
}

TEST_CASE("a peer that is silent after the process stood still is ended within the timeout", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const ConnectionOptions options;
    server.advance(options.ping_interval + 1s);
    server.network.stand_still(1h);
    server.advance(options.pong_timeout - 1s);
    CHECK(server.shared.ends.empty());
    server.network.stand_still(1h);  // a second pause gives no more time
    server.advance(100ms);
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].cause == "no answer to a ping in time");
}

TEST_CASE("an opening handshake that came while the process stood still succeeds", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.connect();
    server.run();
    server.network.stand_still(ConnectionOptions{}.handshake_timeout + 1min);
    server.advance(50ms);
    client.wire().write(upgrade_request());
    server.run();
    CHECK(client.read_response().starts_with("HTTP/1.1 101 "));
}

TEST_CASE("a Close frame that was answered while the process stood still is read", "[connection]") {
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    server.hub().close_all(CloseCode::normal, "bye");
    server.run();
    server.network.stand_still(ConnectionOptions{}.close_timeout + 1min);
    server.advance(50ms);
    CHECK(client.read() == Strings{"close 1000 bye"});
    client.wire().shutdown();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].code == CloseCode::normal);
}
