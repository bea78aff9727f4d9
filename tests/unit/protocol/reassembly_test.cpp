#include "wsserver/protocol/reassembly.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "support/byte_script.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using test::byte_script;
using test::hex;

TEST_CASE("a message is put together from pieces", "[reassembly][rfc6455-5.4]") {
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

TEST_CASE("a text is checked as it comes", "[reassembly][rfc6455-8.1]") {
    MessageReassembly message{Opcode::text};
    CHECK(message.may_end_here());
    CHECK(message.append(byte_script("'x' e2")));
    CHECK_FALSE(message.may_end_here());
    SECTION("and goes on") {
        CHECK(message.append(byte_script("82 ac")));
        CHECK(message.may_end_here());
        CHECK(hex(message.payload()) == "78 e2 82 ac");
    }
    SECTION("and can't go on") { CHECK_FALSE(message.append(byte_script("'y'"))); }
}

TEST_CASE("a message lends its memory for what is to come", "[reassembly]") {
    const std::vector<std::uint8_t> all = byte_script("61*200000");
    MessageReassembly message{Opcode::text};
    const std::size_t first = GENERATE(2'048U, 2'049U, 3'001U, 70'001U);
    REQUIRE(message.append(Bytes{all}.first(first), all.size() - first));
    for (std::size_t come = first; come < all.size();) {
        ReceiveBuffer buffer = message.prepare_buffer(all.size() - come);
        REQUIRE(buffer.size >= std::min(all.size() - come, MessageReassembly::least_buffer));
        REQUIRE(buffer.size <= all.size() - come);
        const MutableBytes place = buffer.bytes();
        // The kernel copies faster to the beginning of a cache line.
        if (come == first) CHECK(reinterpret_cast<std::uintptr_t>(place.data()) % 64 == 0);
        std::memset(place.data(), 'a', place.size());
        message.commit_buffer(std::move(buffer));
        CHECK(message.size() == come);
        REQUIRE(message.append(place, all.size() - come - place.size()));
        come += place.size();
        CHECK(message.payload().data() + come == place.data() + place.size());  // nothing was copied
    }
    CHECK(std::ranges::equal(message.payload(), all));
}

TEST_CASE("a loan that comes to nothing changes nothing", "[reassembly]") {
    const std::size_t come = GENERATE(0U, 2U, 3'000U);
    std::vector<std::uint8_t> all(come, 1);
    MessageReassembly message{Opcode::binary};
    REQUIRE(message.append(all, 100'000));
    ReceiveBuffer buffer = message.prepare_buffer(100'000);
    CHECK(buffer.empty() == (come < 3'000));
    message.commit_buffer(std::move(buffer));
    message.commit_buffer(message.prepare_buffer(0));
    REQUIRE(message.append(byte_script("03"), 99'999));
    all.push_back(3);
    CHECK(std::ranges::equal(message.payload(), all));
}

TEST_CASE("a room is worth a receive of its own", "[reassembly]") {
    constexpr std::size_t announced = std::size_t{1} << 30;
    const unsigned piece = GENERATE(1U, 100U, 1'448U, 65'000U);
    const bool direct = GENERATE(false, true);
    const std::vector<std::uint8_t> bytes(piece, 0x61);
    MessageReassembly message{Opcode::binary};
    std::size_t rooms = 0, too_small = 0, too_much = 0;
    while (message.size() < std::min(300'000U, 3'000 * piece)) {
        // Sometimes more is announced, and sometimes a frame ends: then nothing is known of the next one.
        const bool known = message.size() / piece % 3 != 0;
        REQUIRE(message.append(bytes, known ? announced : 0));
        ReceiveBuffer buffer = message.prepare_buffer(announced);
        if (buffer.empty()) {
            if (message.size() >= 2'048) ++too_small;
            continue;
        }
        ++rooms;
        if (buffer.size < MessageReassembly::least_buffer) ++too_small;
        // The memory is that of the 17 times, rounded up; and may be one that was kept, of twice the size.
        if (buffer.memory.capacity() > 2 * (17 * buffer.begin + 2 * PooledBuffer::large)) ++too_much;
        const MutableBytes place = buffer.bytes();
        message.commit_buffer(std::move(buffer));
        if (direct) REQUIRE(message.append(place.first(piece), announced));
    }
    CHECK(rooms > 0);
    CHECK(too_small == 0);
    CHECK(too_much == 0);
}

TEST_CASE("the last bytes of a message's memory are no room", "[reassembly]") {
    const std::vector<std::uint8_t> fragment(10'000, 0x61);
    MessageReassembly message{Opcode::binary};
    // Fragments that fit exactly make the memory full to different degrees.
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

TEST_CASE("a control frame's payload comes in pieces too", "[reassembly][rfc6455-5.5]") {
    ControlAssembly control;
    CHECK(control.payload().empty());
    control.append({});
    control.append(byte_script("01*60"));
    control.append(byte_script("02*65"));
    CHECK(hex(control.payload()) == hex(byte_script("01*60 02*65")));
}

TEST_CASE("only what was delivered is dropped", "[reassembly]") {
    PartialPayloads cut;
    CHECK(cut.empty());
    cut.message.emplace(Opcode::text);
    cut.control.emplace();
    cut.drop_delivered();
    CHECK(cut.message);
    CHECK(cut.control);

    cut.control_delivered = true;
    cut.drop_delivered();
    CHECK(cut.message);
    CHECK_FALSE(cut.control);
    CHECK_FALSE(cut.empty());

    cut.control.emplace();
    cut.message_delivered = true;
    cut.drop_delivered();
    CHECK_FALSE(cut.message);
    CHECK(cut.control);
    cut.control_delivered = true;
    cut.drop_delivered();
    CHECK(cut.empty());
}
