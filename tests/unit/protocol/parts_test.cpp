// Messages that are received and sent in pieces (Part), so that none is kept whole.
#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/byte_script.hpp"
#include "support/transcript.hpp"
#include "wsserver/protocol/protocol.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

/// Receives in parts and puts the messages together again: its events are those of an endpoint that collects them.
template <Role role>
class Joining {
   public:
    explicit Joining(ProtocolOptions options = {}) : endpoint_(options, false) { endpoint_.protocol().deliver_parts(); }

    void receive(Bytes bytes) {
        std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
        MutableBytes rest{copy};
        while (const auto event = endpoint_.protocol().next_event(rest, endpoint_.output())) {
            const auto* part = std::get_if<Part>(&*event);
            if (part == nullptr) {
                events_.push_back(to_string(*event));
                continue;
            }
            CHECK(part->first == !within_);
            CHECK((!part->bytes.empty() || part->last));
            within_ = !part->last;
            message_ += text_of(part->bytes);
            if (within_) continue;
            const std::string whole = std::exchange(message_, {});
            const bool is_text = part->opcode == Opcode::text;
            events_.push_back(is_text ? to_string(Text{whole}) : to_string(Binary{bytes_of(whole)}));
        }
    }
    Transcript transcript() { return {events_, endpoint_.take_output()}; }

   private:
    Endpoint<role> endpoint_;
    std::string message_;
    bool within_ = false;
    Strings events_;
};

template <Role role>
Transcript play_joined(const ByteVector& script, std::size_t first_cut, std::size_t second_cut) {
    Joining<role> joining;
    joining.receive(Bytes{script}.first(first_cut));
    joining.receive(Bytes{script}.subspan(first_cut, second_cut - first_cut));
    joining.receive(Bytes{script}.subspan(second_cut));
    return joining.transcript();
}

template <Role role>
Transcript play_collected(const ByteVector& script) {
    Endpoint<role> endpoint{{}, false};
    endpoint.receive(script);
    return {endpoint.events(), endpoint.take_output()};
}

/// The same at every two cuts as without parts.
template <Role role>
void check_every_cut(const ByteVector& script) {
    const Transcript expected = play_collected<role>(script);
    for (std::size_t first = 0; first <= script.size(); ++first) {
        for (std::size_t second = first; second <= script.size(); ++second) {
            CAPTURE(hex(script), first, second);
            REQUIRE(play_joined<role>(script, first, second) == expected);
        }
    }
}

template <Role role>
Strings parts_of(const std::vector<ByteVector>& received, ProtocolOptions options = {}) {
    Endpoint<role> endpoint{options, false};
    endpoint.protocol().deliver_parts();
    for (const auto& piece : received) endpoint.receive(piece);
    return endpoint.events();
}

}  // namespace

FOR_BOTH_ROLES("a short message is one part, which is its first and its last", "[parts]") {
    CHECK(parts_of<role>(
              {joined(frame_to<role>(0x81, "hello"), frame_to<role>(0x82, "\x01"), frame_to<role>(0x81, ""))}) ==
          Strings{"part first and last hello", "part first and last 01", "part first and last"});
}

FOR_BOTH_ROLES("each piece of a message is a part as it arrives", "[parts][rfc6455-5.4]") {
    const ByteVector frame = frame_to<role>(0x01, "Hello");
    const std::size_t cut = frame.size() - 2;
    const ByteVector begin(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(cut));
    const ByteVector rest(frame.begin() + static_cast<std::ptrdiff_t>(cut), frame.end());
    CHECK(parts_of<role>({begin, rest, frame_to<role>(0x00, " "), frame_to<role>(0x80, "world")}) ==
          Strings{"part first Hel", "part lo", "part  ", "part last world"});
}

FOR_BOTH_ROLES("an empty piece is left out, unless the message ends", "[parts][rfc6455-5.4]") {
    const auto frames = joined(frame_to<role>(0x02, ""), frame_to<role>(0x00, ""), frame_to<role>(0x00, "a"),
                               frame_to<role>(0x00, ""), frame_to<role>(0x80, ""));
    CHECK(parts_of<role>({frames}) == Strings{"part first a", "part last"});
    CHECK(parts_of<role>({joined(frame_to<role>(0x02, ""), frame_to<role>(0x80, ""))}) ==
          Strings{"part first and last"});
}

FOR_BOTH_ROLES("parts have the same events at every cut as whole messages", "[parts][every-cut]") {
    check_every_cut<role>(joined(frame_to<role>(0x01, "k\xce"), frame_to<role>(0x89, "1"), frame_to<role>(0x00, "\xba"),
                                 frame_to<role>(0x8A, ""), frame_to<role>(0x80, ""), frame_to<role>(0x82, "bin"),
                                 frame_to<role>(0x88, "\x03\xe8")));
}

FOR_BOTH_ROLES("violations within parts have the same result at every cut", "[parts][every-cut]") {
    const auto begun = frame_to<role>(0x01, "a");
    check_every_cut<role>(joined(begun, frame_to<role>(0x81, "b")));                            // not continued
    check_every_cut<role>(joined(begun, frame_to<role>(0x80, ""), frame_to<role>(0x80, "c")));  // nothing to continue
    check_every_cut<role>(joined(begun, frame_to<role>(0x80, "\xce")));                         // within a character
    check_every_cut<role>(joined(begun, frame_to<role>(0x00, "\xce"), frame_to<role>(0x80, "x")));  // not UTF-8
    check_every_cut<role>(joined(begun, frame_to<role>(0xC0, "b")));                                // RSV1
}

FOR_BOTH_ROLES("characters may be cut everywhere, across frames and receives", "[parts][every-cut][rfc6455-8.1]") {
    const std::string text = "a\xc2\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        check_every_cut<role>(
            joined(frame_to<role>(0x01, text.substr(0, cut)), frame_to<role>(0x80, text.substr(cut))));
    }
}

FOR_BOTH_ROLES("a part that is not UTF-8 fails at once, and what was before it is delivered", "[parts][rfc6455-8.1]") {
    const auto invalid = failed(Errc::invalid_utf8);
    CHECK(parts_of<role>({frame_to<role>(0x01, "good"), frame_to<role>(0x00, "\xed\xa0")}) ==
          Strings{"part first good", invalid});
    auto frame = frame_to<role>(0x81, std::string("ok\xff") + std::string(100, 'x'));
    frame.resize(frame.size() - 90);
    CHECK(parts_of<role>({frame}) == Strings{invalid});
}

FOR_BOTH_ROLES("the limits count the whole message", "[parts][rfc6455-10.4]") {
    ProtocolOptions options;
    options.max_message = 5;
    CHECK(parts_of<role>({frame_to<role>(0x02, "123"), frame_to<role>(0x80, "45"), frame_to<role>(0x82, "6")},
                         options) == Strings{"part first 123", "part last 45", "part first and last 6"});
    CHECK(parts_of<role>({frame_to<role>(0x02, "123"), frame_to<role>(0x80, "456")}, options) ==
          Strings{"part first 123", failed(Errc::message_too_big)});
}

FOR_BOTH_ROLES("parts may be in any number of frames, as nothing of them is kept", "[parts][rfc6455-10.4]") {
    ProtocolOptions options;
    options.max_fragments = 2;
    const auto more = frame_to<role>(0x00, "2");
    CHECK(parts_of<role>({frame_to<role>(0x02, "1"), more, more, frame_to<role>(0x80, "3")}, options) ==
          Strings{"part first 1", "part 2", "part 2", "part last 3"});
}

FOR_BOTH_ROLES("a message that is skipped is checked and makes no more events", "[parts]") {
    Endpoint<role> endpoint{{}, false};
    endpoint.protocol().deliver_parts();
    const auto skip_after = [&](const auto& frame) {
        endpoint.receive(frame);
        endpoint.protocol().skip_message();
    };
    skip_after(frame_to<role>(0x01, "first"));
    endpoint.receive(frame_to<role>(0x00, "second"));
    endpoint.receive(frame_to<role>(0x89, "ping"));
    endpoint.receive(frame_to<role>(0x80, "last"));
    CHECK(endpoint.take_events_seen() == Strings{"part first first", "ping ping"});
    CHECK_FALSE(endpoint.protocol().is_within_message());
    skip_after(frame_to<role>(0x81, "whole"));
    endpoint.receive(frame_to<role>(0x01, "a"));
    skip_after(frame_to<role>(0x80, "b"));
    skip_after(frame_to<role>(0x01, "c"));
    endpoint.receive(frame_to<role>(0x00, "\xff"));
    CHECK(endpoint.take_events_seen() == Strings{"part first and last whole", "part first a", "part last b",
                                                 "part first c", failed(Errc::invalid_utf8)});
}

FOR_BOTH_ROLES("is_within_message() knows parts", "[parts]") {
    Endpoint<role> endpoint{{}, false};
    endpoint.protocol().deliver_parts();
    const auto within = [&] { return endpoint.protocol().is_within_message(); };
    endpoint.receive(frame_to<role>(0x01, ""));
    CHECK(within());
    endpoint.receive(frame_to<role>(0x00, "a"));
    CHECK(within());
    endpoint.receive(frame_to<role>(0x80, ""));
    CHECK_FALSE(within());
    CHECK(endpoint.protocol().held() == 0);
}

FOR_BOTH_ROLES("a message in parts needs the same memory whatever its size", "[parts]") {
    ProtocolOptions options;
    options.max_message = std::size_t{1} << 40;
    MemoryAccount account;
    options.memory = &account;
    CountingKeys keys;
    options.keys = &keys;
    Protocol<role> protocol{options};
    protocol.deliver_parts();
    OutputBuffer output;
    std::string chunk(std::size_t{1} << 20, 'x');
    // A frame of 1 GiB, of which each MiB arrives at the same place.
    auto header = byte_script(role == Role::server ? "82 ff 00 00 00 00 40 00 00 00 00 00 00 00"
                                                   : "82 7f 00 00 00 00 40 00 00 00");
    MutableBytes rest{header};
    REQUIRE_FALSE(protocol.next_event(rest, output));
    std::size_t bytes = 0, most_in_use = 0;
    const std::size_t before = bytes_in_use;
    for (int i = 0; i < 1024; ++i) {
        rest = {reinterpret_cast<std::uint8_t*>(chunk.data()), chunk.size()};
        const auto event = protocol.next_event(rest, output);
        const auto* part = event ? std::get_if<Part>(&*event) : nullptr;
        REQUIRE(part != nullptr);
        REQUIRE(part->last == (i == 1023));
        bytes += part->bytes.size();
        most_in_use = std::max<std::size_t>(most_in_use, bytes_in_use);
    }
    CHECK(bytes == std::size_t{1} << 30);
    CHECK(most_in_use <= before + 1'000);
    CHECK(account.read() == 0);
    CHECK_FALSE(protocol.wants_buffer());
}

FOR_BOTH_ROLES("memory that runs out within parts is reported, and the protocol can be destroyed", "[parts]") {
    const auto script = joined(frame_to<role>(0x01, "a"), frame_to<role>(0x89, "ping"), frame_to<role>(0x80, "b"));
    std::size_t failed_at = 0;
    for (std::size_t number = 1;; ++number) {
        Endpoint<role> endpoint{{}, false};
        endpoint.protocol().deliver_parts();
        bool thrown = false;
        {
            auto copy = script;
            MutableBytes rest{copy};
            const AllocationsMayFail here;
            AllocationFailures::from(number, 1);
            try {
                while (endpoint.protocol().next_event(rest, endpoint.output())) {
                }
            } catch (const std::bad_alloc&) {
                thrown = true;
            }
            AllocationFailures::none();
        }
        if (!thrown) break;
        failed_at = number;
    }
    CHECK(failed_at >= 1);
}

TEST_CASE("parts are sent as the fragments of one message", "[parts][rfc6455-5.4]") {
    Endpoint<Role::server> server;
    auto& protocol = server.protocol();
    REQUIRE(protocol.send(Part{Opcode::text, bytes_of("Hel"), true, false}, server.output()));
    REQUIRE(protocol.ping(bytes_of("p"), server.output()));
    REQUIRE(protocol.send(Part{Opcode::text, bytes_of("lo"), false, false}, server.output()));
    REQUIRE(protocol.send(Part{Opcode::text, {}, false, true}, server.output()));
    REQUIRE(protocol.send(Part{Opcode::binary, bytes_of("\x01"), true, true}, server.output()));
    CHECK(hex(server.take_output()) == "01 03 48 65 6c 89 01 70 00 02 6c 6f 80 00 82 01 01");
}

TEST_CASE("a part over fragment_size is sent in several frames", "[parts]") {
    ProtocolOptions options;
    options.fragment_size = 2;
    Endpoint<Role::server> server{options};
    REQUIRE(server.protocol().send(Part{Opcode::binary, bytes_of("abc"), true, false}, server.output()));
    REQUIRE(server.protocol().send(Part{Opcode::binary, bytes_of("def"), false, true}, server.output()));
    CHECK(frames_in(server.take_output()) == Strings{"02 ab", "00 c", "00 de", "80 f"});
}

FOR_BOTH_ROLES("parts that are passed on arrive as the same message", "[parts]") {
    constexpr Role other = role == Role::server ? Role::client : Role::server;
    Endpoint<role> relay{{}, false};
    relay.protocol().deliver_parts();
    Endpoint<other> peer{{}, false};
    auto received = joined(frame_to<role>(0x01, "Hel"), frame_to<role>(0x00, ""), frame_to<role>(0x80, "lo"));
    MutableBytes rest{received};
    while (const auto event = relay.protocol().next_event(rest, relay.output())) {
        REQUIRE(relay.protocol().send(*std::get_if<Part>(&*event), relay.output()));
    }
    peer.receive(relay.take_output());
    CHECK(peer.events() == Strings{"text Hello"});
    REQUIRE(relay.protocol().close(CloseCode::normal, {}, relay.output()));
    CHECK_FALSE(relay.protocol().send(Part{Opcode::text, {}, true, true}, relay.output()));
}
