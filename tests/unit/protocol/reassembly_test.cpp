#include "wsserver/protocol/reassembly.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "support/byte_script.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using test::byte_script;
using test::hex;

TEST_CASE("a message is reassembled from pieces", "[reassembly][rfc6455-5.4]") {
    MessageReassembly message{Opcode::binary};
    CHECK(message.opcode() == Opcode::binary);
    CHECK(message.size() == 0);
    CHECK(message.fragments() == 1);
    CHECK(message.append(byte_script("01 02")));
    CHECK(message.append({}));
    message.count_fragment();
    CHECK(message.append(byte_script("ff")));
    CHECK(message.fragments() == 2);
    CHECK(message.size() == 3);
    CHECK(hex(message.payload()) == "01 02 ff");
    CHECK(message.may_end_here());
}

TEST_CASE("a text is checked piece by piece", "[reassembly][rfc6455-8.1]") {
    MessageReassembly message{Opcode::text};
    CHECK(message.may_end_here());
    CHECK(message.append(byte_script("'x' e2")));
    CHECK_FALSE(message.may_end_here());
    SECTION("the character is completed") {
        CHECK(message.append(byte_script("82 ac")));
        CHECK(message.may_end_here());
        CHECK(hex(message.payload()) == "78 e2 82 ac");
    }
    SECTION("the character is broken off") { CHECK_FALSE(message.append(byte_script("'y'"))); }
}

TEST_CASE("the rest of a message is received into its memory", "[reassembly]") {
    const std::vector<std::uint8_t> all = byte_script("61*200000");
    MessageReassembly message{Opcode::text};
    const std::size_t first = GENERATE(2'048U, 2'049U, 3'001U, 70'001U);
    REQUIRE(message.append(Bytes{all}.first(first), all.size() - first));
    for (std::size_t received = first; received < all.size();) {
        ReceiveBuffer buffer = message.prepare_buffer(all.size() - received);
        REQUIRE(buffer.size >= std::min(all.size() - received, MessageReassembly::least_buffer));
        REQUIRE(buffer.size <= all.size() - received);
        const MutableBytes bytes = buffer.bytes();
        // The kernel copies faster to the beginning of a cache line.
        if (received == first) CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64 == 0);
        std::memset(bytes.data(), 'a', bytes.size());
        message.commit_buffer(std::move(buffer));
        CHECK(message.size() == received);
        REQUIRE(message.append(bytes, all.size() - received - bytes.size()));
        received += bytes.size();
        CHECK(message.payload().data() + received == bytes.data() + bytes.size());  // nothing was copied
    }
    CHECK(std::ranges::equal(message.payload(), all));
}

TEST_CASE("a buffer that is committed without bytes changes nothing", "[reassembly]") {
    const std::size_t received = GENERATE(0U, 2U, 3'000U);
    std::vector<std::uint8_t> all(received, 1);
    MessageReassembly message{Opcode::binary};
    REQUIRE(message.append(all, 100'000));
    ReceiveBuffer buffer = message.prepare_buffer(100'000);
    CHECK(buffer.empty() == (received < 3'000));
    message.commit_buffer(std::move(buffer));
    message.commit_buffer(message.prepare_buffer(0));
    REQUIRE(message.append(byte_script("03"), 99'999));
    all.push_back(3);
    CHECK(std::ranges::equal(message.payload(), all));
}

TEST_CASE("a buffer is large enough for a separate receive, but not out of proportion", "[reassembly]") {
    constexpr std::size_t announced = std::size_t{1} << 30;
    const unsigned piece = GENERATE(1U, 100U, 1'448U, 65'000U);
    const bool direct = GENERATE(false, true);
    const std::vector<std::uint8_t> bytes(piece, 0x61);
    MessageReassembly message{Opcode::binary};
    std::size_t buffers = 0, too_small = 0, too_large = 0;
    while (message.size() < std::min(300'000U, 3'000 * piece)) {
        // Sometimes a frame ends, so that the number of remaining bytes is not known.
        const bool known = message.size() / piece % 3 != 0;
        REQUIRE(message.append(bytes, known ? announced : 0));
        ReceiveBuffer buffer = message.prepare_buffer(announced);
        if (buffer.empty()) {
            if (message.size() >= 2'048) ++too_small;
            continue;
        }
        ++buffers;
        if (buffer.size < MessageReassembly::least_buffer) ++too_small;
        // At most 17 times the bytes received, rounded up. A kept buffer may have twice that size.
        if (buffer.memory.capacity() > 2 * (17 * buffer.begin + 2 * PooledBuffer::large)) ++too_large;
        const MutableBytes place = buffer.bytes();
        message.commit_buffer(std::move(buffer));
        if (direct) REQUIRE(message.append(place.first(piece), announced));
    }
    CHECK(buffers > 0);
    CHECK(too_small == 0);
    CHECK(too_large == 0);
}

TEST_CASE("a few free bytes at the end of a message's memory are not used as a buffer", "[reassembly]") {
    const std::vector<std::uint8_t> fragment(10'000, 0x61);
    MessageReassembly message{Opcode::binary};
    // Each round leaves a different number of free bytes.
    std::size_t least = std::size_t{1} << 30;
    for (int i = 0; i < 100; ++i) {
        REQUIRE(message.append(fragment));
        ReceiveBuffer buffer = message.prepare_buffer(70'000);
        least = std::min(least, buffer.size);
        message.commit_buffer(std::move(buffer));
        REQUIRE(message.append(Bytes{fragment}.first(1'000 + static_cast<std::size_t>(i) * 37)));
    }
    CHECK(least >= MessageReassembly::least_buffer);
}

TEST_CASE("the payload of a control frame may arrive in pieces", "[reassembly][rfc6455-5.5]") {
    ControlAssembly control;
    CHECK(control.payload().empty());
    control.append({});
    control.append(byte_script("01*60"));
    control.append(byte_script("02*65"));
    CHECK(hex(control.payload()) == hex(byte_script("01*60 02*65")));
}

TEST_CASE("only delivered payloads are dropped", "[reassembly]") {
    PartialPayloads payloads;
    CHECK(payloads.empty());
    payloads.message.emplace(Opcode::text);
    payloads.control.emplace();
    payloads.drop_delivered();
    CHECK(payloads.message);
    CHECK(payloads.control);

    payloads.control_delivered = true;
    payloads.drop_delivered();
    CHECK(payloads.message);
    CHECK_FALSE(payloads.control);
    CHECK_FALSE(payloads.empty());

    payloads.control.emplace();
    payloads.message_delivered = true;
    payloads.drop_delivered();
    CHECK_FALSE(payloads.message);
    CHECK(payloads.control);
    payloads.control_delivered = true;
    payloads.drop_delivered();
    CHECK(payloads.empty());
}
