// How the answers to plain HTTP requests leave a server, on a network in memory: slowly, late, before an opening
// handshake, and when the server stops.
#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/testing.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view upgrade =
    "GET /chat HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const std::string text_frame{"\x81\x82\0\0\0\0hi", 8};

std::string get(std::string_view target) { return "GET " + std::string{target} + " HTTP/1.1\r\nHost: server\r\n\r\n"; }

std::size_t count(std::string_view text, std::string_view word) {
    std::size_t found = 0;
    for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) ++found;
    return found;
}

bool contains(std::string_view text, std::string_view word) { return count(text, word) > 0; }

/// A server with some routes, which decides later about opening handshakes, and one client.
struct Rig {
    explicit Rig(const ServerOptions& options = {}) : server(options) {
        server.handle(Echo{});
        server.handle_http("GET", "/hello", [](const RoutedRequest&) { return HttpResponse{.body = "hi"}; });
        server.handle_http("GET", "/long",
                           [](const RoutedRequest&) { return HttpResponse{.body = std::string(700'000, 'l')}; });
        for (const auto* method : {"GET", "POST"}) {
            server.handle_http(method, "/later",
                               [this](const RoutedRequest&, HttpReply reply) { replies.push_back(std::move(reply)); });
        }
        server.on_upgrade([this](const UpgradeRequest&, UpgradeReply reply) { upgrades.push_back(std::move(reply)); });
    }

    void write(std::string_view bytes) {
        wire.write(bytes);
        server.run();
    }
    /// All that arrives at a client that takes everything from now on.
    std::string rest() {
        wire.set_window(10'000'000);
        server.run();
        return wire.read();
    }

    std::vector<HttpReply> replies;
    std::vector<UpgradeReply> upgrades;
    MemoryServer server;
    MemoryWire wire = server.wire();
};

/// A ticket whose connection cannot be woken, because memory has run out.
class FailingTicket final : public detail::HttpTicket {
   public:
    FailingTicket() : HttpTicket(SendQueueLimits{}) { (void)take(); }
    bool fails = true;

   private:
    SendStatus wake() override {
        if (fails) throw std::bad_alloc{};
        return SendStatus::queued;
    }
};

}  // namespace

TEST_CASE("a rate does not end the time in which the program decides about an upgrade", "[http][upgrade]") {
    ServerOptions options;
    options.connection.receive_rates = {.messages = 10};
    Rig rig{options};
    std::string requests;
    for (int i = 0; i < 9; ++i) requests += get("/hello");
    rig.write(requests + std::string{upgrade});
    REQUIRE(rig.upgrades.size() == 1);
    rig.server.advance(GENERATE(0s, 5s));
    CHECK_FALSE(rig.upgrades[0].is_gone());
    CHECK(rig.upgrades[0](Admission{}) == SendStatus::queued);
    rig.write(text_frame);
    rig.server.advance(2s);
    const std::string all = rig.wire.read();
    CHECK(count(all, "HTTP/1.1 200 ") == 9);
    CHECK(count(all, "HTTP/1.1 101 ") == 1);
    CHECK(all.ends_with("\r\n\r\n\x81\x02hi"));
    CHECK(rig.server.list().at(0).state == "open");
}

TEST_CASE("a request that arrives in parts counts once in the rates", "[http]") {
    ServerOptions options;
    options.connection.receive_rates = {.messages = 2};
    Rig rig{options};
    rig.write(get("/hello"));
    CHECK(rig.wire.read().ends_with("\r\n\r\nhi"));
    for (const char c : get("/hello")) rig.write(std::string{c});
    CHECK(rig.wire.read().ends_with("\r\n\r\nhi"));
}

TEST_CASE("a client has time as long as it takes a stream, even if the program writes more", "[http]") {
    Rig rig;
    rig.wire.set_window(1000);
    rig.write(get("/later"));
    HttpStream stream = rig.replies.at(0).stream({});
    for (int i = 0; i < 10; ++i) {
        CHECK(stream.write(std::string(2000, 'x')) == SendStatus::queued);
        rig.server.advance(20s);
        CHECK_FALSE(rig.wire.read(500).empty());
    }
    CHECK_FALSE(stream.is_gone());
    CHECK(rig.server.ends().empty());
    for (int i = 0; i < 7 && !stream.is_gone(); ++i) {
        (void)stream.write("x");
        rig.server.advance(10s);
    }
    CHECK(stream.is_gone());
    CHECK(rig.server.ends().at(0).cause == "the peer takes no more output");
}

TEST_CASE("a decision about an upgrade waits until the answers before it have left", "[http][upgrade]") {
    Rig rig;
    rig.wire.set_window(10);
    rig.write(get("/hello") + std::string{upgrade});
    REQUIRE(rig.upgrades.size() == 1);
    SECTION("it accepts") {
        CHECK(rig.upgrades[0](Admission{}) == SendStatus::queued);
        rig.write(text_frame);
        CHECK(rig.server.list().at(0).state == "http");
        const std::string all = rig.rest();
        CHECK(contains(all, "\r\n\r\nhiHTTP/1.1 101 "));
        CHECK(all.ends_with("\r\n\r\n\x81\x02hi"));
        rig.write(text_frame);
        CHECK(rig.wire.read() == "\x81\x02hi");
    }
    SECTION("it refuses") {
        CHECK(rig.upgrades[0](Admission::refuse({.status = 403})) == SendStatus::queued);
        rig.server.run();
        CHECK(contains(rig.rest(), "\r\n\r\nhiHTTP/1.1 403 "));
        CHECK(rig.wire.at_end());
    }
    SECTION("it is not made") {
        rig.server.advance(11s);
        CHECK(contains(rig.rest(), "\r\n\r\nhiHTTP/1.1 503 "));
        CHECK(rig.upgrades[0](Admission{}) == SendStatus::closed);
    }
    SECTION("the client does not take them") {
        CHECK(rig.upgrades[0](Admission{}) == SendStatus::queued);
        rig.server.advance(11s);
        CHECK(rig.server.ends().at(0).cause == "the peer takes no more output");
    }
    SECTION("the client goes") {
        CHECK(rig.upgrades[0](Admission{}) == SendStatus::queued);
        rig.server.run();
        rig.wire.reset();
        rig.server.run();
        CHECK(rig.server.ends().size() == 1);
    }
}

TEST_CASE("the time for a client to take answers does not end that of an undecided upgrade", "[http][upgrade]") {
    ServerOptions options;
    options.connection.http.send_timeout = 1s;
    Rig rig{options};
    rig.wire.set_window(10);
    rig.write(get("/hello") + std::string{upgrade});
    rig.server.advance(5s);
    CHECK_FALSE(rig.upgrades.at(0).is_gone());
    CHECK(rig.upgrades[0](Admission{}) == SendStatus::queued);
    CHECK(contains(rig.rest(), "\r\n\r\nhiHTTP/1.1 101 "));
}

TEST_CASE("a refusal follows the answers that are still being sent", "[http]") {
    ServerOptions options;
    options.connection.http.answer_timeout = 5s;
    Rig rig{options};
    rig.wire.set_window(10);
    rig.write(get("/hello") + get("/later"));
    CHECK(rig.replies.size() == 1);
    rig.server.advance(6s);
    CHECK(rig.replies.at(0).is_gone());
    CHECK(contains(rig.rest(), "\r\n\r\nhiHTTP/1.1 503 "));
    CHECK(rig.wire.at_end());
}

TEST_CASE("the time of the program begins when the whole body was received", "[http]") {
    const auto limit = GENERATE(0s, 5s, 100s);
    const bool at_once = GENERATE(true, false);
    ServerOptions options;
    options.connection.http.answer_timeout = limit;
    Rig rig{options};
    rig.wire.write("POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
    if (!at_once) rig.server.advance(40s);
    rig.write("b");
    REQUIRE(rig.replies.size() == 1);
    rig.server.advance(limit == 0s ? 300s : limit - 1s);
    CHECK(rig.wire.unread().empty());
    if (limit == 0s) {
        CHECK(rig.replies[0]({.body = "done"}) == SendStatus::queued);
        CHECK(contains(rig.rest(), "\r\n\r\ndone"));
    } else {
        rig.server.advance(2s);
        CHECK(rig.wire.read().starts_with("HTTP/1.1 503 "));
        CHECK(rig.replies[0].is_gone());
    }
}

TEST_CASE("a server that stops sends the rest of an answer", "[http]") {
    ServerOptions options;
    options.connection.receive_rates = {.messages = 1};  // reading is paused when the server stops
    Rig rig{options};
    rig.wire.set_window(1000);
    rig.write(get("/long"));
    rig.wire.shutdown();
    rig.wire.set_window(10'000'000);
    rig.server.stop(10s);
    CHECK(rig.wire.read().ends_with("\r\n\r\n" + std::string(700'000, 'l')));
    CHECK(rig.wire.at_end());
    REQUIRE(rig.server.ends().size() == 1);
    CHECK(rig.server.ends()[0].info.age < 1s);
}

TEST_CASE("a stream reports that its client has taken what was over the mark", "[http]") {
    ServerOptions options;
    options.connection.send_queue = {.high_mark = 1000, .hard_limit = 3000};
    Rig rig{options};
    int drained = 0;
    rig.wire.set_window(100);
    rig.write(get("/later"));
    SECTION("of the first bytes") {
        HttpStream stream = rig.replies.at(0).stream({.body = std::string(2000, 'x')});
        CHECK(stream.on_drain([&] { ++drained; }) == SendStatus::queued);
        rig.server.run();
        CHECK(drained == 0);
        (void)rig.rest();
        CHECK(drained == 1);
    }
    SECTION("before it was asked to") {
        HttpStream stream = rig.replies.at(0).stream({});
        CHECK(stream.write(std::string(2000, 'x')) == SendStatus::queued);
        (void)rig.rest();
        CHECK(stream.queued() == 0);
        CHECK(stream.on_drain([&] { ++drained; }) == SendStatus::queued);
        CHECK(drained == 0);
        rig.server.run();
        CHECK(drained == 1);
        CHECK(stream.on_drain([&] { ++drained; }) == SendStatus::queued);
        rig.server.run();
        CHECK(drained == 1);
    }
}

TEST_CASE("a stream reports it, too, if the hard limit is below the mark", "[http]") {
    ServerOptions options;
    options.connection.send_queue = {.high_mark = 10'000, .hard_limit = 1000};
    Rig rig{options};
    int drained = 0;
    rig.wire.set_window(100);
    rig.write(get("/later"));
    HttpStream stream = rig.replies.at(0).stream({});
    (void)stream.on_drain([&] { ++drained; });
    while (stream.write(std::string(300, 'x')) == SendStatus::queued) continue;
    rig.server.run();
    CHECK(drained == 0);
    (void)rig.rest();
    CHECK(drained == 1);
}

TEST_CASE("an upload has its time while the client takes what was answered so far", "[http]") {
    Rig rig;
    std::vector<HttpUpload> uploads;
    rig.server.handle_http("PUT", "/both", [&](const RoutedRequest&, HttpUpload body, HttpReply reply) {
        uploads.push_back(std::move(body));
        rig.replies.push_back(std::move(reply));
    });
    std::string pieces;
    const auto read = [&] {
        const auto take = [&](HttpPiece&& piece) { pieces += piece.is_gone ? "gone" : piece.bytes; };
        CHECK(uploads.at(0).read(take) == SendStatus::queued);
        rig.server.run();
    };
    rig.wire.set_window(1000);
    rig.write("PUT /both HTTP/1.1\r\nHost: server\r\nContent-Length: 4\r\n\r\nab");
    read();
    HttpStream stream = rig.replies.at(0).stream({});
    CHECK(stream.write(std::string(9000, 'x')) == SendStatus::queued);
    rig.server.run();
    CHECK(pieces == "ab");
    read();
    rig.write("cd");
    std::size_t taken = 0;
    for (int i = 0; i < 12; ++i) {
        rig.server.advance(20s);
        taken += rig.wire.read(800).size();
    }
    rig.server.run();
    CHECK(taken > 9000);
    CHECK(pieces == "abcd");
    CHECK_FALSE(stream.is_gone());
}

TEST_CASE("an answer that is dropped without memory may be tried again", "[http]") {
    const auto ticket = std::make_shared<FailingTicket>();
    SECTION("an answer") {
        HttpReply reply{ticket};
        CHECK(reply({.body = "a"}) == SendStatus::dropped);
        CHECK_FALSE(ticket->take().response.has_value());
        CHECK(reply.stream({}).is_gone());
        CHECK_FALSE(reply.is_gone());
        ticket->fails = false;
        CHECK(reply({.body = "b"}) == SendStatus::queued);
        CHECK(reply.is_gone());
        CHECK(ticket->take().response.value().body == "b");
    }
    SECTION("the bytes and the end of a stream") {
        HttpStream stream{ticket};
        CHECK(stream.write("a") == SendStatus::dropped);
        CHECK(stream.queued() == 0);
        CHECK(stream.end() == SendStatus::dropped);
        CHECK_FALSE(stream.is_gone());
        ticket->fails = false;
        CHECK(stream.write("b") == SendStatus::queued);
        CHECK(stream.end() == SendStatus::queued);
        const auto asked = ticket->take();
        CHECK(asked.bytes == "b");
        CHECK(asked.ended);
    }
    SECTION("a stream that is destroyed is cut when its connection looks") {
        { const HttpStream stream{ticket}; }
        CHECK(ticket->take().aborted);
    }
}
