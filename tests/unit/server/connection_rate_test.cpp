#include "wsserver/server/detail/connection_rate.hpp"

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

using Place = ConnectionRate::Place;

namespace {

constexpr Clock::time_point start{1h};

}  // namespace

TEST_CASE("without a rate every client is within", "[connection_rate]") {
    ConnectionRate rate{0};
    CHECK_FALSE(rate.is_limited());
    for (int i = 0; i < 1000; ++i) CHECK(rate.take(start) == Place::within);
}

TEST_CASE("clients over the rate get a response, and far over it none", "[connection_rate]") {
    ConnectionRate rate{3};
    CHECK(rate.is_limited());
    for (int i = 0; i < 3; ++i) CHECK(rate.take(start) == Place::within);
    for (int i = 0; i < 3; ++i) CHECK(rate.take(start) == Place::over);
    for (int i = 0; i < 100; ++i) CHECK(rate.take(start) == Place::far_over);
    // They delay no one.
    CHECK(rate.take(start + 340ms) == Place::within);
    CHECK(rate.take(start + 340ms) == Place::over);
    CHECK(rate.take(start + 340ms) == Place::far_over);
    for (int i = 0; i < 3; ++i) CHECK(rate.take(start + 2s) == Place::within);
}

TEST_CASE("the rate of connections may change", "[connection_rate]") {
    ConnectionRate rate{1};
    CHECK(rate.take(start) == Place::within);
    CHECK(rate.take(start) == Place::over);
    rate.set(0);
    CHECK_FALSE(rate.is_limited());
    rate.set(10);
    CHECK(rate.take(start + 200ms) == Place::within);
    CHECK(rate.take(start + 200ms) == Place::within);
    CHECK(rate.take(start + 200ms) == Place::over);
    rate.set(std::size_t{1} << 40);
    CHECK(rate.take(start + 300ms) == Place::within);
}
