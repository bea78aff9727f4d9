// What the protocol allocates: nothing for whole messages, never what is merely announced, nothing when idle again.
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

/// What `f` allocated, and what of it is still in use.
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

/// Takes everything, echoes messages.
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

FOR_BOTH_ROLES("whole messages cost no allocation once the output has grown", "[protocol]") {
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

FOR_BOTH_ROLES("what a header announces is not allocated", "[protocol][rfc6455-10.4]") {
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
    std::size_t came = 0;
    for (int i = 0; i < 100; ++i) {
        CHECK(allocated_by([&] { serve(protocol, piece, output); }).count <= 3);
        came += piece.size();
    }
    // 100 kB have come: they are kept, and of what was announced no more than 16 times of that is believed.
    Allocated allocated{};
    std::thread([&] {  // that has kept no memory yet
        Protocol<role> fresh{options};
        serve(fresh, received, output);
        allocated = allocated_by([&] {
            for (int i = 0; i < 100; ++i) serve(fresh, piece, output);
        });
    })
        .join();
    CHECK(allocated.in_use >= came);
    CHECK(allocated.in_use <= 17 * came + 1000);
}

FOR_BOTH_ROLES("what was cut is given back with its event", "[protocol]") {
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

FOR_BOTH_ROLES("what was cut is given back when the connection ends", "[protocol]") {
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
