#include "wsserver/connection/keep_alive.hpp"

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

using Act = KeepAlive::Decision::Act;

namespace {

constexpr auto interval = 25'000ms, timeout = 20'000ms;
constexpr Clock::time_point start{1h};

/// A peer that was last heard at the start.
KeepAlive heard_at_start() {
    KeepAlive keep_alive;
    keep_alive.heard(start);
    return keep_alive;
}

/// A peer that has got a Ping after an interval of silence.
KeepAlive probed() {
    KeepAlive keep_alive = heard_at_start();
    (void)keep_alive.pinged(start + interval);
    keep_alive.probe();
    return keep_alive;
}

}  // namespace

TEST_CASE("a silent peer gets a ping after the interval", "[keep_alive]") {
    const KeepAlive keep_alive = heard_at_start();
    for (const auto silent : {0ms, 1ms, 24'999ms}) {
        const auto decision = keep_alive.decide(start + silent, interval, timeout);
        CHECK(decision.act == Act::wait);
        CHECK(decision.at == start + interval);
    }
    CHECK(keep_alive.decide(start + interval, interval, timeout).act == Act::ping);
    CHECK(keep_alive.decide(start + 10h, interval, timeout).act == Act::ping);
}

TEST_CASE("a peer that does not answer a ping is given up after the timeout", "[keep_alive]") {
    const KeepAlive keep_alive = probed();
    const auto pinged = start + interval;
    CHECK(keep_alive.decide(pinged, interval, timeout).at == pinged + timeout);
    CHECK(keep_alive.decide(pinged + timeout - 1ms, interval, timeout).act == Act::wait);
    CHECK(keep_alive.decide(pinged + timeout, interval, timeout).act == Act::give_up);
    // With an interval that is shorter than the timeout it is looked at more often.
    CHECK(keep_alive.decide(pinged, 5'000ms, timeout).at == pinged + 5s);
}

TEST_CASE("any byte counts as an answer", "[keep_alive]") {
    KeepAlive keep_alive = probed();
    keep_alive.heard(start + interval + 1s);
    const auto decision = keep_alive.decide(start + interval + timeout, interval, timeout);
    CHECK(decision.act == Act::wait);
    CHECK(decision.at == start + interval + 1s + interval);
}

TEST_CASE("a ping of the program gives a silent peer no more time", "[keep_alive]") {
    KeepAlive keep_alive = probed();
    const auto first = keep_alive.pinged(start + interval + 10s);
    CHECK(keep_alive.decide(start + interval + timeout, interval, timeout).act == Act::give_up);
    CHECK(keep_alive.pinged(start + interval + 11s) == first);
}

TEST_CASE("a peer whose bytes are not read need not answer", "[keep_alive]") {
    KeepAlive keep_alive = probed();
    keep_alive.stop_probing();
    CHECK(keep_alive.decide(start + interval + timeout, interval, timeout).act == Act::ping);
}

TEST_CASE("the round trip is that of the last answered ping", "[keep_alive][rfc6455-5.5.3]") {
    KeepAlive keep_alive = heard_at_start();
    CHECK_FALSE(keep_alive.round_trip());
    const auto number = keep_alive.pinged(start + 1s);
    keep_alive.ponged(number + 1, start + 2s);
    CHECK_FALSE(keep_alive.round_trip());
    keep_alive.ponged(number, start + 1s + 7ms);
    CHECK(keep_alive.round_trip() == 7ms);
    keep_alive.ponged(keep_alive.pinged(start + 3s), start + 100h);
    CHECK(keep_alive.round_trip() > 30min);
}
