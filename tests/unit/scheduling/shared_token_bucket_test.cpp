#include "wsserver/scheduling/shared_token_bucket.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

namespace {

constexpr TokenBucket::Clock::time_point start{1h};

}  // namespace

TEST_CASE("a shared bucket gives what it holds, and no more", "[shared_token_bucket]") {
    SharedTokenBucket bucket;
    CHECK(bucket.is_full(start));
    CHECK(bucket.take(3, 10, start) == 3);
    CHECK_FALSE(bucket.is_full(start));
    CHECK(bucket.take(100, 10, start) == 7);
    CHECK(bucket.take(1, 10, start) == 0);
    CHECK(bucket.ready_at(10) == start + 100ms);
    CHECK(bucket.take(5, 10, start + 200ms) == 2);
    CHECK(bucket.is_full(start + 1200ms));
}

TEST_CASE("tokens that are put back may be taken again", "[shared_token_bucket]") {
    const auto rate = GENERATE(1U, 7U, 100U, 1'000'000U);
    SharedTokenBucket bucket;
    REQUIRE(bucket.take(rate, rate, start) == rate);
    bucket.put_back(rate, rate);
    CHECK(bucket.is_full(start));
    CHECK(bucket.take(rate, rate, start) == rate);
    CHECK(bucket.take(rate, rate, start) == 0);
}

TEST_CASE("threads that take at the same time get each token once", "[shared_token_bucket]") {
    constexpr std::uint32_t rate = 100'000;
    SharedTokenBucket bucket;
    std::atomic<std::uint32_t> taken{0};
    std::vector<std::thread> threads;
    for (std::uint32_t i = 1; i <= 4; ++i) {
        threads.emplace_back([&, i] {
            while (const std::uint32_t got = bucket.take(i, rate, start)) taken += got;
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(taken == rate);
}
