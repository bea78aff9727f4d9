#include "wsd-ctl/bench/options.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/strings.hpp"
using wsserver::test::Strings;

using namespace std::chrono_literals;
using namespace wsd::ctl::bench;
namespace {

Options good(Strings words) {
    words.push_back("ws://x");
    auto options = parse_options(words);
    if (!options) FAIL(options.error());
    return *std::move(options);
}

void bad(Strings words, const Strings& said, bool with_url = true) {
    if (with_url) words.push_back("ws://x");
    const auto options = parse_options(words);
    REQUIRE(!options);
    CAPTURE(options.error());
    for (const auto& part : said) {
        CAPTURE(part);
        CHECK(options.error().find(part) != std::string::npos);
    }
}

}  // namespace

TEST_CASE("bench has defaults for a usual load", "[bench][options]") {
    const auto options = good({});
    CHECK(options.url == "ws://x");
    CHECK(options.mode == Mode::echo);
    CHECK(options.connections == 64);
    CHECK(options.size == 125);
    CHECK(options.in_flight == 1);
    CHECK(!options.rate);
    CHECK(options.duration == 10s);
    CHECK(options.warm_up == 1s);
    CHECK(options.timeout == 10s);
    CHECK_FALSE(options.binary);
    CHECK_FALSE(options.json);
    CHECK(!options.server_pid);
}

TEST_CASE("bench reads every flag", "[bench][options]") {
    const auto options = good({"--mode",
                               "fan-out",
                               "--connections",
                               "1000",
                               "--size",
                               "1KiB",
                               "--in-flight",
                               "16",
                               "--duration",
                               "1m30s",
                               "--warm-up=0",
                               "-q",
                               "--server-pid",
                               "4711",
                               "--timeout",
                               "2s",
                               "-H",
                               "A: b",
                               "-H",
                               "C:",
                               "--subprotocol",
                               "chat",
                               "--subprotocol",
                               "x",
                               "--origin",
                               "http://o",
                               "--binary",
                               "--json"});
    CHECK(options.mode == Mode::fan_out);
    CHECK(options.connections == 1000);
    CHECK(options.size == 1024);
    CHECK(options.in_flight == 16);
    CHECK(options.duration == 90s);
    CHECK(options.warm_up == 0s);
    CHECK(options.timeout == 2s);
    Options in_front;
    in_front.timeout = 3s;
    in_front.json = true;
    const auto both = parse_options({"ws://x", "--rate", "5"}, in_front);
    REQUIRE(both);
    CHECK(both->timeout == 3s);
    CHECK(both->json);
    CHECK(options.server_pid == 4711);
    CHECK(options.fields == std::vector<wsserver::HttpField>{{"A", "b"}, {"C", ""}});
    CHECK(options.subprotocols == Strings{"chat", "x"});
    CHECK(options.origin == "http://o");
    CHECK(options.binary);
    CHECK(options.json);
    CHECK(options.quiet);
}

TEST_CASE("bench knows the modes by name", "[bench][options]") {
    for (const auto mode : {Mode::echo, Mode::fan_out, Mode::idle, Mode::handshake}) {
        CHECK(good({"--mode", std::string{to_string(mode)}}).mode == mode);
    }
}

TEST_CASE("bench takes nothing after an equals sign as an empty value", "[bench][options]") {
    CHECK(good({"--origin=", "--binary"}).binary);
}

TEST_CASE("bench allows more messages in flight with a rate", "[bench][options]") {
    CHECK(good({"--rate", "2500.5"}).rate == 2500.5);
    CHECK(good({"--rate", "100"}).in_flight == 1024);
    CHECK(good({"--rate", "100", "--in-flight", "2"}).in_flight == 2);
}

TEST_CASE("bench says what is wrong with a flag and what would be right", "[bench][options]") {
    bad({}, {"URL is missing"}, false);
    bad({"ws://y"}, {"one URL"});
    bad({"--conections", "3"}, {"--conections", "did you mean --connections?"});
    for (const char* number : {"0", "-1", "x", "3x", "99999999999", ""}) {
        CAPTURE(number);
        if (*number != '\0') bad({"--connections", number}, {"--connections", number});
    }
    bad({"--mode", "ehco"}, {"--mode ehco", "fan-out"});
    bad({"--size", "big"}, {"--size"});
    bad({"--size", "2GiB"}, {"--size", "1GiB"});
    bad({"--rate", "0"}, {"--rate 0"});
    bad({"--rate", "nan"}, {"--rate nan"});
    bad({"--rate", "1e9"}, {"--rate 1e9", "10000000"});
    bad({"--in-flight", "0"}, {"--in-flight"});
    bad({"--duration", "5"}, {"--duration"});
    bad({"--duration", "0"}, {"--duration"});
    bad({"--timeout", "0"}, {"--timeout"});
    bad({"--server-pid", "0"}, {"--server-pid"});
    bad({"-H", "no colon"}, {"'NAME: VALUE'"});
    bad({"--text", "--binary"}, {"--text", "--binary"});
    bad({"--mode", "fan-out", "--connections", "1"}, {"at least one that receives"});
    bad({"--connections", "100000", "--in-flight", "1000"}, {"--in-flight 1000"});
    bad({"--mode", "idle", "--rate", "5"}, {"--rate", "idle"});
    bad({"--mode", "handshake", "--size", "5"}, {"--size", "handshake"});
}

TEST_CASE("bench help explains flags and has examples", "[bench][options]") {
    CHECK(good({"--help"}).wants_help);
    for (const char* part : {"fan-out", "--rate R", "--server-pid", "exit codes", "example: bench"}) {
        CHECK(help().find(part) != std::string::npos);
    }
}
