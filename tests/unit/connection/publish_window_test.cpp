#include "wsserver/connection/publish_window.hpp"

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("short messages are acknowledged together", "[publish_window]") {
    PublishWindow window;
    for (int i = 0; i < 9; ++i) CHECK_FALSE(window.add(10, 100));
    CHECK(window.add(10, 100));
    CHECK_FALSE(window.must_wait());
    CHECK_FALSE(window.acknowledge());
    CHECK_FALSE(window.add(99, 100));
}

TEST_CASE("the sender waits while two acknowledgements are due", "[publish_window]") {
    PublishWindow window;
    CHECK(window.add(100, 100));
    CHECK_FALSE(window.must_wait());
    CHECK(window.add(100, 100));
    CHECK(window.must_wait());
    CHECK_FALSE(window.acknowledge());
    CHECK(window.must_wait());
    CHECK(window.acknowledge());
    CHECK_FALSE(window.must_wait());
    CHECK_FALSE(window.acknowledge());  // not due
}

TEST_CASE("the sender waits after a large message", "[publish_window]") {
    PublishWindow window;
    CHECK(window.add(199, 100));
    CHECK_FALSE(window.must_wait());
    CHECK_FALSE(window.acknowledge());
    CHECK(window.add(200, 100));
    CHECK(window.must_wait());
    CHECK(window.acknowledge());
    CHECK_FALSE(window.must_wait());
}

TEST_CASE("with a step of 0 each message is acknowledged", "[publish_window]") {
    PublishWindow window;
    CHECK(window.add(0, 0));
    CHECK(window.must_wait());
    CHECK(window.acknowledge());
}
