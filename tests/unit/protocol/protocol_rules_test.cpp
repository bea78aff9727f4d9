#include "wsserver/protocol/protocol.hpp"

#include <map>
#include <string>
#include <vector>

#include "support/byte_script.hpp"
#include "support/transcript.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

struct Violation {
    Errc error;
    ByteVector frames;
    std::string name;
};

template <Role role>
std::vector<Violation> violations() {
    const auto f = [](std::uint8_t first, std::string_view script = "") {
        return frame_to<role>(first, byte_script(script));
    };
    const bool to_server = role == Role::server;
    const auto raw = [&](std::string_view masked, std::string_view plain) {
        return byte_script(to_server ? masked : plain);
    };
    return {
        {Errc::reserved_bits_set, f(0xC1, "'x'"), "RSV1"},
        {Errc::reserved_bits_set, f(0xA2, "'x'"), "RSV2"},
        {Errc::reserved_bits_set, f(0x91, "'x'"), "RSV3"},
        {Errc::reserved_bits_set, f(0xF1), "all reserved bits"},
        {Errc::reserved_bits_set, f(0xC8), "RSV1 in a Close"},
        {Errc::reserved_bits_set, f(0xA9), "RSV2 in a ping"},
        {Errc::reserved_bits_set, f(0x9A), "RSV3 in a pong"},
        {Errc::reserved_bits_set, joined(f(0x01), f(0xC0)), "RSV1 in a continuation"},
        {Errc::reserved_opcode, f(0x83), "opcode 3"},
        {Errc::reserved_opcode, f(0x84), "opcode 4"},
        {Errc::reserved_opcode, f(0x85), "opcode 5"},
        {Errc::reserved_opcode, f(0x86), "opcode 6"},
        {Errc::reserved_opcode, f(0x07, "'x'"), "opcode 7, a fragment"},
        {Errc::reserved_opcode, f(0x8B), "opcode 11"},
        {Errc::reserved_opcode, f(0x8C), "opcode 12"},
        {Errc::reserved_opcode, f(0x8D), "opcode 13"},
        {Errc::reserved_opcode, f(0x8E), "opcode 14"},
        {Errc::reserved_opcode, f(0x8F, "'x'"), "opcode 15"},
        {Errc::control_frame_fragmented, f(0x08), "a Close without FIN"},
        {Errc::control_frame_fragmented, f(0x09, "'x'"), "a ping without FIN"},
        {Errc::control_frame_fragmented, f(0x0A), "a pong without FIN"},
        {Errc::control_frame_too_long, f(0x89, "00*126"), "a ping of 126 bytes"},
        {Errc::control_frame_too_long, f(0x8A, "00*70000"), "a pong of 70000 bytes"},
        {Errc::control_frame_too_long, f(0x88, "03 e8 'x' 78*123"), "a Close with a reason of 124 bytes"},
        {Errc::length_not_minimal, raw("81 fe 00 7d 00 00 00 00", "81 7e 00 7d"), "125 in 16 bits"},
        {Errc::length_not_minimal, raw("82 ff 00 00 00 00 00 00 ff ff 00 00 00 00", "82 7f 00 00 00 00 00 00 ff ff"),
         "65535 in 64 bits"},
        {Errc::length_top_bit_set, raw("82 ff 80 00 00 00 00 00 00 00 00 00 00 00", "82 7f 80 00 00 00 00 00 00 00"),
         "2^63"},
        {Errc::length_top_bit_set, raw("82 ff ff ff ff ff ff ff ff ff 00 00 00 00", "82 7f ff ff ff ff ff ff ff ff"),
         "2^64 - 1"},
        {to_server ? Errc::frame_not_masked : Errc::frame_masked,
         raw("81 05 'Hello'", "81 85 37 fa 21 3d 7f 9f 4d 51 58"), "masking"},
        {to_server ? Errc::frame_not_masked : Errc::frame_masked, raw("89 00", "89 80 00 00 00 00"),
         "masking of a ping"},
        {to_server ? Errc::frame_not_masked : Errc::frame_masked, raw("88 00", "88 80 00 00 00 00"),
         "masking of a Close"},
        {Errc::unexpected_continuation, f(0x80, "'x'"), "a continuation with FIN before any message"},
        {Errc::unexpected_continuation, f(0x00), "a continuation without FIN before any message"},
        {Errc::unexpected_continuation, joined(f(0x01, "'x'"), f(0x80), f(0x80)), "a continuation after a message"},
        {Errc::expected_continuation, joined(f(0x01, "'x'"), f(0x81, "'y'")), "a text inside a text"},
        {Errc::expected_continuation, joined(f(0x02), f(0x89), f(0x01)), "a text inside a binary"},
        {Errc::expected_continuation, joined(f(0x02, "'x'"), f(0x00), f(0x82)), "a binary inside a binary"},
        {Errc::close_payload_of_one_byte, f(0x88, "03"), "half a close code"},
        {Errc::invalid_close_code, f(0x88, "03 ed"), "close code 1005"},
        {Errc::invalid_close_code, f(0x88, "00 00 'zero'"), "close code 0"},
        {Errc::invalid_utf8, f(0x81, "ff"), "an invalid text"},
        {Errc::invalid_utf8, f(0x81, "'x' e2 82"), "a text that ends within a character"},
        {Errc::invalid_utf8, joined(f(0x01, "e2"), f(0x80, "'x'")), "a character broken off between fragments"},
        {Errc::invalid_utf8, joined(f(0x01, "'x'"), f(0x00, "e2 82"), f(0x80)),
         "fragments that end within a character"},
        {Errc::invalid_utf8_in_close_reason, f(0x88, "03 e8 ff"), "an invalid reason"},
        {Errc::invalid_utf8_in_close_reason, f(0x88, "03 e8 'x' e2 82"), "a reason that ends within a character"},
    };
}

}  // namespace

FOR_BOTH_ROLES("a violation sends pending replies, then one Close, then nothing", "[protocol][rfc6455-7.1.7]") {
    for (const auto& violation : violations<role>()) {
        CAPTURE(violation.name);
        const auto script = joined(frame_to<role>(0x81, "owed"), frame_to<role>(0x89, "owed too"), violation.frames,
                                   frame_to<role>(0x89, "not owed"));
        Endpoint<role> endpoint;
        endpoint.receive(script);

        Strings events = endpoint.events();
        REQUIRE(events.size() >= 3);
        CHECK(events[0] == "text owed");
        CHECK(events.back() == failed(violation.error));

        Strings frames = frames_in(endpoint.take_output());
        REQUIRE(frames.size() >= 3);
        CHECK(frames[0] == "81 owed");
        CHECK(frames[1] == "8a 6f 77 65 64 20 74 6f 6f");
        CHECK(frames.back() == failing_close(violation.error));

        auto& protocol = endpoint.protocol();
        CHECK(protocol.failed());
        CHECK(protocol.finished());
        CHECK(protocol.close_sent());
        CHECK_FALSE(protocol.close_received());
        CHECK_FALSE(protocol.may_send());
        CHECK(protocol.close_code() == CloseCode::abnormal);  // §7.1.5: no Close frame was received
        CHECK(protocol.sent_close_code() == close_code_for(violation.error));

        endpoint.take_events_seen();
        endpoint.receive(joined(frame_to<role>(0x89, "later"), frame_to<role>(0x88, "")));
        CHECK(endpoint.events().empty());
        CHECK(endpoint.take_output().empty());
    }
}

FOR_BOTH_ROLES("every violation has the same result wherever it is cut", "[protocol][every-cut]") {
    for (const auto& violation : violations<role>()) {
        if (violation.frames.size() > 500) continue;
        CAPTURE(violation.name);
        const auto script = joined(frame_to<role>(0x81, "owed"), violation.frames, frame_to<role>(0x89, "not owed"));
        const auto whole = play<role>(script, {});
        std::size_t different = 0;
        for (std::size_t cut = 0; cut <= script.size(); ++cut) different += play<role>(script, {cut}) != whole;
        CHECK(different == 0);
        CHECK(play_byte_by_byte<role>(script) == whole);
    }
}

FOR_BOTH_ROLES("a violation after the endpoint's Close sends no second one", "[protocol][rfc6455-5.5.1]") {
    for (const auto& violation : violations<role>()) {
        CAPTURE(violation.name);
        Endpoint<role> endpoint;
        REQUIRE(endpoint.protocol().close(CloseCode::going_away, "", endpoint.output()));
        endpoint.take_output();
        endpoint.receive(violation.frames);
        CHECK(endpoint.events().back() == failed(violation.error));
        for (const auto& frame : frames_in(endpoint.take_output())) CHECK(frame.substr(0, 2) != "88");
        CHECK(endpoint.protocol().finished());
        CHECK(endpoint.protocol().sent_close_code() == CloseCode::going_away);
    }
}

TEST_CASE("a server accepts or refuses all 256 first bytes", "[protocol][rfc6455-5.2]") {
    for (unsigned first = 0; first < 256; ++first) {
        Endpoint<Role::server> server;
        server.receive(frame_to<Role::server>(static_cast<std::uint8_t>(first), ""));
        const unsigned opcode = first & 0xF;
        const bool fin = first & 0x80, rsv = first & 0x70;
        const bool reserved = (opcode > 2 && opcode < 8) || opcode > 0xA;
        std::string expected;
        if (reserved) {
            expected = failed(Errc::reserved_opcode);
        } else if (opcode >= 8 && !fin) {
            expected = failed(Errc::control_frame_fragmented);
        } else if (rsv) {
            expected = failed(Errc::reserved_bits_set);
        } else if (opcode == 0) {
            expected = failed(Errc::unexpected_continuation);
        } else if (fin) {
            expected = std::map<unsigned, std::string>{
                {1, "text"}, {2, "binary"}, {8, "close 1005"}, {9, "ping"}, {10, "pong"}}[opcode];
        }
        CAPTURE(first);
        CHECK(server.events() == (expected.empty() ? Strings{} : Strings{expected}));
    }
}

FOR_BOTH_ROLES("invalid UTF-8 fails before its frame is complete", "[protocol][rfc6455-8.1][autobahn-6.4]") {
    // One frame: a Greek word and F4, then 90, the first invalid byte. The rest does not arrive.
    const auto frame = frame_to<role>(0x81, byte_script("ce ba e1 bd b9 cf 83 ce bc ce b5 f4 90 80 80 'edited'"));
    const std::size_t before = frame.size() - 9;  // F4 is the last byte of these
    Endpoint<role> endpoint;
    endpoint.receive(Bytes{frame}.first(before));
    CHECK(endpoint.events().empty());
    endpoint.receive(Bytes{frame}.subspan(before, 1));
    CHECK(endpoint.events() == Strings{failed(Errc::invalid_utf8)});
    CHECK(frames_in(endpoint.take_output()) == Strings{failing_close(Errc::invalid_utf8)});
}

FOR_BOTH_ROLES("invalid UTF-8 fails before its message is complete", "[protocol][rfc6455-8.1][autobahn-6.4]") {
    Endpoint<role> endpoint;
    endpoint.receive(frame_to<role>(0x01, byte_script("ce ba e1 bd b9 cf 83 ce bc ce b5 f4")));
    CHECK(endpoint.events().empty());
    endpoint.receive(frame_to<role>(0x00, byte_script("90")));
    CHECK(endpoint.events() == Strings{failed(Errc::invalid_utf8)});
}

FOR_BOTH_ROLES("a text may have one byte per frame", "[protocol][rfc6455-8.1][autobahn-6.2]") {
    const auto text = byte_script("'Hello-' c2 b5 '@' c3 9f c3 b6 c3 a4 f0 9f 98 80 ef bf be '-UTF-8!!'");
    ByteVector script = frame_to<role>(0x01, Bytes{});
    for (const auto byte : text) script = joined(script, frame_to<role>(0x00, Bytes{&byte, 1}));
    Endpoint<role> endpoint;
    endpoint.receive(joined(script, frame_to<role>(0x80, "")));
    CHECK(endpoint.events() == Strings{"text " + std::string{text_of(text)}});
}

FOR_BOTH_ROLES("binary messages may contain any bytes", "[protocol][rfc6455-5.6]") {
    Endpoint<role> endpoint{{}, false};
    endpoint.receive(joined(frame_to<role>(0x82, byte_script("ff fe c0 80")), frame_to<role>(0x02, byte_script("f4")),
                            frame_to<role>(0x80, byte_script("90"))));
    CHECK(endpoint.events() == Strings{"binary ff fe c0 80", "binary f4 90"});
}

FOR_BOTH_ROLES("a message of max_message bytes is received, and one more byte fails at its header",
               "[protocol][rfc6455-10.4]") {
    ProtocolOptions options;
    options.max_message = 1000;
    Endpoint<role> fits{options, false};
    fits.receive(frame_to<role>(0x81, std::string(1000, 'x')));
    CHECK(fits.events() == Strings{"text " + std::string(1000, 'x')});

    Endpoint<role> endpoint{options};
    const auto frame = frame_to<role>(0x81, std::string(1001, 'x'));
    const std::size_t header = role == Role::server ? 8 : 4;
    endpoint.receive(Bytes{frame}.first(header - 1));
    CHECK(endpoint.events().empty());
    endpoint.receive(Bytes{frame}.subspan(header - 1, 1));
    CHECK(endpoint.events() == Strings{failed(Errc::message_too_big)});
    CHECK(frames_in(endpoint.take_output()) == Strings{failing_close(Errc::message_too_big)});
}

FOR_BOTH_ROLES("the fragments of a message count together towards max_message", "[protocol][rfc6455-10.4]") {
    ProtocolOptions options;
    options.max_message = 10;
    Endpoint<role> endpoint{options, false};
    for (int i = 0; i < 2; ++i) {  // each message counts for itself
        endpoint.receive(joined(frame_to<role>(0x01, "1234"), frame_to<role>(0x89, byte_script("00*125")),
                                frame_to<role>(0x00, "567890"), frame_to<role>(0x80, "")));
        CHECK(endpoint.take_events_seen().back() == "text 1234567890");
    }
    endpoint.receive(joined(frame_to<role>(0x01, "1234"), frame_to<role>(0x00, "56789")));
    CHECK(endpoint.events().empty());
    endpoint.receive(Bytes{frame_to<role>(0x80, "01")}.first(role == Role::server ? 6 : 2));
    CHECK(endpoint.events() == Strings{failed(Errc::message_too_big)});
}

FOR_BOTH_ROLES("a length that would overflow the message's size fails", "[protocol][rfc6455-10.4]") {
    const auto first = GENERATE(as<std::uint8_t>{}, 0x00, 0x80);
    const auto length = GENERATE(as<std::uint64_t>{}, (std::uint64_t{1} << 63) - 1, (std::uint64_t{1} << 63) - 10,
                                 std::uint64_t{1} << 32, (std::uint64_t{1} << 32) - 1);
    for (const std::size_t max_message : {std::size_t{10}, std::size_t{1} << 31}) {
        ProtocolOptions options;
        options.max_message = max_message;
        Endpoint<role> endpoint{options};
        endpoint.receive(frame_to<role>(0x02, "123456789"));
        FrameHeader header;
        header.payload_length = length;
        if (role == Role::server) header.masking_key = MaskingKey{};
        ByteVector bytes_of_header(header_size(length, role == Role::server));
        encode_header(bytes_of_header, header);
        bytes_of_header[0] = first;
        endpoint.receive(bytes_of_header);
        CHECK(endpoint.events() == Strings{failed(Errc::message_too_big)});
    }
}

FOR_BOTH_ROLES("a limit of zero allows empty messages", "[protocol]") {
    ProtocolOptions options;
    options.max_message = 0;
    Endpoint<role> endpoint{options};
    endpoint.receive(joined(frame_to<role>(0x81, ""), frame_to<role>(0x81, "x")));
    CHECK(endpoint.events() == Strings{"text", failed(Errc::message_too_big)});
}

FOR_BOTH_ROLES("a limit that is lowered applies to the message being received", "[protocol]") {
    Endpoint<role> endpoint;
    endpoint.receive(frame_to<role>(0x01, "123456"));
    endpoint.options().max_message = 3;
    endpoint.receive(frame_to<role>(0x80, ""));
    CHECK(endpoint.events() == Strings{failed(Errc::message_too_big)});
}

FOR_BOTH_ROLES("a message may have at most max_fragments frames", "[protocol][rfc6455-10.4]") {
    ProtocolOptions options;
    options.max_fragments = 3;
    Endpoint<role> endpoint{options, false};
    for (int i = 0; i < 2; ++i) {
        endpoint.receive(joined(frame_to<role>(0x01, "a"), frame_to<role>(0x89, ""), frame_to<role>(0x00, "b"),
                                frame_to<role>(0x80, "c")));
        CHECK(endpoint.take_events_seen().back() == "text abc");
    }
    endpoint.receive(joined(frame_to<role>(0x01, ""), frame_to<role>(0x00, ""), frame_to<role>(0x00, "")));
    CHECK(endpoint.events().empty());
    endpoint.receive(frame_to<role>(0x80, ""));
    CHECK(endpoint.events() == Strings{failed(Errc::too_many_fragments)});
    CHECK(frames_in(endpoint.take_output()).back() == failing_close(Errc::too_many_fragments));
}

FOR_BOTH_ROLES("the default limits allow 4 MiB in 65537 frames", "[protocol][autobahn-9.3.1]") {
    Endpoint<role> endpoint{{}, false};
    const std::string part(64, 'p');
    endpoint.receive(frame_to<role>(0x02, part));
    const auto frame = frame_to<role>(0x00, part);
    for (int i = 0; i < 65'535; ++i) endpoint.receive(frame);
    endpoint.receive(frame_to<role>(0x80, ""));
    REQUIRE(endpoint.events().size() == 1);
    CHECK(endpoint.events()[0].size() == std::string_view{"binary "}.size() + (4u << 20));
}
