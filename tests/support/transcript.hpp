// Drives a Protocol and records its events and output, so that two runs can be compared.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support/byte_script.hpp"
#include "support/catch.hpp"
#include "support/counting_keys.hpp"
#include "support/frames.hpp"
#include "support/strings.hpp"
#include "wsserver/protocol/event_text.hpp"
#include "wsserver/protocol/protocol.hpp"

/// A test case that runs once with each `role`.
#define FOR_BOTH_ROLES(name, tags) TEMPLATE_TEST_CASE_SIG(name, tags, ((Role role), role), Role::server, Role::client)

namespace wsserver::test {

/// An endpoint of a connection. It echoes messages by default.
template <Role role>
class Endpoint {
   public:
    explicit Endpoint(ProtocolOptions options = {}, bool echoes = true) : options_(options), echoes_(echoes) {
        options_.keys = &keys_;
    }

    /// Passes bytes to the protocol in memory without spare bytes, so that a sanitizer reports each read beyond them.
    void receive(Bytes piece) {
        const std::unique_ptr<std::uint8_t[]> memory{new std::uint8_t[piece.size()]};
        std::copy(piece.begin(), piece.end(), memory.get());
        take_events({memory.get(), piece.size()});
    }

    Protocol<role>& protocol() { return protocol_; }
    OutputBuffer& output() { return output_; }
    const Strings& events() const { return events_; }
    /// The output since the last call.
    ByteVector take_output() {
        const ByteVector taken(output_.bytes().begin(), output_.bytes().end());
        output_.clear();
        return taken;
    }
    /// The events since the last call.
    Strings take_events_seen() { return std::exchange(events_, {}); }
    ProtocolOptions& options() { return options_; }

   private:
    void take_events(MutableBytes received) {
        while (const auto event = protocol_.next_event(received, output_)) {
            events_.push_back(to_string(*event));
            if (!echoes_ || !protocol_.may_send()) continue;
            if (const auto* text = std::get_if<Text>(&*event)) (void)protocol_.send(*text, output_);
            if (const auto* binary = std::get_if<Binary>(&*event)) (void)protocol_.send(*binary, output_);
        }
    }

    CountingKeys keys_;
    ProtocolOptions options_;
    bool echoes_;
    Protocol<role> protocol_{options_};
    OutputBuffer output_;
    Strings events_;
};

/// A frame as the peer of `role` sends it: masked to a server (with the key 5A A5 0F F0), unmasked to a client.
///
/// first  FIN, RSV and opcode
template <Role role>
ByteVector frame_to(std::uint8_t first, Bytes payload) {
    FrameHeader header;
    header.fin = (first & 0x80) != 0;
    header.rsv = static_cast<std::uint8_t>((first >> 4) & 7);
    header.opcode = Opcode::binary;
    if (role == Role::server) header.masking_key = MaskingKey{0x5A, 0xA5, 0x0F, 0xF0};
    header.payload_length = payload.size();
    OutputBuffer output;
    append_frame(output, header, payload);
    output.bytes()[0] = first;  // may be an opcode that append_frame() does not allow
    return {output.bytes().begin(), output.bytes().end()};
}
template <Role role>
ByteVector frame_to(std::uint8_t first, std::string_view payload) {
    return frame_to<role>(first, bytes_of(payload));
}

/// The Close frame of a connection that fails with `error`, as frames_in() writes it.
inline std::string failing_close(Errc error) { return close_frame(close_code_for(error), message_of(error)); }

/// The event of a connection that fails with `error`, as to_string() writes it.
inline std::string failed(Errc error) { return "failed " + std::string{message_of(error)}; }

/// The payload of a Close frame, with any number as its code.
inline ByteVector close_payload(std::uint16_t code, std::string_view reason = {}) {
    ByteVector payload(2);
    store_big_endian(MutableBytes{payload}, code);
    return joined(payload, bytes_of(reason));
}

/// The events and the output of an endpoint.
struct Transcript {
    Strings events;
    ByteVector output;
    bool operator==(const Transcript&) const = default;
};

/// Passes `script` to an endpoint in pieces, which end at the positions `cuts`, in ascending order.
template <Role role>
Transcript play(const ByteVector& script, const std::vector<std::size_t>& cuts, const ProtocolOptions& options = {}) {
    Endpoint<role> endpoint{options};
    std::size_t at = 0;
    for (const auto cut : cuts) {
        endpoint.receive(Bytes{script}.subspan(at, cut - at));
        at = cut;
    }
    endpoint.receive(Bytes{script}.subspan(at));
    return {endpoint.events(), endpoint.take_output()};
}

template <Role role>
Transcript play_byte_by_byte(const ByteVector& script, const ProtocolOptions& options = {}) {
    std::vector<std::size_t> cuts;
    for (std::size_t i = 1; i < script.size(); ++i) cuts.push_back(i);
    return play<role>(script, cuts, options);
}

}  // namespace wsserver::test
