#include "wsserver/connection/shared_pace.hpp"

#include <limits>
#include <random>
#include <set>

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

namespace {

constexpr Clock::time_point start{1h};

/// A group, and the part of two threads in it.
struct Rig {
    explicit Rig(const ReceiveRates& its_rates) : rates(its_rates) {}

    SharedTokenBucket messages, bytes;
    ReceiveRates rates;
    Counter pauses;
    SharedPace one{messages, bytes, rates, pauses};
    SharedPace other{messages, bytes, rates, pauses};
};

}  // namespace

TEST_CASE("without shared rates everything is allowed", "[shared_pace]") {
    Rig rig{{}};
    CHECK(rig.one.messages_allowed(start) == std::numeric_limits<std::uint32_t>::max());
    CHECK(rig.one.bytes_allowed(1'000'000, start) == 1'000'000);
    rig.one.handled(1000, 1'000'000);
    CHECK(rig.one.paused_until(start) < start);
}

TEST_CASE("two threads together get the messages of a second", "[shared_pace]") {
    Rig rig{{10, 0}};
    int handled = 0;
    for (int i = 0; i < 6; ++i) {
        for (SharedPace* pace : {&rig.one, &rig.other}) {
            if (pace->messages_allowed(start) == 0) continue;
            pace->handled(1, 100);
            ++handled;
        }
    }
    CHECK(handled == 10);
    CHECK(rig.one.paused_until(start) == start + 100ms);
    CHECK(rig.one.paused_until(start + 100ms) < start);
    CHECK(rig.other.messages_allowed(start + 100ms) == 0);  // the first thread has taken the token
}

TEST_CASE("two threads together get the bytes of a second", "[shared_pace]") {
    Rig rig{{0, 1000}};
    CHECK(rig.one.bytes_allowed(600, start) == 600);
    rig.one.handled(1, 600);
    CHECK(rig.other.bytes_allowed(600, start) == 400);
    rig.other.handled(1, 400);
    CHECK(rig.other.bytes_allowed(600, start) == 0);
    CHECK(rig.other.paused_until(start) == start + 1ms);
    CHECK(rig.one.bytes_allowed(5000, start + 2s) == 1000);
}

TEST_CASE("a thread takes tokens of a hundredth of a second at a time", "[shared_pace]") {
    Rig rig{{1000, 0}};
    CHECK(rig.one.messages_allowed(start) == 10);
    rig.one.handled(9, 0);
    CHECK(rig.one.messages_allowed(start) == 1);
    CHECK(rig.messages.take(2000, 1000, start) == 990);
    CHECK(rig.one.paused_until(start) < start);
    rig.one.handled(1, 0);
    CHECK(rig.one.paused_until(start) > start);
}

TEST_CASE("the tokens of a thread come back with its last connection", "[shared_pace]") {
    Rig rig{{1000, 5000}};
    for (int i = 0; i < 1000; ++i) {
        REQUIRE(rig.one.messages_allowed(start) > 0);
        REQUIRE(rig.one.bytes_allowed(5, start) == 5);
        rig.one.handled(1, 5);
        rig.one.put_back();
    }
    CHECK(rig.other.messages_allowed(start) == 0);
    CHECK(rig.other.bytes_allowed(5, start) == 0);
}

TEST_CASE("threads get what a second allows, in any order", "[shared_pace]") {
    std::mt19937 random{GENERATE(range(1U, 9U))};
    const auto rate = static_cast<std::uint32_t>(1 + random() % 2000);
    Rig rig{{rate, 0}};
    std::uint64_t handled = 0;
    for (auto now = start; now < start + 10s; now += 1ms) {
        SharedPace& pace = random() % 2 == 0 ? rig.one : rig.other;
        const auto allowed = std::min<std::uint64_t>(pace.messages_allowed(now), random() % 50);
        pace.handled(allowed, 0);
        handled += allowed;
    }
    CHECK(handled <= 11ULL * rate + 1);
    CHECK(handled >= 9ULL * rate);
}

TEST_CASE("connections that wait for the same tokens look at different times", "[shared_pace]") {
    std::set<Clock::duration> pauses;
    for (std::uint64_t number = 0; number < 100; ++number) {
        const auto pause = SharedPace::pause(number);
        CHECK(pause >= 125ms);
        CHECK(pause < 250ms);
        pauses.insert(pause);
    }
    CHECK(pauses.size() > 50);
}
