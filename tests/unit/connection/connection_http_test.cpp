// Plain HTTP requests to a ServerOn, whose owner is not a Server: its routes, and bodies when memory is short.
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "wsserver/connection/default_owner.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kib = 1024;
const Endpoint place{"server.example", 80, {}};

std::string get(std::string_view target) {
    return "GET " + std::string{target} + " HTTP/1.1\r\nHost: server.example\r\n\r\n";
}

std::string post(std::size_t length, std::string_view target = "/size") {
    return "POST " + std::string{target} +
           " HTTP/1.1\r\nHost: server.example\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

/// A server with routes. POST /size answers with the size of the body, and GET /long with 800 KiB.
struct Rig {
    MemoryNetwork network;
    std::vector<HttpReply> replies;
    std::vector<ConnectionEnd> ends;
    ServerOn<MemoryTransport> server{network};

    Rig() {
        server.handle(Echo{});
        server.handle_http("GET", "/hello/{name}", [](const RoutedRequest& request) {
            return HttpResponse{.body = "hello " + request.parameter("name").value_or("?")};
        });
        const auto size = [](const RoutedRequest& request) {
            return HttpResponse{.body = std::to_string(request.body().size())};
        };
        server.handle_http("POST", "/size", size);
        server.handle_http("POST", "/pooled", size, {.runs = Runs::pooled});
        server.handle_http("GET", "/long",
                           [](const RoutedRequest&) { return HttpResponse{.body = std::string(800 * kib, 'a')}; });
        server.handle_http("POST", "/later",
                           [this](const RoutedRequest&, HttpReply reply) { replies.push_back(std::move(reply)); });
        server.listen(std::move(network.open_listeners(place).front()));
        server.on_end([this](const ConnectionEnd& end) { ends.push_back(end); });
    }

    MemoryWire connect() { return network.wire(place); }
    /// Writes, and returns what was received then.
    std::string ask(MemoryWire& wire, std::string_view bytes) {
        wire.write(bytes);
        network.run_until_idle();
        return wire.read();
    }
    /// `200 body`
    std::string answer_to(std::string_view bytes) {
        auto wire = connect();
        return short_form(ask(wire, bytes));
    }
    static std::string short_form(std::string_view response) {
        if (!response.starts_with("HTTP/1.1 ")) return std::string{response};
        return std::string{response.substr(9, 3)} + ' ' + std::string{response.substr(response.find("\r\n\r\n") + 4)};
    }
    /// A client that has sent `size` bytes of a body of `whole` bytes.
    MemoryWire part(std::size_t size, std::size_t whole, std::string_view target = "/size") {
        auto wire = connect();
        CHECK(ask(wire, post(whole, target) + std::string(size, 'b')).empty());
        return wire;
    }
    const ConnectionCounters& counters() const { return server.counters(); }
};

}  // namespace

TEST_CASE("a default owner has routes for plain requests", "[connection_http]") {
    Rig rig;
    auto wire = rig.connect();
    for (const auto* name : {"Ann", "Bob"}) {  // on one stream
        CHECK(Rig::short_form(rig.ask(wire, get(std::string{"/hello/"} + name))) == std::string{"200 hello "} + name);
    }
    CHECK(rig.answer_to(post(3) + "abc") == "200 3");
    CHECK(rig.answer_to(post(4, "/pooled") + "abcd") == "200 4");
    CHECK(rig.answer_to(get("/nowhere")) == "404 nothing is at this path\n");
    CHECK(rig.answer_to(get("/size")) == "405 this path does not have this method\n");
    CHECK(rig.counters().http_answered.read() == 4);
    CHECK(rig.counters().http_unrouted.read() == 2);

    auto later = rig.part(2, 2, "/later");
    REQUIRE(rig.replies.size() == 1);
    CHECK(rig.replies[0]({.body = "now"}) == SendStatus::queued);
    rig.network.run_until_idle();
    CHECK(Rig::short_form(later.read()) == "200 now");

    WireClient client{std::move(wire)};
    client.wire().write(upgrade_request());
    rig.network.run_until_idle();
    CHECK(client.read_response().starts_with("HTTP/1.1 101 "));
    client.send("hi");
    rig.network.run_until_idle();
    CHECK(client.read() == std::vector<std::string>{"text hi"});
}

TEST_CASE("a client with many pipelined requests does not keep others waiting", "[connection_http]") {
    Rig rig;
    auto loud = rig.connect(), quiet = rig.connect();
    std::string many;
    for (int i = 0; i < 5000; ++i) many += get("/hello/x");
    loud.write(many);
    rig.network.run_until_idle(4);
    quiet.write(get("/hello/Ann"));
    std::size_t turns = 0;
    std::string answer;
    for (; answer.empty() && turns < 50; ++turns) {
        (void)rig.network.run_until_idle(1);
        answer = quiet.read();
    }
    CHECK(Rig::short_form(answer) == "200 hello Ann");
    CHECK(rig.counters().http_answered.read() < 3000);
    rig.network.run_until_idle();
    CHECK(rig.counters().http_answered.read() == 5001);
}

TEST_CASE("when memory is short, the largest bodies wait, and others are served", "[connection_http][memory_budget]") {
    constexpr std::size_t whole = 300 * kib;
    Rig rig;
    rig.server.set_memory_limit(4000 * kib);
    std::vector<MemoryWire> clients;
    while (rig.counters().memory_pauses.read() == 0 && clients.size() < 100) {
        clients.push_back(rig.part(200 * kib, whole));
    }
    CHECK(rig.counters().memory_pauses.read() > 0);
    CHECK(rig.server.memory() >= 3000 * kib);
    CHECK(rig.answer_to(get("/hello/Ann")) == "200 hello Ann");
    CHECK(rig.answer_to(post(1000) + std::string(1000, 'b')) == "200 1000");

    for (MemoryWire& client : clients) client.write(std::string(whole - 200 * kib, 'b'));
    rig.network.advance(2s);
    for (MemoryWire& client : clients) CHECK(Rig::short_form(client.read()) == "200 " + std::to_string(whole));
    CHECK(rig.counters().closed_for_memory.read() == 0);
    CHECK(rig.server.memory() == 0);
}

TEST_CASE("a body of more than three quarters of the limit gets a 413", "[connection_http][rfc9110-15.5.14]") {
    Rig rig;
    rig.server.set_memory_limit(1000 * kib);
    auto wire = rig.connect();
    SECTION("at once if its length is known") {
        CHECK(rig.ask(wire, post(750 * kib + 1)).starts_with("HTTP/1.1 413 "));
    }
    SECTION("as soon as it is longer if it is chunked") {
        const std::string chunk = "10000\r\n" + std::string(64 * kib, 'b') + "\r\n";
        CHECK(rig.ask(wire, "POST /size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").empty());
        for (int i = 0; i < 11; ++i) CHECK(rig.ask(wire, chunk).empty());
        CHECK(rig.server.memory() <= 750 * kib);  // also the memory that is not filled yet
        CHECK(rig.ask(wire, chunk).starts_with("HTTP/1.1 413 "));
    }
    SECTION("but not one of three quarters") {
        CHECK(rig.ask(wire, post(750 * kib) + std::string(740 * kib, 'b')).empty());
        CHECK(Rig::short_form(rig.ask(wire, std::string(10 * kib, 'b'))) == "200 " + std::to_string(750 * kib));
    }
    SECTION("until the limit is raised") {
        rig.server.set_memory_limit(0);
        CHECK(Rig::short_form(rig.ask(wire, post(800 * kib) + std::string(800 * kib, 'b'))) ==
              "200 " + std::to_string(800 * kib));
    }
    rig.network.advance(10ms);
    CHECK(rig.server.memory() == 0);
    CHECK(rig.counters().memory_pauses.read() == 0);
    CHECK(rig.counters().closed_for_memory.read() == 0);
}

TEST_CASE("a body waits for memory that a longer answer holds", "[connection_http][memory_budget]") {
    Rig rig;
    const bool is_read = GENERATE(false, true);  // otherwise the largest holder is a body that the program has
    MemoryWire large = is_read ? rig.connect() : rig.part(800 * kib, 800 * kib, "/later");
    if (is_read) {
        large.set_window(0);
        CHECK(rig.ask(large, get("/long")).empty());
    }
    auto body = rig.part(100 * kib, 110 * kib);
    CHECK(rig.counters().memory_pauses.read() == 0);
    rig.server.set_memory_limit(1150 * kib);  // the mark is at 862 KiB
    rig.network.advance(10ms);
    CHECK(rig.counters().memory_pauses.read() == 1);
    CHECK(rig.ask(body, std::string(10 * kib, 'b')).empty());
    large.reset();
    rig.network.advance(1s);
    CHECK(Rig::short_form(body.read()) == "200 " + std::to_string(110 * kib));
    CHECK(rig.counters().closed_for_memory.read() == 0);
}

TEST_CASE("over the limit, the largest body gets a 503", "[connection_http][memory_budget][rfc9110-15.6.4]") {
    Rig rig;
    const bool is_read = GENERATE(true, false);  // otherwise the program has not answered yet
    auto large = is_read ? rig.part(600 * kib, 700 * kib) : rig.part(600 * kib, 600 * kib, "/later");
    auto small = rig.part(100 * kib, 101 * kib);
    rig.server.set_memory_limit(500 * kib);
    rig.network.advance(10ms);
    CHECK(large.read().starts_with("HTTP/1.1 503 "));
    CHECK(rig.counters().closed_for_memory.read() == 1);
    CHECK(rig.server.memory() < 500 * kib);
    CHECK(Rig::short_form(rig.ask(small, std::string(kib, 'b'))) == "200 " + std::to_string(101 * kib));
    large.write(std::string(100 * kib, 'b'));  // is ignored
    rig.network.advance(1s);
    CHECK(rig.server.memory() == 0);
    if (!is_read) CHECK(rig.replies.at(0)({}) == SendStatus::closed);
}

TEST_CASE("a body that waits too long for memory gets a 503", "[connection_http][memory_budget]") {
    Rig rig;
    auto large = rig.part(600 * kib, 700 * kib);
    rig.server.set_memory_limit(rig.server.memory() + rig.server.memory() / 8);
    rig.network.advance(10ms);
    CHECK(rig.counters().memory_pauses.read() == 1);
    large.write(std::string(100 * kib, 'b'));
    constexpr auto longest = MemoryBudget::longest_pause;
    rig.network.advance(longest - 1s);
    CHECK(large.read().empty());
    rig.network.advance(10s);
    CHECK(large.read().starts_with("HTTP/1.1 503 "));
    CHECK(rig.counters().closed_for_memory.read() == 1);
    CHECK(rig.server.memory() == 0);
}

TEST_CASE("of bodies that wait too long, as many get a 503 as others need", "[connection_http][memory_budget]") {
    constexpr std::size_t whole = 101 * kib;
    Rig rig;
    std::vector<MemoryWire> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(rig.part(100 * kib, whole));
    rig.server.set_memory_limit(rig.server.memory());
    rig.network.advance(10ms);
    REQUIRE(rig.counters().memory_pauses.read() == 20);
    rig.network.advance(MemoryBudget::longest_pause + 1s);
    CHECK(rig.counters().closed_for_memory.read() == 5);  // down to three quarters
    std::size_t answered = 0;
    for (MemoryWire& client : clients) {
        const auto refusal = client.read();
        if (refusal.starts_with("HTTP/1.1 503 ")) continue;
        CHECK(refusal.empty());
        CHECK(Rig::short_form(rig.ask(client, std::string(kib, 'b'))) == "200 " + std::to_string(whole));
        ++answered;
    }
    CHECK(answered == 15);
    CHECK(rig.counters().message_timeouts.read() == 0);
}

TEST_CASE("a pause that helped gives a body its whole time again", "[connection_http][memory_budget]") {
    Rig rig;
    rig.server.set_options({.message_timeout = 10s});
    auto large = rig.part(600 * kib, 601 * kib);
    rig.network.advance(8s);
    rig.server.set_memory_limit(rig.server.memory() + rig.server.memory() / 8);
    rig.network.advance(8s);
    CHECK(rig.counters().memory_pauses.read() == 1);
    rig.server.set_memory_limit(0);
    rig.network.advance(8s);
    CHECK(Rig::short_form(rig.ask(large, std::string(kib, 'b'))) == "200 " + std::to_string(601 * kib));
    CHECK(rig.counters().message_timeouts.read() == 0);
    SECTION("but no more") {
        large.write(post(10));
        rig.network.advance(21s);
        CHECK(large.read().starts_with("HTTP/1.1 408 "));
    }
}

TEST_CASE("a client may leave while its body waits for memory", "[connection_http][memory_budget]") {
    Rig rig;
    auto large = rig.part(600 * kib, 700 * kib);
    rig.server.set_memory_limit(rig.server.memory() + rig.server.memory() / 8);
    rig.network.advance(10ms);
    CHECK(rig.counters().memory_pauses.read() == 1);
    large.reset();
    rig.network.advance(2min);
    CHECK(rig.server.memory() == 0);
    CHECK(rig.ends.size() == 1);
}
