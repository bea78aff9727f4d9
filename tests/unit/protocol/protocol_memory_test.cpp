// The protocol's memory: none for messages that arrive in one piece, none for the length in a header alone, and none
// for an idle connection.
#include <string>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/byte_script.hpp"
#include "support/transcript.hpp"
#include "wsserver/protocol/protocol.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

/// The number of allocations during a call, and how many bytes more are in use after it.
struct Allocated {
    std::size_t count;
    std::size_t in_use;
};
template <class F>
Allocated allocated_by(F f) {
    const std::size_t count = allocations, in_use = bytes_in_use;
    f();
    return {allocations - count, bytes_in_use - in_use};
}

/// Reads all events and echoes messages. Returns the number of events.
template <Role role>
std::size_t serve(Protocol<role>& protocol, MutableBytes received, OutputBuffer& output) {
    std::size_t events = 0;
    while (const auto event = protocol.next_event(received, output)) {
        ++events;
        if (const auto* text = std::get_if<Text>(&*event)) (void)protocol.send(*text, output);
        if (const auto* binary = std::get_if<Binary>(&*event)) (void)protocol.send(*binary, output);
    }
    return events;
}

}  // namespace

FOR_BOTH_ROLES("messages in one piece need no allocation once the output has grown", "[protocol]") {
    CountingKeys keys;
    ProtocolOptions options;
    options.keys = &keys;
    auto received = joined(frame_to<role>(0x81, "text"), frame_to<role>(0x82, std::string(40'000, 'b')),
                           frame_to<role>(0x89, "ping"), frame_to<role>(0x8A, ""));
    auto again = received;
    OutputBuffer output;
    output.extend(100'000);
    output.clear();
    Protocol<role> protocol{options};
    std::size_t events = 0;
    const auto allocated = allocated_by([&] {
        events += serve(protocol, received, output);
        events += serve(protocol, again, output);
    });
    CHECK(events == 8);
    CHECK(allocated.count == 0);
}

FOR_BOTH_ROLES("the length in a header alone allocates nothing", "[protocol][rfc6455-10.4]") {
    CountingKeys keys;
    ProtocolOptions options;
    options.keys = &keys;
    options.max_message = std::size_t{1} << 40;
    const auto first = GENERATE(as<std::uint8_t>{}, 0x81, 0x82, 0x01);
    FrameHeader header;
    header.payload_length = std::uint64_t{1} << 39;
    if (role == Role::server) header.masking_key = MaskingKey{};
    ByteVector received(header_size(header.payload_length, role == Role::server));
    encode_header(received, header);
    received[0] = first;
    ByteVector piece(1000, 'x');

    OutputBuffer output;
    Protocol<role> protocol{options};
    CHECK(allocated_by([&] { serve(protocol, received, output); }).count == 0);
    std::size_t arrived = 0;
    for (int i = 0; i < 100; ++i) {
        CHECK(allocated_by([&] { serve(protocol, piece, output); }).count <= 3);
        arrived += piece.size();
    }
    // 100 kB have arrived. Memory is reserved for them and for at most 16 times as many bytes.
    Allocated allocated{};
    std::thread([&] {  // a thread that keeps no buffers yet
        Protocol<role> fresh{options};
        serve(fresh, received, output);
        allocated = allocated_by([&] {
            for (int i = 0; i < 100; ++i) serve(fresh, piece, output);
        });
    })
        .join();
    CHECK(allocated.in_use >= arrived);
    CHECK(allocated.in_use <= 17 * arrived + 1000);
}

FOR_BOTH_ROLES("the memory of a reassembled payload is released after its event", "[protocol]") {
    CountingKeys keys;
    ProtocolOptions options;
    options.keys = &keys;
    OutputBuffer output;
    output.extend(10'000);
    output.clear();
    Protocol<role> protocol{options};
    auto script = joined(frame_to<role>(0x01, "fragments"), frame_to<role>(0x89, "ping"), frame_to<role>(0x80, "end"),
                         frame_to<role>(0x82, std::string(1000, 'b')), frame_to<role>(0x8A, "pong"));
    std::size_t events = 0, most = 0;
    const std::size_t start = bytes_in_use;
    const auto allocated = allocated_by([&] {
        for (auto& byte : script) {
            events += serve(protocol, {&byte, 1}, output);
            most = std::max(most, bytes_in_use - start);
        }
    });
    CHECK(events == 4);
    CHECK(most > 1000);
    CHECK(allocated.in_use == 0);
}

FOR_BOTH_ROLES("the memory of an incomplete message is released when the connection ends", "[protocol]") {
    CountingKeys keys;
    ProtocolOptions options;
    options.keys = &keys;
    OutputBuffer output;
    output.extend(10'000);
    output.clear();
    Protocol<role> protocol{options};
    auto begin = frame_to<role>(0x01, std::string(1000, 'x'));
    auto bad = frame_to<role>(0x83, ""), close = frame_to<role>(0x88, "");
    const int way = GENERATE(0, 1, 2);
    const auto allocated = allocated_by([&] {
        serve(protocol, begin, output);
        REQUIRE(bytes_in_use > 1000);
        if (way == 0) serve(protocol, bad, output);
        if (way == 1) serve(protocol, close, output);
        if (way == 2) protocol.receive_eof();
    });
    CHECK(protocol.finished());
    CHECK(allocated.in_use == 0);
}

TEST_CASE("an idle protocol is small", "[protocol]") {
    STATIC_REQUIRE(sizeof(Protocol<Role::server>) <= 64);
    STATIC_REQUIRE(sizeof(Protocol<Role::client>) <= 64);
}
