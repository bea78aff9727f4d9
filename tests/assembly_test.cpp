#include "wsserver/assembly.hpp"

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
    const std::size_t first = GENERATE(1U, 63U, 64U, 70'001U);
    REQUIRE(message.append(Bytes{all}.first(first), all.size() - first));
    for (std::size_t come = first; come < all.size();) {
        Room room = message.lend(all.size() - come);
        REQUIRE_FALSE(room.empty());
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
    MessageAssembly message{Opcode::binary};
    REQUIRE(message.append(octets("01 02"), 100'000));
    message.take_back(message.lend(100'000));
    REQUIRE(message.append(octets("03"), 99'999));
    CHECK(hex(message.payload()) == "01 02 03");
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
