#include "wsserver/client/detail/backoff.hpp"

#include <vector>

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

namespace {

/// The waits of a client, with a clock that the test sets. Each wait is the longest of its range.
struct VirtualClient {
    Backoff backoff;
    Clock::time_point now{};

    explicit VirtualClient(const std::optional<Reconnect>& rule) : backoff(rule) {}

    std::optional<std::chrono::milliseconds> after_failure() {
        backoff.ended(now);
        const auto wait = backoff.next_wait(1);
        if (wait) now += *wait;
        return wait;
    }
    std::optional<std::chrono::milliseconds> after_connection(std::chrono::milliseconds uptime) {
        backoff.opened(now);
        now += uptime;
        return after_failure();
    }
};

}  // namespace

TEST_CASE("waits grow while connections end soon after they have opened", "[client][backoff]") {
    VirtualClient client{Reconnect{.first = 500ms, .longest = 3s}};
    CHECK(client.after_connection(0ms) == 500ms);
    CHECK(client.after_connection(1ms) == 1s);
    CHECK(client.after_failure() == 2s);
    CHECK(client.after_connection(4'999ms) == 3s);
    CHECK(client.after_connection(5s) == 500ms);
    CHECK(client.after_connection(5s) == 500ms);
}

TEST_CASE("a connection that lived less long than the wait before it is a failure", "[client][backoff]") {
    VirtualClient client{Reconnect{.first = 10s, .longest = 1h, .min_uptime = 5s}};
    CHECK(client.after_failure() == 10s);
    CHECK(client.after_failure() == 20s);
    CHECK(client.after_connection(19'999ms) == 40s);
    CHECK(client.after_connection(40s) == 10s);
    CHECK(client.after_connection(9'999ms) == 10s);
    CHECK(client.after_connection(9'999ms) == 20s);
}

TEST_CASE("the time that a connection must live can be chosen", "[client][backoff]") {
    VirtualClient client{Reconnect{.first = 1ms, .longest = 1h, .min_uptime = 1min}};
    CHECK(client.after_connection(59'999ms) == 1ms);
    CHECK(client.after_connection(59'999ms) == 2ms);
    CHECK(client.after_connection(1min) == 1ms);
}

TEST_CASE("connections that end at once use up the attempts", "[client][backoff]") {
    VirtualClient client{Reconnect{.first = 1ms, .attempts = 3}};
    CHECK(client.after_connection(0ms));
    CHECK(client.after_failure());
    CHECK_FALSE(client.after_connection(0ms));
    client.backoff.reset();
    CHECK(client.after_failure() == 1ms);
    CHECK(client.after_connection(5s) == 1ms);
    CHECK(client.after_failure() == 1ms);
    CHECK(client.after_failure() == 2ms);
    CHECK_FALSE(client.after_failure());
}

TEST_CASE("without a rule there is no further attempt", "[client][backoff]") {
    VirtualClient client{std::nullopt};
    CHECK_FALSE(client.after_failure());
    CHECK_FALSE(client.after_connection(1h));
}
