#include "wsserver/connection/hub.hpp"

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("an id reads back as it was written", "[hub]") {
    const ConnectionId id{3, 70000, 12};
    CHECK(to_string(id) == "3-70000-12");
    CHECK(parse_connection_id("3-70000-12") == id);
}

TEST_CASE("what is no id is refused", "[hub]") {
    for (const char* text : {"", "-", "1", "1-2", "1-2-", "1-2-0", "1-2-3-4", "1-2-3 ", " 1-2-3", "65536-1-1",
                             "1-4294967296-1", "1--2-3", "a-b-c", "0x1-2-3"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_connection_id(text));
    }
}

TEST_CASE("a handle without a hub answers closed", "[hub]") {
    const ConnectionHandle nobody;
    CHECK(nobody.send(Text{"hi"}) == SendStatus::closed);
    CHECK(nobody.ping() == SendStatus::closed);
    CHECK(nobody.close() == SendStatus::closed);
}
