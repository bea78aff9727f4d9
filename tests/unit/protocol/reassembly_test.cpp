#include "wsserver/protocol/reassembly.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "support/catch.hpp"
#include "support/octets.hpp"

using namespace wsserver;
using test::hex;
using test::octets;

TEST_CASE("a message is put together from pieces", "[assembly][rfc6455-5.4]") {
    MessageAssembly message{Opcode::binary};
    CHECK(message.opcode() == Opcode::binary);
    CHECK(message.size() == 0);
    CHECK(message.fragments() == 1);
    CHECK(message.append(octets("01 02")));
    CHECK(message.append({}));
    message.count_fragment();
    CHECK(message.append(octets("ff")));
    CHECK(message.fragments() == 2);
    CHECK(message.size() == 3);
    CHECK(hex(message.payload()) == "01 02 ff");
    CHECK(message.may_end_here());
}

TEST_CASE("a text is checked as it comes", "[assembly][rfc6455-8.1]") {
    MessageAssembly message{Opcode::text};
    CHECK(message.may_end_here());
    CHECK(message.append(octets("'x' e2")));
    CHECK_FALSE(message.may_end_here());
    SECTION("and goes on") {
        CHECK(message.append(octets("82 ac")));
        CHECK(message.may_end_here());
        CHECK(hex(message.payload()) == "78 e2 82 ac");
    }
    SECTION("and can't go on") { CHECK_FALSE(message.append(octets("'y'"))); }
}

TEST_CASE("a message lends its memory for what is to come", "[assembly]") {
    const std::vector<std::uint8_t> all = octets("61*200000");
    MessageAssembly message{Opcode::text};
    const std::size_t first = GENERATE(2'048U, 2'049U, 3'001U, 70'001U);
    REQUIRE(message.append(Bytes{all}.first(first), all.size() - first));
    for (std::size_t come = first; come < all.size();) {
        Room room = message.lend(all.size() - come);
        REQUIRE(room.size >= std::min(all.size() - come, MessageAssembly::least_room));
        REQUIRE(room.size <= all.size() - come);
        const MutableBytes place = room.bytes();
        // The kernel copies faster to the beginning of a cache line.
        if (come == first) CHECK(reinterpret_cast<std::uintptr_t>(place.data()) % 64 == 0);
        std::memset(place.data(), 'a', place.size());
        message.take_back(std::move(room));
        CHECK(message.size() == come);
        REQUIRE(message.append(place, all.size() - come - place.size()));
        come += place.size();
        CHECK(message.payload().data() + come == place.data() + place.size());  // nothing was copied
    }
    CHECK(std::ranges::equal(message.payload(), all));
}

TEST_CASE("a loan that comes to nothing changes nothing", "[assembly]") {
    const std::size_t come = GENERATE(0U, 2U, 3'000U);
    std::vector<std::uint8_t> all(come, 1);
    MessageAssembly message{Opcode::binary};
    REQUIRE(message.append(all, 100'000));
    Room room = message.lend(100'000);
    CHECK(room.empty() == (come < 3'000));
    message.take_back(std::move(room));
    message.take_back(message.lend(0));
    REQUIRE(message.append(octets("03"), 99'999));
    all.push_back(3);
    CHECK(std::ranges::equal(message.payload(), all));
}

TEST_CASE("a room is worth a receive of its own", "[assembly]") {
    constexpr std::size_t announced = std::size_t{1} << 30;
    const unsigned piece = GENERATE(1U, 100U, 1'448U, 65'000U);
    const bool in_room = GENERATE(false, true);
    const std::vector<std::uint8_t> octets(piece, 0x61);
    MessageAssembly message{Opcode::binary};
    std::size_t rooms = 0, too_small = 0, too_much = 0;
    while (message.size() < std::min(300'000U, 3'000 * piece)) {
        // Sometimes more is announced, and sometimes a frame ends: then nothing is known of the next one.
        const bool known = message.size() / piece % 3 != 0;
        REQUIRE(message.append(octets, known ? announced : 0));
        Room room = message.lend(announced);
        if (room.empty()) {
            if (message.size() >= 2'048) ++too_small;
            continue;
        }
        ++rooms;
        if (room.size < MessageAssembly::least_room) ++too_small;
        // The memory is that of the 17 times, rounded up; and may be one that was kept, of twice the size.
        if (room.memory.capacity() > 2 * (17 * room.begin + 2 * Block::large)) ++too_much;
        const MutableBytes place = room.bytes();
        message.take_back(std::move(room));
        if (in_room) REQUIRE(message.append(place.first(piece), announced));
    }
    CHECK(rooms > 0);
    CHECK(too_small == 0);
    CHECK(too_much == 0);
}

TEST_CASE("the last octets of a message's memory are no room", "[assembly]") {
    const std::vector<std::uint8_t> fragment(10'000, 0x61);
    MessageAssembly message{Opcode::binary};
    // Fragments that fit exactly make the memory full to different degrees.
    std::size_t least = std::size_t{1} << 30;
    for (int i = 0; i < 100; ++i) {
        REQUIRE(message.append(fragment));
        Room room = message.lend(70'000);
        least = std::min(least, room.size);
        message.take_back(std::move(room));
        REQUIRE(message.append(Bytes{fragment}.first(1'000 + static_cast<std::size_t>(i) * 37)));
    }
    CHECK(least >= MessageAssembly::least_room);
}

TEST_CASE("a control frame's payload comes in pieces too", "[assembly][rfc6455-5.5]") {
    ControlAssembly control;
    CHECK(control.payload().empty());
    control.append({});
    control.append(octets("01*60"));
    control.append(octets("02*65"));
    CHECK(hex(control.payload()) == hex(octets("01*60 02*65")));
}

TEST_CASE("only what was delivered is dropped", "[assembly]") {
    CutPayloads cut;
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
