#include "wsserver/protocol/protocol.hpp"

#include <string>
#include <vector>

#include "support/byte_script.hpp"
#include "support/transcript.hpp"

using namespace wsserver;
using namespace wsserver::test;

FOR_BOTH_ROLES("the peer starts the closing handshake", "[protocol][rfc6455-5.5.1][rfc6455-7.1.5]") {
    struct Case {
        ByteVector payload;
        std::string event, reply;
        CloseCode code;
    };
    const auto c = GENERATE(Case{{}, "close 1005", "88", CloseCode::no_status},
                            Case{close_payload(1000), "close 1000", "88 03 e8", CloseCode::normal},
                            Case{close_payload(1001, "bye"), "close 1001 bye", "88 03 e9", CloseCode::going_away},
                            Case{close_payload(4999, std::string(123, 'r')), "close 4999 " + std::string(123, 'r'),
                                 "88 13 87", CloseCode{4999}});
    Endpoint<role> endpoint;
    CHECK(endpoint.protocol().close_code() == CloseCode::abnormal);
    endpoint.receive(frame_to<role>(0x88, c.payload));
    CHECK(endpoint.events() == Strings{c.event});
    CHECK(frames_in(endpoint.take_output()) == Strings{c.reply});

    auto& protocol = endpoint.protocol();
    CHECK(protocol.close_received());
    CHECK(protocol.close_sent());
    CHECK(protocol.finished());
    CHECK_FALSE(protocol.failed());
    CHECK_FALSE(protocol.may_send());
    CHECK(protocol.close_code() == c.code);
    CHECK(protocol.sent_close_code() == c.code);
}

FOR_BOTH_ROLES("after the peer's Close everything is ignored", "[protocol][rfc6455-1.4][autobahn-7.1]") {
    const auto late = joined(frame_to<role>(0x88, close_payload(1001)), frame_to<role>(0x89, "ping"),
                             frame_to<role>(0x81, "text"), frame_to<role>(0x80, "last fragment"), byte_script("ff*30"));
    SECTION("in the same receive") {
        Endpoint<role> endpoint;
        endpoint.receive(joined(frame_to<role>(0x01, "first"), frame_to<role>(0x88, close_payload(1000)), late));
        CHECK(endpoint.events() == Strings{"close 1000"});
        CHECK(frames_in(endpoint.take_output()) == Strings{"88 03 e8"});
        CHECK(endpoint.protocol().close_code() == CloseCode::normal);
    }
    SECTION("in a later receive") {
        Endpoint<role> endpoint;
        endpoint.receive(frame_to<role>(0x88, close_payload(1000)));
        endpoint.receive(late);
        endpoint.protocol().receive_eof();
        CHECK(endpoint.events() == Strings{"close 1000"});
        CHECK(frames_in(endpoint.take_output()) == Strings{"88 03 e8"});
        CHECK(endpoint.protocol().close_code() == CloseCode::normal);
    }
}

FOR_BOTH_ROLES("the endpoint starts the closing handshake", "[protocol][rfc6455-7.1.2]") {
    Endpoint<role> endpoint;
    auto& protocol = endpoint.protocol();
    CHECK(protocol.may_send());
    CHECK_FALSE(protocol.close_sent());
    REQUIRE(protocol.close(CloseCode::going_away, "restart", endpoint.output()));
    CHECK(frames_in(endpoint.take_output()) == Strings{close_frame(CloseCode::going_away, "restart")});
    CHECK(protocol.close_sent());
    CHECK_FALSE(protocol.close_received());
    CHECK_FALSE(protocol.may_send());
    CHECK_FALSE(protocol.finished());
    CHECK(protocol.sent_close_code() == CloseCode::going_away);

    SECTION("nothing more may be sent") {
        auto& output = endpoint.output();
        CHECK(protocol.send(Text{"x"}, output).error() == Errc::connection_closed);
        CHECK(protocol.send(Binary{bytes_of("x")}, output).error() == Errc::connection_closed);
        CHECK(protocol.ping({}, output).error() == Errc::connection_closed);
        CHECK(protocol.pong({}, output).error() == Errc::connection_closed);
        CHECK(protocol.close(CloseCode::normal, "", output).error() == Errc::connection_closed);
        CHECK(output.empty());
    }
    SECTION("messages are still received and pings are still answered (§5.5.2)") {
        endpoint.receive(joined(frame_to<role>(0x81, "on its way"), frame_to<role>(0x02, "a"),
                                frame_to<role>(0x89, "?"), frame_to<role>(0x80, "b")));
        CHECK(endpoint.events() == Strings{"text on its way", "ping ?", "binary ab"});
        CHECK(frames_in(endpoint.take_output()) == Strings{"8a 3f"});
        CHECK_FALSE(protocol.finished());
    }
    SECTION("the peer's Close completes it and is not answered") {
        endpoint.receive(frame_to<role>(0x88, close_payload(1001, "bye")));
        CHECK(endpoint.events() == Strings{"close 1001 bye"});
        CHECK(endpoint.take_output().empty());
        CHECK(protocol.finished());
        CHECK_FALSE(protocol.failed());
        CHECK(protocol.close_code() == CloseCode::going_away);
    }
    SECTION("the stream ends without a Close from the peer") {
        protocol.receive_eof();
        CHECK(protocol.finished());
        CHECK_FALSE(protocol.failed());
        CHECK(protocol.close_code() == CloseCode::abnormal);
    }
}

TEST_CASE("both endpoints start the closing handshake at the same time", "[protocol][rfc6455-7.1.2]") {
    Endpoint<Role::server> server;
    Endpoint<Role::client> client;
    REQUIRE(server.protocol().close(CloseCode::going_away, "s", server.output()));
    REQUIRE(client.protocol().close(CloseCode::normal, "c", client.output()));
    server.receive(client.take_output());
    client.receive(server.take_output());
    CHECK(server.events() == Strings{"close 1000 c"});
    CHECK(client.events() == Strings{"close 1001 s"});
    CHECK(server.output().empty());
    CHECK(client.output().empty());
    CHECK(server.protocol().finished());
    CHECK(client.protocol().finished());
    CHECK(server.protocol().close_code() == CloseCode::normal);
    CHECK(client.protocol().close_code() == CloseCode::going_away);
}

FOR_BOTH_ROLES("a Close with an invalid code or reason is not sent", "[protocol][rfc6455-5.5.1][rfc6455-7.4]") {
    Endpoint<role> endpoint;
    auto& protocol = endpoint.protocol();
    auto& output = endpoint.output();
    for (const auto code : {CloseCode::no_status, CloseCode::abnormal, CloseCode::tls_handshake, CloseCode{0},
                            CloseCode{999}, CloseCode{1004}, CloseCode{2999}, CloseCode{5000}}) {
        CHECK(protocol.close(code, "", output).error() == Errc::close_code_may_not_be_sent);
    }
    CHECK(protocol.close(CloseCode::normal, std::string(124, 'x'), output).error() ==
          Errc::payload_too_long_for_control);
    CHECK(protocol.close(CloseCode::normal, "\xff", output).error() == Errc::invalid_utf8_in_close_reason);
    CHECK(output.empty());
    CHECK(protocol.may_send());
    REQUIRE(protocol.close(CloseCode::normal, std::string(123, 'x'), output));
    CHECK(frames_in(endpoint.take_output()) == Strings{close_frame(CloseCode::normal, std::string(123, 'x'))});
}

TEST_CASE("a server accepts exactly the valid close codes", "[protocol][rfc6455-7.4][autobahn-7.7][autobahn-7.9]") {
    std::size_t wrong = 0, accepted = 0;
    for (unsigned code = 0; code <= 0xFFFF; ++code) {
        Endpoint<Role::server> server;
        const auto payload = close_payload(static_cast<std::uint16_t>(code));
        server.receive(frame_to<Role::server>(0x88, payload));
        const bool good = may_be_sent(CloseCode{static_cast<std::uint16_t>(code)});
        accepted += good;
        const auto event = good ? "close " + std::to_string(code) : failed(Errc::invalid_close_code);
        const auto reply = good ? "88 " + hex(payload) : failing_close(Errc::invalid_close_code);
        if (server.events() != Strings{event} || frames_in(server.take_output()) != Strings{reply}) {
            ++wrong;
            UNSCOPED_INFO(code);
        }
    }
    CHECK(wrong == 0);
    CHECK(accepted == 2012);
}

FOR_BOTH_ROLES("the end of the stream finishes the connection without a Close", "[protocol][rfc6455-7.1.5]") {
    const auto before =
        GENERATE(as<std::string>{}, "nothing", "part of a header", "part of a payload", "part of a message");
    Endpoint<role> endpoint;
    const auto frame = frame_to<role>(0x81, "cut");
    if (before == "part of a header") endpoint.receive(Bytes{frame}.first(1));
    if (before == "part of a payload") endpoint.receive(Bytes{frame}.first(frame.size() - 1));
    if (before == "part of a message") endpoint.receive(frame_to<role>(0x01, "cut"));
    endpoint.protocol().receive_eof();
    CAPTURE(before);
    MutableBytes nothing;
    CHECK_FALSE(endpoint.protocol().next_event(nothing, endpoint.output()));
    CHECK(endpoint.output().empty());
    CHECK(endpoint.protocol().finished());
    CHECK_FALSE(endpoint.protocol().failed());
    CHECK_FALSE(endpoint.protocol().may_send());
    CHECK(endpoint.protocol().close_code() == CloseCode::abnormal);
    CHECK(endpoint.protocol().send(Text{"x"}, endpoint.output()).error() == Errc::connection_closed);
}
