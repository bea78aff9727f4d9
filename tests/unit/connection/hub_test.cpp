#include "wsserver/connection/hub.hpp"

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("a handle without a hub returns closed", "[hub]") {
    const ConnectionHandle handle;
    CHECK(handle.send(Text{"hi"}) == SendStatus::closed);
    CHECK(handle.ping() == SendStatus::closed);
    CHECK(handle.close() == SendStatus::closed);
}
