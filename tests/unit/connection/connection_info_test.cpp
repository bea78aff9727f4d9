#include "wsserver/connection/connection_info.hpp"

#include <sstream>
#include <unordered_set>

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

TEST_CASE("ids and results are written to streams", "[connection_info]") {
    std::ostringstream out;
    out << std::hex << ConnectionId{3, 70000, 12} << ' ' << SendStatus::refused << ' ' << CloseCode::going_away;
    CHECK(out.str() == "3-70000-12 refused 1001");
}

TEST_CASE("an id can be the key of an unordered container", "[connection_info]") {
    std::unordered_set<ConnectionId> ids{{0, 1, 1}, {1, 1, 1}, {0, 2, 1}, {0, 1, 2}, {0, 1, 1}};
    CHECK(ids.size() == 4);
    CHECK(ids.contains({0, 1, 2}));
    CHECK_FALSE(ids.contains({1, 1, 2}));
    std::unordered_set<std::size_t> hashes;
    for (std::uint16_t reactor = 0; reactor < 8; ++reactor) {
        for (std::uint32_t slot = 0; slot < 64; ++slot) {
            for (std::uint32_t generation = 0; generation < 8; ++generation) {
                hashes.insert(std::hash<ConnectionId>{}({reactor, slot, generation}));
            }
        }
    }
    CHECK(hashes.size() == 8 * 64 * 8);
}
