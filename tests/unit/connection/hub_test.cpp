#include "wsserver/connection/hub.hpp"

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a handle without a hub answers closed", "[hub]") {
    const ConnectionHandle nobody;
    CHECK(nobody.send(Text{"hi"}) == SendStatus::closed);
    CHECK(nobody.ping() == SendStatus::closed);
    CHECK(nobody.close() == SendStatus::closed);
}
