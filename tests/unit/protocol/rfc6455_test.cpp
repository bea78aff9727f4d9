#include "wsserver/protocol/rfc6455.hpp"

#include <set>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("the predicates are right for all sixteen opcodes", "[rfc6455-5.2]") {
    const std::set<int> known{0x0, 0x1, 0x2, 0x8, 0x9, 0xA};
    for (int value = 0; value < 16; ++value) {
        const auto opcode = Opcode{static_cast<std::uint8_t>(value)};
        CAPTURE(value);
        CHECK(is_control(opcode) == (value >= 8));
        CHECK(is_data(opcode) == (value < 8));
        CHECK(is_reserved(opcode) == !known.contains(value));
    }
}

TEST_CASE("may_be_sent is right for all close codes from 0 to 65535", "[rfc6455-7.4]") {
    // §7.4.1, the IANA registry (1012 to 1014), §7.4.2 (3000 to 4999).
    const std::set<int> registered{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};
    int sendable = 0;
    for (int value = 0; value <= 0xFFFF; ++value) {
        const bool expected = registered.contains(value) || (value >= 3000 && value <= 4999);
        const bool answer = may_be_sent(CloseCode{static_cast<std::uint16_t>(value)});
        if (answer != expected) FAIL_CHECK(value);
        sendable += answer;
    }
    CHECK(sendable == 12 + 2000);
}
