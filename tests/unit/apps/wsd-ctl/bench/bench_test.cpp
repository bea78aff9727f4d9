// `wsd-ctl bench` without its process, against servers of this library on real sockets.
#include "wsd-ctl/bench/bench.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsd-ctl/run.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/server.hpp"
#include "wsserver/transport/endpoint.hpp"

using namespace wsserver::test;
namespace {

struct Ended {
    int code = -1;
    std::string out;
    std::string err;
};

Ended run(const Strings& words, bool progress = false) {
    std::ostringstream out, err;
    wsd::ctl::Terminal terminal{"wsd-ctl", out, err};
    terminal.err_is_terminal = progress;
    const int code = wsd::ctl::run_command_line(words, terminal);
    return {code, out.str(), err.str()};
}

/// A short load; `words` may override its flags.
Ended bench(Strings words, bool progress = false) {
    words.insert(words.begin(), {"bench", "--connections", "8", "--warm-up", "0", "--duration", "100ms"});
    return run(words, progress);
}

/// The number after `"name":`.
double number(const Ended& ended, const std::string& name) {
    const auto place = ended.out.find('"' + name + "\":");
    if (place == std::string::npos) FAIL(name << " is missing: " << ended.out << ended.err);
    return std::stod(ended.out.substr(place + name.size() + 3));
}

void check(const Ended& ended, int code, const Strings& said) {
    CAPTURE(ended.out, ended.err);
    CHECK(ended.code == code);
    for (const auto& part : said) {
        CAPTURE(part);
        CHECK((has(ended.out, part) || has(ended.err, part)));
    }
}

struct Closer {
    void on_message(wsserver::AnyConnection& connection, const wsserver::Text&) {
        connection.close(wsserver::CloseCode::policy_violation, "log in first");
    }
};

struct House {
    wsserver::Server server;
    std::string url;
    House() : server(options()) {
        server.handle("", wsserver::make_echo());
        server.handle("chat", wsserver::make_broadcast("chat"));
        server.handle("closer", Closer{});
        const auto listening = server.listen("127.0.0.1:0");
        if (!listening) FAIL(listening.error());
        url = *listening;
        server.start();
    }
    static wsserver::ServerOptions options() {
        wsserver::ServerOptions options;
        options.io_threads = 1;
        return options;
    }
};

}  // namespace

TEST_CASE("bench counts echoes and loses none", "[bench]") {
    const House house;
    const auto ended = bench({"--json", house.url, "--in-flight", "4", "--server-pid", std::to_string(::getpid())});
    check(ended, 0, {"\"mode\":\"echo\"", "\"interrupted\":false"});
    CHECK(number(ended, "messages") > 0);
    CHECK(number(ended, "lost") == 0);
    CHECK(number(ended, "wrong") == 0);
    CHECK(number(ended, "p50") > 0);
    CHECK(number(ended, "p50") <= number(ended, "p99_9"));
    CHECK(number(ended, "p99_9") <= number(ended, "max"));
    CHECK(number(ended, "cpu_us_per_message") > 0);
    CHECK(number(ended, "rss") > 0);
    CHECK(house.server.statistics().opened == 8);
}

TEST_CASE("bench prints a table", "[bench]") {
    const House house;
    auto ended = bench({house.url, "--server-pid", std::to_string(::getpid()), "--size", "2000"});
    check(ended, 0,
          {"echo, 8 connections, 2,000 bytes of text, 1 in flight each", "0 lost, 0 wrong", "p99.9 ", "max ",
           "generator", "us of CPU for each message", " RSS"});
    CHECK(!has(ended.err, "\r"));
    ended = bench({house.url, "--quiet"});
    check(ended, 0, {});
    CHECK(ended.out.empty());
}

TEST_CASE("bench sends sizes at the limits of frame headers", "[bench]") {
    const House house;
    for (const char* size : {"0", "1", "7", "126", "65536", "300000"}) {
        CAPTURE(size);
        check(bench({house.url, "--json", "--size", size}), 0, {"\"lost\":0,\"wrong\":0"});
        check(bench({house.url, "--json", "--size", size, "--binary", "--in-flight", "3"}), 0,
              {"\"lost\":0,\"wrong\":0"});
    }
}

TEST_CASE("bench sends at a rate", "[bench]") {
    const House house;
    const auto ended = bench({house.url, "--json", "--rate", "2000"});
    check(ended, 0, {"\"rate\":2000"});
    // Each due message is counted, however slow this machine is.
    CHECK(number(ended, "lost") == 0);
    CHECK(number(ended, "messages") + number(ended, "unsent") > 0);
}

TEST_CASE("bench runs fan-out, idle and handshake", "[bench]") {
    const House house;
    auto ended = bench({house.url, "--json", "--mode", "fan-out", "--subprotocol", "chat"});
    check(ended, 0, {"\"wrong\":0"});
    CHECK(number(ended, "messages") > 0);
    ended = bench({house.url, "--mode", "idle", "--server-pid", std::to_string(::getpid())});
    check(ended, 0, {"idle, 8 connections", "more for each connection"});
    ended = bench({house.url, "--mode", "handshake", "--json"});
    check(ended, 0, {"\"failed\":0"});
    CHECK(number(ended, "messages") > 0);
    check(bench({house.url, "--mode", "handshake"}), 0, {"handshakes", "a second"});
}

TEST_CASE("bench works over a Unix socket", "[bench]") {
    const TemporaryFolder folder;
    wsserver::Server server{House::options()};
    server.handle("", wsserver::make_echo());
    REQUIRE(server.listen("unix:" + (folder / "socket")));
    server.start();
    check(bench({"ws+unix:" + (folder / "socket")}), 0, {"0 lost, 0 wrong"});
}

TEST_CASE("bench shows the progress only on a terminal", "[bench]") {
    const House house;
    const auto ended = bench({house.url, "--duration", "1s"}, true);
    check(ended, 0, {"\rmeasuring: ", "\r\x1b[K"});
}

TEST_CASE("bench says why there is no connection", "[bench]") {
    const House house;
    check(bench({"http://127.0.0.1/"}), 2, {"ws://"});
    check(bench({"wss://127.0.0.1/"}), 6, {"TLS"});
    check(bench({house.url, "-H", "Upgrade: other"}), 2, {"Upgrade"});
    check(bench({house.url, "--origin", "https://evil.example"}), 4, {house.url, "403"});
    check(bench({house.url, "-H", "Host: a b"}), 2, {"'a b' is not a valid host"});
    check(bench({"ws+unix:/no/such/socket"}), 1, {"/no/such/socket"});
    check(bench({house.url, "--connections", "2000000"}), 1, {"2000000 connections", "hard limit"});
    check(bench({house.url, "--server-pid", "999999999"}), 1, {"--server-pid", "999999999"});

    const wsserver::Descriptor silent{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const auto url = "ws://" + to_string(wsserver::local_endpoint(silent.get()));
    check(bench({url}), 1, {"cannot connect to " + url, "refused"});
    REQUIRE(::listen(silent.get(), 16) == 0);
    check(bench({url, "--timeout", "50ms"}), 7, {url});
    check(bench({url, "--timeout", "20ms", "--mode", "handshake"}), 7, {url});
}

TEST_CASE("bench reports connections that the server ends", "[bench]") {
    const House house;
    check(bench({house.url, "--subprotocol", "closer"}), 5, {"ended 8 of 8 connections", "1008 log in first"});
}

TEST_CASE("bench takes flags and help as connect does", "[bench]") {
    const House house;
    check(run({"bench"}), 2, {"URL is missing"});
    check(run({"bench", "--help"}), 0, {"--in-flight P"});
    check(run({"help", "bench"}), 0, {"--in-flight P"});
    check(run({"help"}), 0, {"  bench  "});
    check(run({"--json", "bench", "--duration", "50ms", "--warm-up", "0", house.url}), 0, {"{\"url\":"});
}
