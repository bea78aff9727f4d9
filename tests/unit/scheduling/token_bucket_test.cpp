#include "wsserver/scheduling/token_bucket.hpp"

#include <limits>

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

namespace {

constexpr TokenBucket::Clock::time_point start{1h};
constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();

}  // namespace

TEST_CASE("a bucket is full at first and after a second", "[token_bucket]") {
    const auto rate = GENERATE(1U, 2U, 3U, 7U, 1000U, 1'000'000U, most);
    TokenBucket bucket;
    CHECK(bucket.tokens(rate, start) == rate);
    bucket.take(rate, rate, start);
    CHECK(bucket.tokens(rate, start) == 0);
    CHECK(bucket.tokens(rate, start + 1s) == rate);
    CHECK(bucket.tokens(rate, start + 1h) == rate);
}

TEST_CASE("each token that is taken is missing", "[token_bucket]") {
    const auto rate = GENERATE(1U, 3U, 7U, 100U, 999U);
    TokenBucket bucket;
    for (std::uint32_t left = rate; left > 0; --left) {
        REQUIRE(bucket.tokens(rate, start) == left);
        REQUIRE(bucket.try_take(rate, start));
    }
    CHECK_FALSE(bucket.try_take(rate, start));
}

TEST_CASE("a bucket that is used all the time gives `rate` tokens a second", "[token_bucket]") {
    const auto rate = GENERATE(1U, 3U, 10U, 77U, 1000U);
    TokenBucket bucket;
    bucket.take(rate, rate, start);
    std::uint32_t taken = 0;
    for (auto passed = 1ms; passed <= 100s; ++passed) {
        if (bucket.try_take(rate, start + passed)) ++taken;
    }
    CHECK(taken >= 100 * rate - 1);
    CHECK(taken <= 100 * rate + 1);
}

TEST_CASE("a token is there when the bucket says", "[token_bucket]") {
    const auto rate = GENERATE(1U, 3U, 7U, 1000U, 999'983U, most);
    TokenBucket bucket;
    CHECK(bucket.ready_at(rate) <= start);
    bucket.take(rate, rate, start);
    const auto ready = bucket.ready_at(rate);
    CHECK(ready > start);
    CHECK(ready <= start + 1s);
    CHECK(bucket.tokens(rate, ready - 1ns) == 0);
    CHECK(bucket.tokens(rate, ready) >= 1);
}

TEST_CASE("a debt is paid first", "[token_bucket]") {
    TokenBucket bucket;
    bucket.take(45, 10, start);
    CHECK(bucket.tokens(10, start + 3500ms) == 0);
    CHECK(bucket.ready_at(10) == start + 3600ms);
    CHECK(bucket.tokens(10, start + 4s) == 5);
    CHECK(bucket.tokens(10, start + 4500ms) == 10);
}

TEST_CASE("the rate may change", "[token_bucket]") {
    TokenBucket bucket;
    bucket.take(5, 10, start);
    CHECK(bucket.tokens(1000, start) == 500);
    CHECK(bucket.tokens(2, start) == 1);
    CHECK(bucket.tokens(1, start) == 0);
}

TEST_CASE("the largest debt does not overflow", "[token_bucket]") {
    TokenBucket bucket;
    bucket.take(most, 1, start);
    CHECK(bucket.ready_at(1) == start + std::chrono::seconds{most});
    TokenBucket fast;
    fast.take(most, most, start);
    CHECK(fast.tokens(most, start + 500ms) == most / 2);
}
