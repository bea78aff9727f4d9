// Protocol in both roles with any bytes and with almost valid frames. Cuts do not change the result, limits hold, and
// the other role accepts the output.
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

/// Checks an event, and returns the part of it that must be equal in two runs.
Seen check_event(const Event& event, const ProtocolOptions& options) {
    Bytes payload;
    std::visit(overloaded{
                   [&](const Text& m) {
                       payload = m.payload();
                       require(is_valid_utf8(payload), "a text is UTF-8");
                       require(payload.size() <= options.max_message, "a text is within max_message");
                   },
                   [&](const Binary& m) {
                       payload = m.payload();
                       require(payload.size() <= options.max_message, "a binary message is within max_message");
                   },
                   [&](const Close& m) {
                       payload = bytes_of(m.reason);
                       require(m.code == CloseCode::no_status || may_be_sent(m.code), "a close code may be sent");
                       require(payload.size() <= max_close_reason, "a reason is within its limit");
                       require(is_valid_utf8(payload), "a reason is UTF-8");
                   },
                   [&](const Ping& m) { payload = m.payload; },
                   [&](const Pong& m) { payload = m.payload; },
                   [&](const Failed& m) { payload = bytes_of(message_of(m.error)); },
                   [&](const Part& m) { payload = m.bytes; },
               },
               event);
    if (event.index() >= 3) require(payload.size() <= max_control_payload, "a control frame is within its limit");
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
        // Without more decisions, the rest is one piece.
        const fuzz::ExactCopy piece{rest.first(cuts.empty() ? rest.size() : count)};
        rest = rest.subspan(piece.bytes().size());
        MutableBytes received = piece.bytes();
        while (const auto event = protocol.next_event(received, output)) {
            require(!ended, "no event after the last one");
            ended = std::holds_alternative<Failed>(*event) || std::holds_alternative<Close>(*event);
            transcript.events.push_back(check_event(*event, options));
            if (const auto* text = std::get_if<Text>(&*event)) {
                require(bool{protocol.send(*text, output)}, "a text is echoed");
            }
            if (const auto* binary = std::get_if<Binary>(&*event)) {
                require(bool{protocol.send(*binary, output)}, "a binary message is echoed");
            }
        }
        require(ended == protocol.finished(), "finished() is true after the last event");
        require(ended == protocol.close_sent(), "a Close is sent with the last event");
    } while (!rest.empty());
    transcript.output = copy_of(output.bytes());
    return transcript;
}

/// Receives in parts, and puts them together. Returns the same events as play().
template <Role role>
std::vector<Seen> play_parts(const ByteVector& stream, FuzzInput cuts, ProtocolOptions options) {
    Keys keys;
    options.keys = &keys;
    Protocol<role> protocol{options};
    protocol.deliver_parts();
    OutputBuffer output;
    std::vector<Seen> events;
    Seen message{};
    bool within = false;
    Bytes rest{stream};
    do {
        const std::size_t count = cuts.empty() ? rest.size() : std::min(rest.size(), cuts.below(300));
        const fuzz::ExactCopy piece{rest.first(count)};
        rest = rest.subspan(count);
        MutableBytes received = piece.bytes();
        while (const auto event = protocol.next_event(received, output)) {
            const auto* part = std::get_if<Part>(&*event);
            if (part == nullptr) {
                events.push_back(check_event(*event, options));
                continue;
            }
            require(part->first != within, "the first part begins a message, and only that");
            within = !part->last;
            if (part->first) message = {part->opcode == Opcode::text ? std::size_t{0} : std::size_t{1}, {}};
            message.payload.insert(message.payload.end(), part->bytes.begin(), part->bytes.end());
            if (part->last) events.push_back(message);
        }
    } while (!rest.empty());
    return events;
}

/// Checks that the other role accepts the output: an echo of each message, a pong for each ping, and a Close, if any.
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
        require(event.has_value(), "each event has a reply");
        const std::size_t expected = seen.kind == 3 ? 4 : seen.kind == 5 ? 2 : seen.kind;
        require(event->index() == expected, "the reply has the right type");
        if (expected != 2) require(check_event(*event, options).payload == seen.payload, "the reply has the payload");
    }
    require(!peer.next_event(received, output).has_value(), "there are no more replies than events");
    require(!peer.failed(), "the output breaks no rule");
}

template <Role role>
void check(const ByteVector& stream, FuzzInput cuts, const ProtocolOptions& options) {
    const auto whole = play<role>(stream, FuzzInput{{}}, false, options);
    require(play<role>(stream, cuts, true, options) == whole, "cuts do not change the transcript");
    ProtocolOptions of_parts = options;  // which may be in any number of frames
    of_parts.max_fragments = 1'000'000;
    require(play_parts<role>(stream, cuts, of_parts) == play<role>(stream, FuzzInput{{}}, false, of_parts).events,
            "parts are the pieces of the messages");
    check_output<role>(whole, options);
}

/// Makes almost valid frames from decisions. Random bytes alone seldom have more than one valid frame.
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
        const std::uint8_t kind = input.byte();
        FrameHeader header;
        header.opcode = Opcode::binary;
        if (masked != (kind == 0xFE)) {
            header.masking_key = MaskingKey{input.byte(), input.byte(), kind, 0x77};
        }
        const std::string_view text = texts[input.byte() % std::size(texts)];
        ByteVector payload = (kind & 0x30) ? copy_of(bytes_of(text)) : copy_of(input.take(input.byte()));
        if (kind == 0xFC) payload.resize(65'530 + input.below(12));
        if ((kind & 0xC0) == 0xC0) payload.resize(payload.size() + input.below(400), 'z');
        header.payload_length = payload.size();
        append_frame(output, header, payload);
        if (kind == 0xFD) {  // any length of 64 bits
            output.bytes()[1] |= 0x7F;
            for (const auto byte : input.take(8)) output.append({&byte, 1});
        }
        output.bytes()[0] = kind == 0xFF ? input.byte() : firsts[kind & 0xF];
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
