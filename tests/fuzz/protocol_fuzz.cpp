// Protocol in both roles over any bytes and over frames that are nearly right: cuts make no difference, limits hold,
// and what it puts out is accepted by the other role.
#include <cstring>
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "wsserver/protocol/protocol.hpp"

using namespace wsserver;
using fuzz::FuzzInput;
using fuzz::require;
using ByteVector = std::vector<std::uint8_t>;

namespace {

struct Keys final : MaskingKeySource {
    MaskingKey key{1, 2, 3, 4};
    MaskingKey next_key() noexcept override {
        for (auto& byte : key) byte = static_cast<std::uint8_t>(byte * 5 + 7);
        return key;
    }
};

struct Seen {
    std::size_t kind;
    ByteVector payload;
    bool operator==(const Seen&) const = default;
};

struct Transcript {
    std::vector<Seen> events{};
    ByteVector output{};
    bool operator==(const Transcript&) const = default;
};

ByteVector copy_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

/// What of an event must hold whatever came; and what of it two runs must have in common.
Seen judge(const Event& event, const ProtocolOptions& options) {
    Bytes payload;
    std::visit(overloaded{
                   [&](const Text& m) {
                       payload = m.payload();
                       require(is_valid_utf8(payload), "a text is UTF-8");
                       require(payload.size() <= options.max_message, "a text within its limit");
                   },
                   [&](const Binary& m) {
                       payload = m.payload();
                       require(payload.size() <= options.max_message, "a binary within its limit");
                   },
                   [&](const Close& m) {
                       payload = bytes_of(m.reason);
                       require(m.code == CloseCode::no_status || may_be_sent(m.code), "a code that may be sent");
                       require(payload.size() <= max_close_reason, "a reason within its limit");
                       require(is_valid_utf8(payload), "a reason is UTF-8");
                   },
                   [&](const Ping& m) { payload = m.payload; },
                   [&](const Pong& m) { payload = m.payload; },
                   [&](const Failed& m) { payload = bytes_of(message_of(m.error)); },
               },
               event);
    if (event.index() >= 3) require(payload.size() <= max_control_payload, "a control frame within its limit");
    return {event.index(), copy_of(payload)};
}

template <Role role>
Transcript play(const ByteVector& stream, FuzzInput cuts, bool cut, ProtocolOptions options) {
    Keys keys;
    options.keys = &keys;
    Protocol<role> protocol{options};
    OutputBuffer output;
    Transcript transcript;
    bool ended = false;
    Bytes rest{stream};
    do {
        const std::size_t count = cut ? std::min(rest.size(), cuts.below(cuts.flag() ? 4 : 300)) : rest.size();
        // Out of decisions: the rest at once.
        const fuzz::ExactCopy piece{rest.first(cuts.empty() ? rest.size() : count)};
        rest = rest.subspan(piece.bytes().size());
        MutableBytes received = piece.bytes();
        while (const auto event = protocol.next_event(received, output)) {
            require(!ended, "nothing after the last event");
            ended = std::holds_alternative<Failed>(*event) || std::holds_alternative<Close>(*event);
            transcript.events.push_back(judge(*event, options));
            if (const auto* text = std::get_if<Text>(&*event)) require(bool{protocol.send(*text, output)}, "sent");
            if (const auto* binary = std::get_if<Binary>(&*event)) {
                require(bool{protocol.send(*binary, output)}, "sent");
            }
        }
        require(ended == protocol.finished(), "finished is after the last event");
        require(ended == protocol.close_sent(), "a Close goes with the last event");
    } while (!rest.empty());
    transcript.output = copy_of(output.bytes());
    return transcript;
}

/// What one role puts out is what the other accepts: the echo of each message, a pong for each ping, a Close if any.
template <Role role>
void check_output(const Transcript& transcript, ProtocolOptions options) {
    Keys keys;
    options.keys = &keys;
    options.max_fragments = 1'000'000;
    Protocol<role == Role::server ? Role::client : Role::server> peer{options};
    OutputBuffer output;
    const fuzz::ExactCopy copy{transcript.output};
    MutableBytes received = copy.bytes();
    for (const auto& seen : transcript.events) {
        if (seen.kind == 4) continue;  // a pong is not answered
        const auto event = peer.next_event(received, output);
        require(event.has_value(), "an answer to each");
        const std::size_t expected = seen.kind == 3 ? 4 : seen.kind == 5 ? 2 : seen.kind;
        require(event->index() == expected, "the answer that fits");
        if (expected != 2) require(judge(*event, options).payload == seen.payload, "the same payload");
    }
    require(!peer.next_event(received, output).has_value(), "no answer to nothing");
    require(!peer.failed(), "our output breaks no rule");
}

template <Role role>
void check(const ByteVector& stream, FuzzInput cuts, const ProtocolOptions& options) {
    const auto whole = play<role>(stream, FuzzInput{{}}, false, options);
    require(play<role>(stream, cuts, true, options) == whole, "cuts make no difference");
    check_output<role>(whole, options);
}

/// Frames that are nearly right, told by decisions: random bytes alone seldom get beyond the first frame.
ByteVector frames(FuzzInput& input, bool masked) {
    static constexpr std::uint8_t firsts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x00, 0x80,
                                              0x89, 0x8a, 0x89, 0x8a, 0x88, 0x81, 0x82, 0x89};
    static constexpr std::string_view texts[] = {"plain ASCII",
                                                 "\xce\xba\xe1\xbd\xb9",
                                                 "\xf0\x9f\x98\x80",
                                                 "\xe2\x82",
                                                 "\xac",
                                                 "\xf4\x90",
                                                 "\x03\xe8",
                                                 "\x03\xe8"
                                                 "bye",
                                                 "\x03\xed",
                                                 "",
                                                 "\xed\xa0\x80",
                                                 "x"};
    ByteVector stream;
    OutputBuffer output;
    while (!input.empty()) {
        const std::uint8_t way = input.byte();
        FrameHeader header;
        header.opcode = Opcode::binary;
        if (masked != (way == 0xFE)) {
            header.masking_key = MaskingKey{input.byte(), input.byte(), way, 0x77};
        }
        const std::string_view text = texts[input.byte() % std::size(texts)];
        ByteVector payload = (way & 0x30) ? copy_of(bytes_of(text)) : copy_of(input.take(input.byte()));
        if (way == 0xFC) payload.resize(65'530 + input.below(12));
        if ((way & 0xC0) == 0xC0) payload.resize(payload.size() + input.below(400), 'z');
        header.payload_length = payload.size();
        append_frame(output, header, payload);
        if (way == 0xFD) {  // a length of 64 bits, whatever it may be
            output.bytes()[1] |= 0x7F;
            for (const auto byte : input.take(8)) output.append({&byte, 1});
        }
        output.bytes()[0] = way == 0xFF ? input.byte() : firsts[way & 0xF];
        stream.insert(stream.end(), output.bytes().begin(), output.bytes().end());
        output.clear();
    }
    return stream;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    const bool server = input.flag(), raw = input.byte() % 8 == 0;
    ProtocolOptions options;  // limits that short inputs reach
    options.max_message = input.flag() ? 100 : 100'000;
    options.max_fragments = input.flag() ? 4 : 1000;
    options.fragment_size = input.byte();
    const FuzzInput cuts{input.take(40)};
    const auto stream = raw ? copy_of(input.rest()) : frames(input, server);
    if (server) {
        check<Role::server>(stream, cuts, options);
    } else {
        check<Role::client>(stream, cuts, options);
    }
    return 0;
}
