#include "wsserver/connection/connection_info.hpp"

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a written id is read back", "[connection_info]") {
    const ConnectionId id{3, 70000, 12};
    CHECK(to_string(id) == "3-70000-12");
    CHECK(parse_connection_id("3-70000-12") == id);
}

TEST_CASE("text that is not an id is refused", "[connection_info]") {
    for (const char* text : {"", "-", "1", "1-2", "1-2-", "1-2-0", "1-2-3-4", "1-2-3 ", " 1-2-3", "65536-1-1",
                             "1-4294967296-1", "1--2-3", "a-b-c", "0x1-2-3"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_connection_id(text));
    }
}
