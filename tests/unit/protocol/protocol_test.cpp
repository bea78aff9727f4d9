#include "wsserver/protocol/protocol.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "support/byte_script.hpp"
#include "support/transcript.hpp"

using namespace wsserver;
using namespace wsserver::test;

TEST_CASE("a text in a single frame is received and sent", "[protocol][rfc6455-5.7]") {
    SECTION("masked, to a server") {
        Endpoint<Role::server> server;
        server.receive(byte_script("81 85 37 fa 21 3d 7f 9f 4d 51 58"));
        CHECK(server.events() == Strings{"text Hello"});
        CHECK(server.take_output() == byte_script("81 05 48 65 6c 6c 6f"));
    }
    SECTION("unmasked, to a client") {
        Endpoint<Role::client> client{{}, false};
        client.receive(byte_script("81 05 48 65 6c 6c 6f"));
        CHECK(client.events() == Strings{"text Hello"});
    }
    SECTION("sent by a client") {
        struct RfcKey final : MaskingKeySource {
            MaskingKey next_key() noexcept override { return {0x37, 0xfa, 0x21, 0x3d}; }
        } key;
        ProtocolOptions options;
        options.keys = &key;
        Protocol<Role::client> client{options};
        OutputBuffer output;
        REQUIRE(client.send(Text{"Hello"}, output));
        CHECK(hex(output.bytes()) == "81 85 37 fa 21 3d 7f 9f 4d 51 58");
    }
}

TEST_CASE("an unmasked fragmented text is received", "[protocol][rfc6455-5.7]") {
    Endpoint<Role::client> client{{}, false};
    client.receive(
        byte_script("01 03 48 65 6c   # Hel\n"
                    "80 02 6c 6f      # lo"));
    CHECK(client.events() == Strings{"text Hello"});
}

TEST_CASE("an unmasked ping is answered with a masked pong", "[protocol][rfc6455-5.7]") {
    Endpoint<Role::client> client;
    client.receive(byte_script("89 05 48 65 6c 6c 6f"));
    CHECK(client.events() == Strings{"ping Hello"});
    CHECK(frames_in(client.take_output()) == Strings{"8a 48 65 6c 6c 6f"});

    Endpoint<Role::server> server;
    server.receive(byte_script("8a 85 37 fa 21 3d 7f 9f 4d 51 58"));
    CHECK(server.events() == Strings{"pong Hello"});
    CHECK(server.take_output().empty());
}

TEST_CASE("256 bytes and 64 KiB are received and sent in single unmasked frames", "[protocol][rfc6455-5.7]") {
    Endpoint<Role::client> client{{}, false};
    client.receive(byte_script("82 7e 01 00 ab*256"));
    client.receive(byte_script("82 7f 00 00 00 00 00 01 00 00 cd*65536"));
    CHECK(client.events() == Strings{"binary " + hex(byte_script("ab*256")), "binary " + hex(byte_script("cd*65536"))});

    ProtocolOptions options;
    Protocol<Role::server> server{options};
    OutputBuffer output;
    REQUIRE(server.send(Binary{byte_script("ab*256")}, output));
    REQUIRE(server.send(Binary{byte_script("cd*65536")}, output));
    CHECK(hex(output.bytes()) == hex(byte_script("82 7e 01 00 ab*256 82 7f 00 00 00 00 00 01 00 00 cd*65536")));
}

FOR_BOTH_ROLES("several frames may arrive in one receive", "[protocol][rfc6455-5.4]") {
    Endpoint<role> endpoint;
    endpoint.receive(joined(frame_to<role>(0x81, "one"), frame_to<role>(0x89, "p"), frame_to<role>(0x82, "two"),
                            frame_to<role>(0x8A, ""), frame_to<role>(0x81, "")));
    CHECK(endpoint.events() == Strings{"text one", "ping p", "binary two", "pong", "text"});
    CHECK(frames_in(endpoint.take_output()) == Strings{"81 one", "8a 70", "82 two", "81"});
}

FOR_BOTH_ROLES("control frames may arrive between fragments", "[protocol][rfc6455-5.4][rfc6455-5.5]") {
    Endpoint<role> endpoint;
    endpoint.receive(frame_to<role>(0x01, "a"));
    endpoint.receive(frame_to<role>(0x89, "1"));
    endpoint.receive(frame_to<role>(0x00, "b"));
    endpoint.receive(joined(frame_to<role>(0x89, "2"), frame_to<role>(0x8A, "3"), frame_to<role>(0x00, "")));
    endpoint.receive(frame_to<role>(0x80, "c"));
    CHECK(endpoint.events() == Strings{"ping 1", "ping 2", "pong 3", "text abc"});
    CHECK(frames_in(endpoint.take_output()) == Strings{"8a 31", "8a 32", "81 abc"});
}

FOR_BOTH_ROLES("empty fragments make an empty message", "[protocol][rfc6455-5.4]") {
    Endpoint<role> endpoint;
    endpoint.receive(joined(frame_to<role>(0x02, ""), frame_to<role>(0x00, ""), frame_to<role>(0x80, "")));
    CHECK(endpoint.events() == Strings{"binary"});
    endpoint.receive(frame_to<role>(0x81, "next"));
    CHECK(endpoint.events().back() == "text next");
}

FOR_BOTH_ROLES("a message in one piece is a view of the received bytes", "[protocol]") {
    auto received = joined(frame_to<role>(0x81, "first"), frame_to<role>(0x82, "second"), frame_to<role>(0x89, "ping"));
    ProtocolOptions options;
    CountingKeys keys;
    options.keys = &keys;
    Protocol<role> protocol{options};
    OutputBuffer output;
    MutableBytes rest{received};
    for (int i = 0; i < 3; ++i) {
        const auto event = protocol.next_event(rest, output);
        REQUIRE(event);
        const Bytes payload = std::visit(
            overloaded{[](const Text& m) { return m.payload(); }, [](const Binary& m) { return m.payload(); },
                       [](const Ping& m) { return m.payload; }, [](const auto&) { return Bytes{}; }},
            *event);
        REQUIRE_FALSE(payload.empty());
        CHECK(payload.data() >= received.data());
        CHECK(payload.data() + payload.size() <= received.data() + received.size());
    }
}

FOR_BOTH_ROLES("the rest of a large message may be received into it", "[protocol]") {
    const std::string payload = GENERATE(true, false) ? std::string(500'000, 'x') : std::string(70'000, 'y');
    const std::size_t step = GENERATE(1000U, 65'536U, 1'000'000U);
    auto wire = joined(frame_to<role>(0x01, payload), frame_to<role>(0x89, "p"), frame_to<role>(0x80, payload),
                       frame_to<role>(0x81, "next"));
    ProtocolOptions options;
    CountingKeys keys;
    options.keys = &keys;
    Protocol<role> protocol{options};
    OutputBuffer output;
    Strings events;
    std::size_t direct = 0;
    MutableBytes rest{wire};
    const auto take = [&](std::size_t most) {
        const MutableBytes piece = rest.first(std::min(most, rest.size()));
        rest = rest.subspan(piece.size());
        return piece;
    };
    while (!rest.empty()) {
        MutableBytes received;
        if (protocol.wants_buffer()) {
            ReceiveBuffer buffer = protocol.prepare_buffer();
            const MutableBytes piece = take(std::min(step, buffer.size));
            std::memcpy(buffer.bytes().data(), piece.data(), piece.size());
            direct += piece.size();
            received = protocol.commit_buffer(std::move(buffer), piece.size());
        } else {
            received = take(10'000);
        }
        while (const auto event = protocol.next_event(received, output)) {
            const auto* text = std::get_if<Text>(&*event);
            events.push_back(text == nullptr ? "other" : text->text.size() > 9 ? "long" : std::string{text->text});
            if (events.back() == "long") CHECK((text->text == payload + payload));
        }
    }
    CHECK(events == Strings{"other", "long", "next"});
    CHECK((direct > payload.size()) == (payload.size() == 500'000));
}

FOR_BOTH_ROLES("prepare_buffer returns memory if wants_buffer is true", "[protocol]") {
    ProtocolOptions options;
    CountingKeys keys;
    options.keys = &keys;
    Protocol<role> protocol{options};
    OutputBuffer output;
    auto wire = frame_to<role>(0x82, std::string(500'000, 'x'));
    bool wanted_buffer = false;
    for (std::size_t at = 0; at < 10'000; at += 500) {
        MutableBytes received = MutableBytes{wire}.subspan(at, 500);
        CHECK_FALSE(protocol.next_event(received, output));
        if (!protocol.wants_buffer()) continue;
        wanted_buffer = true;
        ReceiveBuffer buffer = protocol.prepare_buffer();
        CHECK_FALSE(buffer.empty());
        CHECK(protocol.commit_buffer(std::move(buffer), 0).empty());
    }
    CHECK(wanted_buffer);
}

FOR_BOTH_ROLES("a text that is received into the message is checked piece by piece", "[protocol][rfc6455-8.1]") {
    ProtocolOptions options;
    CountingKeys keys;
    options.keys = &keys;
    Protocol<role> protocol{options};
    OutputBuffer output;
    auto wire = frame_to<role>(0x81, std::string(100'000, 'x') + '\xFF' + std::string(100'000, 'x'));
    MutableBytes received = MutableBytes{wire}.first(20'000);
    CHECK_FALSE(protocol.next_event(received, output));
    REQUIRE(protocol.wants_buffer());
    ReceiveBuffer buffer = protocol.prepare_buffer();
    std::memcpy(buffer.bytes().data(), wire.data() + 20'000, 100'000);
    received = protocol.commit_buffer(std::move(buffer), 100'000);
    const auto event = protocol.next_event(received, output);
    REQUIRE(event);
    CHECK(std::get<Failed>(*event).error == Errc::invalid_utf8);
    CHECK_FALSE(protocol.wants_buffer());
}

FOR_BOTH_ROLES("the stream may end before commit_buffer", "[protocol]") {
    ProtocolOptions options;
    Protocol<role> protocol{options};
    OutputBuffer output;
    auto wire = frame_to<role>(0x82, std::string(200'000, 'x'));
    MutableBytes received = MutableBytes{wire}.first(10'000);
    CHECK_FALSE(protocol.next_event(received, output));
    ReceiveBuffer buffer = protocol.prepare_buffer();
    REQUIRE_FALSE(buffer.empty());
    CHECK(protocol.held() > 9'900);  // also while the transport has the buffer
    CHECK(protocol.held() < 10'000);
    protocol.receive_eof();
    received = protocol.commit_buffer(std::move(buffer), 500);
    CHECK(received.empty());
    CHECK_FALSE(protocol.next_event(received, output));
}

FOR_BOTH_ROLES("empty receives change nothing", "[protocol]") {
    Endpoint<role> endpoint;
    endpoint.receive({});
    const auto frame = frame_to<role>(0x81, "x");
    for (const auto byte : frame) {
        endpoint.receive({});
        endpoint.receive({&byte, 1});
    }
    endpoint.receive({});
    CHECK(endpoint.events() == Strings{"text x"});
}

namespace {

/// Messages, fragments and control frames of all kinds; ends with a Close and a late text.
template <Role role>
ByteVector long_script() {
    ByteVector kilobyte(1000);
    for (std::size_t i = 0; i < kilobyte.size(); ++i) kilobyte[i] = static_cast<std::uint8_t>(i * 7);
    return joined(frame_to<role>(0x81, "plain"), frame_to<role>(0x82, ""), frame_to<role>(0x89, "p1"),
                  frame_to<role>(0x01, byte_script("'k' ce")), frame_to<role>(0x89, byte_script("00*125")),
                  frame_to<role>(0x00, byte_script("ba e1 bd")), frame_to<role>(0x00, ""), frame_to<role>(0x8A, ""),
                  frame_to<role>(0x80, byte_script("b9 f0 9f 98 80")), frame_to<role>(0x82, byte_script("11*126")),
                  frame_to<role>(0x02, kilobyte), frame_to<role>(0x89, ""), frame_to<role>(0x80, kilobyte),
                  frame_to<role>(0x81, ""), frame_to<role>(0x88, close_payload(1000, "bye")),
                  frame_to<role>(0x81, "too late"));
}

}  // namespace

FOR_BOTH_ROLES("every cut gives the same events and output", "[protocol][every-cut]") {
    const auto script = long_script<role>();
    const auto whole = play<role>(script, {});
    REQUIRE(whole.events.size() == 11);
    CHECK(whole.events.front() == "text plain");
    CHECK(whole.events.back() == "close 1000 bye");

    std::size_t different = 0;
    for (std::size_t cut = 0; cut <= script.size(); ++cut) {
        if (play<role>(script, {cut}) != whole) ++different, UNSCOPED_INFO("cut after " << cut);
    }
    CHECK(different == 0);
    CHECK(play_byte_by_byte<role>(script) == whole);
}

FOR_BOTH_ROLES("random cuts give the same events and output", "[protocol][every-cut]") {
    const auto script = long_script<role>();
    const auto whole = play<role>(script, {});
    std::mt19937 random{20111211};
    for (int round = 0; round < 500; ++round) {
        std::vector<std::size_t> cuts;
        std::uniform_int_distribution<std::size_t> step{1, round % 2 ? 20u : 300u};
        for (std::size_t at = step(random); at < script.size(); at += step(random)) cuts.push_back(at);
        REQUIRE(play<role>(script, cuts) == whole);
    }
}

FOR_BOTH_ROLES("pings and pongs have at most 125 bytes", "[protocol][rfc6455-5.5]") {
    Endpoint<role> endpoint;
    auto& output = endpoint.output();
    const auto fits = byte_script("ab*125"), too_long = byte_script("ab*126");
    REQUIRE(endpoint.protocol().ping(fits, output));
    REQUIRE(endpoint.protocol().pong(fits, output));
    REQUIRE(endpoint.protocol().ping({}, output));
    CHECK(endpoint.protocol().ping(too_long, output).error() == Errc::payload_too_long_for_control);
    CHECK(endpoint.protocol().pong(too_long, output).error() == Errc::payload_too_long_for_control);
    CHECK(frames_in(endpoint.take_output()) == Strings{"89 " + hex(fits), "8a " + hex(fits), "89"});
}

FOR_BOTH_ROLES("long messages are sent in fragments", "[protocol][rfc6455-5.4]") {
    ProtocolOptions options;
    options.fragment_size = 4;
    Endpoint<role> endpoint{options};
    const auto sent = [&](std::string_view text) {
        REQUIRE(endpoint.protocol().send(Text{text}, endpoint.output()));
        return frames_in(endpoint.take_output());
    };
    CHECK(sent("") == Strings{"81"});
    CHECK(sent("abc") == Strings{"81 abc"});
    CHECK(sent("abcd") == Strings{"81 abcd"});
    CHECK(sent("abcde") == Strings{"01 abcd", "80 e"});
    CHECK(sent("abcdefgh") == Strings{"01 abcd", "80 efgh"});
    CHECK(sent("abcdefghi") == Strings{"01 abcd", "00 efgh", "80 i"});
    REQUIRE(endpoint.protocol().send(Binary{bytes_of("abcdefghi")}, endpoint.output()));
    CHECK(frames_in(endpoint.take_output()) == Strings{"02 abcd", "00 efgh", "80 i"});

    endpoint.options().fragment_size = 0;
    CHECK(sent(std::string(200'000, 'x')).size() == 1);
}

TEST_CASE("a client masks each frame with a new key", "[protocol][rfc6455-5.3]") {
    ProtocolOptions options;
    options.fragment_size = 2;
    Endpoint<Role::client> client{options};
    REQUIRE(client.protocol().send(Text{"abcdef"}, client.output()));
    client.receive(byte_script("89 01 'p'"));
    REQUIRE(client.protocol().close(CloseCode::normal, "", client.output()));
    std::vector<MaskingKey> keys;
    for (Bytes rest = client.output().bytes(); !rest.empty();) {
        const auto header = std::get<FrameHeader>(decode_header(rest));
        REQUIRE(header.masking_key);
        keys.push_back(*header.masking_key);
        rest = rest.subspan(header.size + static_cast<std::size_t>(header.payload_length));
    }
    CHECK(keys.size() == 5);
    CountingKeys expected;
    for (const auto& key : keys) CHECK(key == expected.next_key());
}

FOR_BOTH_ROLES("a tap observes every frame in both directions", "[protocol]") {
    struct Tap final : FrameTap {
        void on_frame(bool incoming, const FrameHeader& header) override {
            seen.push_back((incoming ? "< " : "> ") + std::to_string(static_cast<int>(header.opcode)) +
                           (header.fin ? " FIN " : " ") + std::to_string(header.payload_length) + "+" +
                           std::to_string(header.size));
        }
        Strings seen;
    } tap;
    ProtocolOptions options;
    options.tap = &tap;
    options.fragment_size = 3;
    Endpoint<role> endpoint{options};
    endpoint.receive(joined(frame_to<role>(0x01, "ab"), frame_to<role>(0x89, "p"), frame_to<role>(0x80, "cd"),
                            frame_to<role>(0xC1, "x")));
    const auto error = std::string{message_of(Errc::reserved_bits_set)};
    const bool server = role == Role::server;
    const std::string in = server ? "+6" : "+2", out = server ? "+2" : "+6";
    CHECK(tap.seen == Strings{"< 1 2" + in, "< 9 FIN 1" + in, "> 10 FIN 1" + out, "< 0 FIN 2" + in, "> 1 3" + out,
                              "> 0 FIN 1" + out, "< 1 FIN 1" + in,
                              "> 8 FIN " + std::to_string(error.size() + 2) + out});
}

TEST_CASE("a client and a server exchange random messages", "[protocol][pair]") {
    std::mt19937 random{6455};
    const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>{0, n - 1}(random); };
    std::size_t messages = 0;
    for (int round = 0; round < 200; ++round) {
        ProtocolOptions options;
        options.fragment_size = below(3) == 0 ? 0 : 1 + below(400);
        Endpoint<Role::server> server{options, false};
        Endpoint<Role::client> client{options, false};
        Strings to_server, to_client;
        ByteVector wire_to_server, wire_to_client;

        const auto speak = [&](auto& endpoint, Strings& expected) {
            std::string payload(below(2) ? below(20) : below(1500), ' ');
            for (auto& c : payload) c = static_cast<char>('a' + below(26));
            switch (below(3)) {
                case 0:
                    REQUIRE(endpoint.protocol().send(Text{payload}, endpoint.output()));
                    expected.push_back(to_string(Event{Text{payload}}));
                    break;
                case 1:
                    REQUIRE(endpoint.protocol().send(Binary{bytes_of(payload)}, endpoint.output()));
                    expected.push_back(to_string(Event{Binary{bytes_of(payload)}}));
                    break;
                default:
                    payload.resize(std::min<std::size_t>(payload.size(), 125));
                    REQUIRE(endpoint.protocol().pong(bytes_of(payload), endpoint.output()));
                    expected.push_back(to_string(Event{Pong{bytes_of(payload)}}));
            }
        };
        const auto carry = [&](auto& from, ByteVector& wire, auto& to, bool all) {
            wire = joined(wire, from.take_output());
            const std::size_t count = all ? wire.size() : below(wire.size() + 1);
            to.receive(Bytes{wire}.first(count));
            wire.erase(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(count));
        };
        for (int step = 0; step < 30; ++step) {
            if (below(2)) speak(client, to_server);
            if (below(2)) speak(server, to_client);
            carry(client, wire_to_server, server, false);
            carry(server, wire_to_client, client, false);
        }
        REQUIRE(client.protocol().close(CloseCode::normal, "done", client.output()));
        carry(client, wire_to_server, server, true);
        carry(server, wire_to_client, client, true);
        to_server.push_back("close 1000 done");
        to_client.push_back("close 1000");
        REQUIRE(server.events() == to_server);
        REQUIRE(client.events() == to_client);
        REQUIRE(server.protocol().finished());
        REQUIRE(client.protocol().finished());
        messages += to_server.size() + to_client.size();
    }
    CHECK(messages > 5000);
}
