// What each mode sends, what it accepts as right, and how it measures latency.
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "wsd-ctl/bench/traffic.hpp"
#include "wsserver/testing.hpp"

using namespace std::chrono_literals;
using namespace wsd::ctl::bench;
using wsserver::RecordingConnection;
using Time = Traffic::Time;

namespace {

/// Connections that record what is sent on them.
struct Rig {
    Options options;
    Tally tally;
    std::unique_ptr<Traffic> traffic;
    std::deque<RecordingConnection> connections;
    Time now{1h};

    explicit Rig(const Options& given) : options(given) {
        traffic = make_traffic(options, tally);
        for (std::uint32_t i = 0; i < options.connections; ++i) connections.emplace_back();
    }
    void begin() {
        tally.begin = now;
        traffic->begin(now);
        for (std::uint32_t index = 0; index < options.connections; ++index) pump(index);
    }
    void pump(std::uint32_t index) { traffic->pump(index, connections[index], now); }
    /// Advances the time and sends what becomes due.
    void advance(std::chrono::milliseconds by) {
        const Time until = now + by;
        while (traffic->next_due() <= until) {
            now = traffic->next_due();
            pump(traffic->take_due(now));
        }
        now = until;
    }
    std::string sent(std::uint32_t who, std::size_t number) const {
        const auto& call = connections[who].calls.at(number);
        return call.substr(call.find(' ') + 1);
    }
    std::size_t count(std::uint32_t who) const { return connections[who].calls.size(); }
    void receive(std::uint32_t who, std::string_view text, bool binary = false) {
        if (const auto next = traffic->received(who, {binary, wsserver::bytes_of(text)}, now)) pump(*next);
    }
    void echo(std::uint32_t who, std::size_t number) { receive(who, sent(who, number)); }
    void stop() {
        tally.end = now;
        traffic->stop(now);
    }
};

Options echo_of(std::uint32_t connections, std::uint32_t in_flight) {
    Options options;
    options.connections = connections;
    options.in_flight = in_flight;
    options.size = 20;
    return options;
}

Options fan_out_of(std::uint32_t connections, std::uint32_t in_flight) {
    auto options = echo_of(connections, in_flight);
    options.mode = Mode::fan_out;
    return options;
}

}  // namespace

TEST_CASE("echo keeps N messages in flight and sends the next after an answer", "[bench][traffic]") {
    Rig rig{echo_of(2, 3)};
    rig.begin();
    CHECK(rig.count(0) == 3);
    CHECK(rig.count(1) == 3);
    CHECK(rig.traffic->outstanding() == 6);
    rig.now += 5ms;
    rig.echo(0, 0);
    CHECK(rig.count(0) == 4);
    rig.now += 2ms;
    rig.echo(0, 1);
    rig.echo(0, 2);
    rig.echo(0, 3);
    CHECK(rig.count(0) == 7);
    CHECK(rig.count(1) == 3);
    CHECK(rig.tally.messages == 4);
    CHECK(rig.tally.bytes == 80);
    CHECK(rig.tally.wrong == 0);
    CHECK(rig.tally.latency.max() == 7ms);
    CHECK(rig.tally.latency.count() == 4);

    rig.stop();
    rig.echo(1, 0);
    CHECK(rig.count(1) == 3);
    CHECK(rig.traffic->outstanding() == 5);
    CHECK(rig.tally.messages == 4);         // it was too late for this count,
    CHECK(rig.tally.latency.count() == 5);  // but its latency counts
}

TEST_CASE("echo counts nothing before the measurement begins", "[bench][traffic]") {
    Rig rig{echo_of(1, 1)};
    rig.traffic->begin(rig.now);
    rig.pump(0);
    rig.echo(0, 0);
    CHECK(rig.tally.messages == 0);
    rig.now += 1ms;
    rig.tally.begin = rig.now;
    rig.echo(0, 1);
    CHECK(rig.tally.messages == 1);
    CHECK(rig.tally.latency.count() == 0);  // it was sent before
    rig.echo(0, 2);
    CHECK(rig.tally.latency.count() == 1);
}

TEST_CASE("echo counts a message that differs from what was sent as wrong", "[bench][traffic]") {
    Rig rig{echo_of(2, 2)};
    rig.begin();
    rig.receive(0, rig.sent(0, 1));  // the order
    CHECK(rig.tally.wrong == 1);
    rig.receive(0, "short");
    CHECK(rig.tally.wrong == 2);
    rig.receive(1, rig.sent(1, 0), true);  // the type
    CHECK(rig.tally.wrong == 3);
    rig.receive(1, rig.sent(0, 1));  // another's
    CHECK(rig.tally.wrong == 4);
    rig.stop();
    for (int i = 0; i < 4; ++i) rig.receive(0, "more than was asked for");
    CHECK(rig.tally.wrong == 8);
    CHECK(rig.traffic->outstanding() == 2);
}

TEST_CASE("echo counts missing answers of an ended connection as lost", "[bench][traffic]") {
    Rig rig{echo_of(2, 3)};
    rig.begin();
    rig.echo(0, 0);
    rig.traffic->gone(0);
    rig.traffic->gone(0);
    CHECK(rig.tally.lost == 3);
    CHECK(rig.traffic->outstanding() == 3);
    rig.pump(0);
    CHECK(rig.count(0) == 4);
}

TEST_CASE("echo at a rate measures latency from the time at which a message was due", "[bench][traffic]") {
    auto options = echo_of(2, 2);
    options.rate = 1000;
    Rig rig{options};
    rig.begin();
    CHECK(rig.count(0) == 0);
    rig.advance(0ms);
    CHECK(rig.count(0) == 1);
    rig.advance(9ms);  // in total 5 are due for each, and 2 may be in flight
    CHECK(rig.count(0) == 2);
    CHECK(rig.count(1) == 2);
    rig.echo(0, 0);  // due at 0 ms
    CHECK(rig.tally.latency.max() == 9ms);
    CHECK(rig.count(0) == 3);
    rig.now += 91ms;
    rig.echo(0, 1);  // due at 2 ms
    rig.echo(0, 2);  // due at 4 ms, but sent at 9
    CHECK(rig.tally.latency.max() == 98ms);
    CHECK(rig.tally.latency.quantile(0.5) > 95ms);
}

TEST_CASE("echo at a rate counts the waiting time of unsent messages", "[bench][traffic]") {
    auto options = echo_of(1, 1);
    options.rate = 1000;
    Rig rig{options};
    rig.begin();
    rig.advance(10ms);
    CHECK(rig.count(0) == 1);
    rig.stop();
    CHECK(rig.traffic->next_due() == Time::max());
    CHECK(rig.tally.unsent == 9);  // those due at 1 to 9 ms; at 10 ms the measurement was over
    CHECK(rig.tally.latency.count() == 9);
    CHECK(rig.tally.latency.max() == 9ms);
    CHECK(rig.traffic->outstanding() == 1);
}

TEST_CASE("fan-out publishes again when all have received the last message", "[bench][traffic]") {
    Rig rig{fan_out_of(3, 1)};
    rig.begin();
    CHECK(rig.count(0) == 1);
    CHECK(rig.count(1) == 0);
    CHECK(rig.traffic->outstanding() == 2);
    rig.now += 3ms;
    rig.receive(1, rig.sent(0, 0));
    CHECK(rig.count(0) == 1);
    rig.receive(0, rig.sent(0, 0));  // its own message: some servers send it back
    CHECK(rig.count(0) == 1);
    rig.receive(2, rig.sent(0, 0));
    CHECK(rig.count(0) == 2);
    CHECK(rig.tally.messages == 2);
    CHECK(rig.tally.wrong == 0);
    CHECK(rig.tally.latency.max() == 3ms);
}

TEST_CASE("fan-out keeps several publications in flight", "[bench][traffic]") {
    Rig rig{fan_out_of(3, 2)};
    rig.begin();
    CHECK(rig.count(0) == 2);
    rig.receive(1, rig.sent(0, 0));
    rig.receive(1, rig.sent(0, 1));
    CHECK(rig.count(0) == 2);
    rig.receive(2, rig.sent(0, 0));
    CHECK(rig.count(0) == 3);
    rig.receive(2, rig.sent(0, 1));
    CHECK(rig.count(0) == 4);
    rig.receive(2, rig.sent(0, 3));  // one was left out
    CHECK(rig.tally.wrong == 1);
}

TEST_CASE("fan-out does not wait for a receiver that has ended", "[bench][traffic]") {
    Rig rig{fan_out_of(4, 1)};
    rig.begin();
    rig.receive(1, rig.sent(0, 0));
    rig.traffic->gone(2);
    CHECK(rig.tally.lost == 1);
    CHECK(rig.traffic->outstanding() == 1);
    rig.receive(3, rig.sent(0, 0));
    CHECK(rig.count(0) == 2);
    CHECK(rig.traffic->outstanding() == 2);
    rig.traffic->gone(0);
    rig.receive(1, rig.sent(0, 1));
    rig.receive(3, rig.sent(0, 1));
    CHECK(rig.count(0) == 2);
    CHECK(rig.traffic->outstanding() == 0);
}

TEST_CASE("fan-out completes publications when the last missing receiver ends", "[bench][traffic]") {
    Rig rig{fan_out_of(3, 1)};
    rig.begin();
    rig.receive(1, rig.sent(0, 0));
    if (const auto next = rig.traffic->gone(2)) rig.pump(*next);
    CHECK(rig.count(0) == 2);
}

TEST_CASE("fan-out publishes at a rate", "[bench][traffic]") {
    auto options = fan_out_of(3, 10);
    options.rate = 100;
    Rig rig{options};
    rig.begin();
    rig.advance(25ms);
    CHECK(rig.count(0) == 3);
    for (const std::uint32_t who : {1U, 2U}) {
        for (std::size_t number = 0; number < 3; ++number) rig.receive(who, rig.sent(0, number));
    }
    CHECK(rig.tally.latency.max() == 25ms);
    CHECK(rig.tally.messages == 6);
    rig.advance(200ms);
    CHECK(rig.count(0) == 13);
    rig.stop();
    CHECK(rig.tally.unsent == 2 * 10);  // publications times receivers
    CHECK(rig.tally.latency.count() == 6 + 2 * 10);
}

TEST_CASE("idle connections send nothing", "[bench][traffic]") {
    auto options = echo_of(2, 1);
    options.mode = Mode::idle;
    Rig rig{options};
    rig.begin();
    rig.receive(0, "what a server says by itself is nobody's fault");
    CHECK(rig.count(0) == 0);
    CHECK(rig.tally.wrong == 0);
    CHECK(rig.traffic->outstanding() == 0);
}
