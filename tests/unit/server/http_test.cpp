// Plain HTTP requests to the routes of a server, on a network in memory.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/strings.hpp"
#include "wsserver/testing.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

std::string get(std::string_view target, std::string_view fields = {}) {
    return "GET " + std::string{target} + " HTTP/1.1\r\nHost: server\r\n" + std::string{fields} + "\r\n";
}

std::string post(std::string_view target, std::string_view body, std::string_view fields = {}) {
    return "POST " + std::string{target} + " HTTP/1.1\r\nHost: server\r\n" + std::string{fields} +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string{body};
}

std::string chunked(std::string_view target, std::string_view coded, std::string_view fields = {}) {
    return "POST " + std::string{target} + " HTTP/1.1\r\nHost: server\r\n" + std::string{fields} +
           "Transfer-Encoding: chunked\r\n\r\n" + std::string{coded};
}

/// Splits the bytes of a stream into responses, one line each: the status, its fields that matter here, and its body.
Strings responses_in(std::string_view text, bool head = false) {
    Strings lines;
    while (!text.empty()) {
        const auto end = text.find("\r\n\r\n");
        if (end == std::string_view::npos || !text.starts_with("HTTP/1.1 ")) {
            lines.push_back("? " + std::string{text});
            break;
        }
        const std::string fields{text.substr(0, end + 2)};
        text.remove_prefix(end + 4);
        const auto value = [&](std::string_view name) -> std::optional<std::string> {
            const auto at = fields.find("\r\n" + std::string{name} + ": ");
            if (at == std::string::npos) return std::nullopt;
            const auto begin = at + 4 + name.size();
            return fields.substr(begin, fields.find('\r', begin) - begin);
        };
        std::string line = fields.substr(9, 3);
        for (const auto* name : {"Connection", "Allow", "Transfer-Encoding", "X"}) {
            if (const auto found = value(name)) line += ' ' + std::string{name} + ": " + *found;
        }
        if (const auto length = value("Content-Length"); length && !head) {
            line += " | " + std::string{text.substr(0, std::stoul(*length))};
            text.remove_prefix(std::min(text.size(), std::size_t{std::stoul(*length)}));
        } else if (!length && value("Transfer-Encoding") && !head) {
            const auto last = text.find("0\r\n\r\n");
            line += " | " + std::string{text.substr(0, last)};
            text.remove_prefix(last == std::string_view::npos ? text.size() : last + 5);
            if (last == std::string_view::npos) line += "...";
        }
        lines.push_back(std::move(line));
    }
    return lines;
}

/// A server with some routes.
struct Rig {
    explicit Rig(const ServerOptions& options = {}) : server(options) {
        server.handle(Echo{});
        server.handle_http("GET", "/hello", [](const RoutedRequest&) { return HttpResponse{.body = "hi"}; });
        server.handle_http("POST", "/rooms/{room}/messages", [this](const RoutedRequest& request) {
            seen.push_back(std::string{request.method()} + " " + std::string{request.path()} + " " +
                           request.parameter("room").value_or("-") + " " + request.query("n").value_or("-") + " " +
                           std::string{request.cookie("sid").value_or("-")} + " " + std::string{request.find("x-a")} +
                           " " + std::string{request.peer()} + " " + std::string{request.body()});
            return HttpResponse{.status = 201, .fields = {{"X", "y"}}, .body = std::string{request.body()}};
        });
        server.handle_http(
            "POST", "/pooled",
            [](const RoutedRequest& request) { return HttpResponse{.body = "pooled " + std::string{request.body()}}; },
            {.runs = Runs::pooled});
        server.handle_http("GET", "/later", [this](const RoutedRequest& request, HttpReply reply) {
            seen.emplace_back(request.target());
            replies.push_back(std::move(reply));
        });
        server.handle_http("PUT", "/upload", [this](const RoutedRequest&, HttpUpload body, HttpReply reply) {
            uploads.push_back(std::move(body));
            replies.push_back(std::move(reply));
        });
        server.handle_http("GET", "/throws",
                           [](const RoutedRequest&) -> HttpResponse { throw std::runtime_error("no"); });
    }

    /// Writes on a new stream. Returns the responses.
    Strings ask(std::string_view bytes) {
        wires.push_back(server.wire());
        return on(wires.back(), bytes);
    }
    Strings on(MemoryWire& wire, std::string_view bytes) {
        wire.write(bytes);
        server.run();
        return responses_in(wire.read());
    }
    MemoryWire& wire() { return wires.back(); }
    std::uint64_t unread() { return wires.back().unread().size(); }
    void read_piece(HttpUpload& upload) {
        (void)upload.read([this](HttpPiece&& piece) {
            seen.push_back((piece.is_gone ? "gone" : piece.is_last ? "last " : "piece ") + piece.bytes);
        });
        server.run();
    }

    Strings seen;
    std::vector<HttpReply> replies;
    std::vector<HttpUpload> uploads;
    std::vector<HttpStream> streams;
    MemoryServer server;
    std::vector<MemoryWire> wires;
};

}  // namespace

TEST_CASE("a route answers its method and path", "[http]") {
    Rig rig;
    CHECK(rig.ask(get("/hello?a=b")) == Strings{"200 | hi"});
    CHECK(rig.ask(post("/rooms/a%20b/messages?n=1", "text", "Cookie: sid=ann\r\nX-A: z\r\n")) ==
          Strings{"201 X: y | text"});
    CHECK(rig.seen.at(0).starts_with("POST /rooms/a%20b/messages a b 1 ann z 127.0.0.1:"));
    CHECK(rig.seen.at(0).ends_with(" text"));
    CHECK(rig.ask(chunked("/rooms/c/messages", "2\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n")) == Strings{"201 X: y | abc"});
    CHECK(rig.ask(post("/pooled", "job")) == Strings{"200 | pooled job"});
    CHECK(rig.ask(get("/throws")) == Strings{"500 | the server failed to answer\n"});
}

TEST_CASE("responses have the Date of the server's clock", "[http][rfc9110-6.6.1]") {
    MemoryServer server{Echo{}};
    const bool routed = GENERATE(false, true);
    if (routed) {
        server.handle_http("GET", "/routed", [](const RoutedRequest&) { return HttpResponse{}; });
        server.handle_http("GET", "/streamed",
                           [](const RoutedRequest&, HttpReply reply) { (void)std::move(reply).stream({}).end(); });
        server.handle_http("GET", "/dated", [](const RoutedRequest&) {
            return HttpResponse{.fields = {{"date", "Sun, 06 Nov 1994 08:49:37 GMT"}}};
        });
    }
    server.on_http([](const HttpRequest& request) -> std::optional<HttpResponse> {
        if (request.target == "/page") return HttpResponse{};
        return std::nullopt;
    });
    server.on_upgrade([](const UpgradeRequest&) { return Admission::refuse({.status = 401}); });
    const auto dates = [&](std::string_view request) {
        auto wire = server.wire();
        wire.write(request);
        server.run();
        const std::string text = wire.read();
        Strings found;
        for (std::size_t at = 0; (at = text.find("\r\nDate: ", at)) != text.npos; ++at) {
            found.push_back(text.substr(at + 8, 29));
        }
        return found;
    };
    const Strings first{"Thu, 01 Jan 1970 01:00:00 GMT"};
    for (const auto* target : {"/page", "/nowhere", "/routed", "/streamed"}) {
        CAPTURE(target);
        CHECK(dates(get(target)) == first);
    }
    CHECK(dates("rubbish\r\n\r\n") == first);
    CHECK(dates(get("/",
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")) == first);
    if (routed) CHECK(dates(get("/dated")).empty());  // its own field, in lower case
    server.advance(1s);
    CHECK(dates(get("/page")) == Strings{"Thu, 01 Jan 1970 01:00:01 GMT"});
    CHECK(dates("rubbish\r\n\r\n") == Strings{"Thu, 01 Jan 1970 01:00:01 GMT"});
}

TEST_CASE("a request that no route answers gets a 404 or a 405 with Allow", "[http][rfc9110-15.5.6]") {
    Rig rig;
    CHECK(rig.ask(get("/nowhere")) == Strings{"404 | nothing is at this path\n"});
    CHECK(rig.ask(post("/hello", "")) ==
          Strings{"405 Allow: GET, HEAD, OPTIONS | this path does not have this method\n"});
    CHECK(rig.ask("OPTIONS /hello HTTP/1.1\r\nHost: h\r\n\r\n") == Strings{"204 Allow: GET, HEAD, OPTIONS"});
    CHECK(rig.ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n") == Strings{"204 Allow: GET, HEAD, OPTIONS, POST, PUT"});
    CHECK(rig.ask("OPTIONS /nowhere HTTP/1.1\r\nHost: h\r\n\r\n").at(0).starts_with("404"));
    for (const auto* other : {"BREW", "PATCH", "hello"}) {
        CHECK(rig.ask(std::string{other} + " /hello HTTP/1.1\r\nHost: h\r\n\r\n")
                  .at(0)
                  .starts_with("405 Allow: GET, HEAD, OPTIONS"));
    }
    CHECK(rig.ask("CONNECT /rooms/a/messages HTTP/1.1\r\nHost: h\r\n\r\nbytes") ==
          Strings{"405 Connection: close Allow: OPTIONS, POST | this path does not have this method\n"});
    CHECK(rig.ask("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n").at(0).starts_with("405 Connection: close Allow: "));
    // What is not read could be taken for a request.
    CHECK(rig.ask(post("/nowhere", "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")) ==
          Strings{"404 Connection: close | nothing is at this path\n"});
    rig.server.on_http([](const HttpRequest& request) -> std::optional<HttpResponse> {
        if (request.target != "/page" && request.target != "/pooled") return std::nullopt;
        return HttpResponse{.body = "page"};
    });
    CHECK(rig.ask(get("/page")) == Strings{"200 | page"});
    CHECK(rig.ask(get("/pooled")) == Strings{"200 | page"});  // its only route is for POST
    CHECK(rig.ask(get("/nowhere")).at(0).starts_with("404"));
    CHECK(rig.ask(post("/page", "")).at(0).starts_with("404"));
}

TEST_CASE("the most specific route that has the method is chosen", "[http]") {
    MemoryServer server;
    const auto named = [](std::string name) {
        return [name](const RoutedRequest& request) {
            return HttpResponse{.body = name + request.parameter("x").value_or("")};
        };
    };
    server.handle_http("GET", "/{x}", named("any "));
    server.handle_http("POST", "/a", named("post a"));
    server.handle_http("GET", "/files/{x...}", named("files "));
    server.handle_http("GET", "/b", named("b"));
    server.handle_http("GET", "/b", named("new b"));
    server.handle_http("OPTIONS", "/b", named("options"));
    const auto ask = [&](std::string_view method, std::string_view target) {
        auto wire = server.wire();
        wire.write(std::string{method} + " " + std::string{target} + " HTTP/1.1\r\nHost: h\r\n\r\n");
        server.run();
        return responses_in(wire.read()).at(0);
    };
    CHECK(ask("GET", "/a") == "200 | any a");
    CHECK(ask("POST", "/a") == "200 | post a");
    CHECK(ask("GET", "/b?c") == "200 | new b");
    CHECK(ask("OPTIONS", "/b") == "200 | options");
    CHECK(ask("GET", "/files/x/y%2Fz") == "200 | files x/y/z");
    CHECK(ask("PUT", "/a") == "405 Allow: GET, HEAD, OPTIONS, POST | this path does not have this method\n");
    CHECK_THROWS_WITH(server.handle_http("GET", "/files/{y...}", named("")),
                      Catch::Matchers::EndsWith("matches the same paths; use the same names"));
    CHECK_THROWS_AS(server.handle_http("GET", "b", named("")), std::invalid_argument);
    CHECK_THROWS_AS(server.handle_http("get", "/b", named("")), std::invalid_argument);
    CHECK_THROWS_AS(server.handle_http("CONNECT", "/b", named("")), std::invalid_argument);
}

TEST_CASE("a route takes only the options of its function", "[http]") {
    MemoryServer server;
    const auto later = [](const RoutedRequest&, HttpReply) {};
    const auto upload = [](const RoutedRequest&, HttpUpload, HttpReply) {};
    CHECK_THROWS_AS(server.handle_http("GET", "/a", later, {.runs = Runs::pooled}), std::invalid_argument);
    CHECK_THROWS_AS(server.handle_http("PUT", "/a", upload, {.runs = Runs::pooled}), std::invalid_argument);
    CHECK_THROWS_AS(server.handle_http("PUT", "/a", upload, {.max_body = 5}), std::invalid_argument);
    CHECK_NOTHROW(server.handle_http("PUT", "/a", later, {.max_body = 5}));
}

TEST_CASE("a route for HEAD is chosen before the one for GET, whatever the order of the calls", "[http]") {
    MemoryServer server;
    const auto named = [](std::string name) {
        return [name](const RoutedRequest&) { return HttpResponse{.fields = {{"X", name}}}; };
    };
    server.handle_http("GET", "/{x}", named("any get"));
    server.handle_http("HEAD", "/{x}", named("any head"));
    server.handle_http("HEAD", "/a", named("a head"));
    server.handle_http("GET", "/a", named("a get"));
    server.handle_http("GET", "/b", named("b get"));
    server.handle_http("POST", "/c", named("c post"));
    const auto head = [&](std::string_view target) {
        auto wire = server.wire();
        wire.write("HEAD " + std::string{target} + " HTTP/1.1\r\nHost: h\r\n\r\n");
        server.run();
        return responses_in(wire.read(), true).at(0);
    };
    CHECK(head("/a") == "200 X: a head");
    CHECK(head("/b") == "200 X: b get");
    CHECK(head("/c") == "200 X: any head");
    CHECK(head("/d") == "200 X: any head");
}

TEST_CASE("an answer with an interim status is a failure", "[http][rfc9110-15.2]") {
    const unsigned status = GENERATE(100U, 101U, 103U, 199U, 0U, 1000U);
    Rig rig;
    rig.server.handle_http("GET", "/interim",
                           [&](const RoutedRequest&) { return HttpResponse{.status = status, .body = "no"}; });
    const Strings failed{"500 | the server failed to answer\n"};
    CHECK(rig.ask(get("/interim")) == failed);
    CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
    CHECK(rig.on(rig.wire(), get("/later")).empty());
    HttpStream stream = rig.replies.at(0).stream({.status = status, .body = "no"});
    rig.server.run();
    CHECK(responses_in(rig.wire().read()) == failed);
    CHECK(stream.write("more") == SendStatus::closed);
    CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
}

TEST_CASE("a refusal of HEAD has no content, and its target is reported", "[http]") {
    ServerOptions options;
    options.connection.http.answer_timeout = 5s;
    Rig rig{options};
    auto wire = rig.server.wire();
    wire.write("HEAD /later?a=long+enough+to+be+moved HTTP/1.1\r\nHost: h\r\n\r\n");
    rig.server.advance(6s);
    CHECK(wire.read().ends_with("\r\n\r\n"));
    rig.server.advance(10s);
    CHECK(rig.server.ends().at(0).target == "/later?a=long+enough+to+be+moved");
    CHECK(rig.ask(post("/pooled?a=long+enough+to+be+moved", "x", "Connection: close\r\n")).size() == 1);
    rig.server.advance(10s);
    CHECK(rig.server.ends().at(1).target == "/pooled?a=long+enough+to+be+moved");
}

TEST_CASE("a HEAD request is answered as GET, without the body", "[http][rfc9110-9.3.2]") {
    Rig rig;
    rig.server.handle_http("GET", "/stream", [](const RoutedRequest&, HttpReply reply) {
        auto stream = reply.stream({.body = "abc"});
        stream.write("def");
        stream.end();
    });
    auto wire = rig.server.wire();
    const auto head = [&](std::string_view target) {
        wire.write("HEAD " + std::string{target} + " HTTP/1.1\r\nHost: h\r\n\r\n");
        rig.server.run();
        return wire.read();
    };
    const std::string response = head("/hello");
    CHECK(response.find("\r\nContent-Length: 2\r\n") != std::string::npos);
    CHECK(response.ends_with("\r\n\r\n"));
    CHECK(responses_in(head("/stream"), true) == Strings{"200 Transfer-Encoding: chunked"});
    CHECK(responses_in(head("/nowhere"), true) == Strings{"404"});
    CHECK(rig.on(wire, get("/hello")) == Strings{"200 | hi"});
}

TEST_CASE("a stream is kept for further requests", "[http][rfc9112-9.3]") {
    Rig rig;
    CHECK(rig.ask(get("/hello")) == Strings{"200 | hi"});
    CHECK(rig.on(rig.wire(), post("/rooms/1/messages", "a")) == Strings{"201 X: y | a"});
    CHECK(rig.on(rig.wire(), get("/nowhere")).at(0).starts_with("404 |"));
    CHECK(rig.server.list().at(0).state == "http");
    CHECK(rig.on(rig.wire(), get("/hello", "Connection: close\r\n")) == Strings{"200 Connection: close | hi"});
    CHECK(rig.wire().at_end());
    CHECK(rig.ask("GET /hello HTTP/1.0\r\n\r\n") == Strings{"200 Connection: close | hi"});
    CHECK(rig.wire().at_end());
    CHECK(rig.ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") ==
          Strings{"200 Connection: keep-alive | hi"});
    CHECK_FALSE(rig.wire().at_end());
    CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
    rig.wire().shutdown();
    rig.server.run();
    CHECK(rig.wire().at_end());
}

TEST_CASE("an upgrade may follow on a kept stream", "[http][rfc6455-4.2]") {
    Rig rig;
    constexpr std::string_view upgrade =
        "GET /chat HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    const std::string frame = {"\x81\x82\0\0\0\0hi", 8};
    const bool at_once = GENERATE(false, true);
    auto wire = rig.server.wire();
    wire.write(get("/hello"));
    if (!at_once) rig.server.run();
    wire.write(upgrade);
    if (!at_once) rig.server.run();
    wire.write(frame);
    rig.server.run();
    const std::string all = wire.read();
    CHECK(all.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(all.find("\r\n\r\nhiHTTP/1.1 101 Switching Protocols\r\n") != std::string::npos);
    CHECK(all.ends_with("\r\n\r\n\x81\x02hi"));
    CHECK(rig.server.list().at(0).state == "open");
}

TEST_CASE("pipelined requests are answered in their order", "[http][rfc9112-9.3.2]") {
    Rig rig;
    CHECK(rig.ask(get("/hello") + get("/later?1") + post("/pooled", "x") + get("/later?2") + get("/hello")) ==
          Strings{"200 | hi"});
    CHECK(rig.seen == Strings{"/later?1"});  // the other one waits for the answer to the first
    CHECK(rig.replies.at(0)({.body = "one"}) == SendStatus::queued);
    CHECK(rig.replies.at(0).is_gone());
    rig.server.run();
    CHECK(responses_in(rig.wire().read()) == Strings{"200 | one", "200 | pooled x"});
    CHECK(rig.seen == Strings{"/later?1", "/later?2"});
    CHECK(rig.on(rig.wire(), get("/hello")).empty());
    CHECK(rig.replies.at(1)({.status = 404, .body = "two"}) == SendStatus::queued);
    rig.server.run();
    CHECK(responses_in(rig.wire().read()) == Strings{"404 | two", "200 | hi", "200 | hi"});
}

TEST_CASE("requests are the same, wherever they are cut", "[http]") {
    const std::string text = get("/hello") + post("/rooms/1/messages", "abc") +
                             chunked("/pooled", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n") + get("/nowhere") +
                             "HEAD /hello HTTP/1.0\r\n\r\n" + get("/hello");
    Rig rig;
    auto whole = rig.server.wire();
    whole.write(text);
    rig.server.run();
    const std::string expected = whole.read();
    CHECK(whole.at_end());
    for (std::size_t at = 1; at < text.size(); ++at) {
        auto wire = rig.server.wire();
        wire.write(text.substr(0, at));
        rig.server.run();
        wire.write(text.substr(at));
        rig.server.run();
        CAPTURE(at);
        REQUIRE(wire.read() == expected);
    }
    auto dripped = rig.server.wire();
    for (const char c : text) {
        dripped.write(std::string{c});
        rig.server.run();
    }
    CHECK(dripped.read() == expected);
}

TEST_CASE("nothing is served after a request that is refused", "[http][rfc9112-11.2]") {
    Rig rig;
    const std::string after = get("/hello");
    const auto refusal = [&](std::string_view request, std::string_view status) {
        CAPTURE(request);
        const auto got = rig.ask(std::string{request} + after);
        REQUIRE(got.size() == 1);
        CHECK(got[0].starts_with(std::string{status} + " Connection: close"));
        CHECK(rig.wire().at_end());
        CHECK(rig.on(rig.wire(), after).empty());
    };
    refusal(chunked("/pooled", "0\r\n\r\n", "Content-Length: 5\r\n"), "400");
    refusal(chunked("/pooled", "0\r\n\r\n", "Transfer-Encoding: gzip\r\n"), "501");
    refusal(chunked("/pooled", "5\nhello\r\n0\r\n\r\n"), "400");
    refusal(chunked("/pooled", "1\r\nab\r\n0\r\n\r\n"), "400");
    refusal(post("/pooled", "a", "Content-Length: 1\r\n"), "400");
    refusal(post("/pooled", "a", "A : b\r\n"), "400");
    refusal(post("/pooled", "a", "A: b\r\n c\r\n"), "400");
    refusal(post("/pooled", "a", "Expect: x\r\n"), "417");
    refusal("GET /hello HTTP/2.0\r\nHost: h\r\n\r\n", "505");
    refusal("GET /hello HTTP/1.1\r\n\r\n", "400");
    refusal("GET /hello HTTP/1.1\nHost: h\n\n", "400");
    std::map<unsigned, int> refusals;
    rig.server.advance(10s);
    for (const ConnectionEnd& end : rig.server.ends()) ++refusals[end.refused_with];
    CHECK(refusals == std::map<unsigned, int>{{400, 8}, {417, 1}, {501, 1}, {505, 1}});
}

TEST_CASE("a body over its limit gets a 413", "[http][rfc9110-15.5.14]") {
    ServerOptions options;
    options.connection.http.max_body = 5;
    Rig rig{options};
    rig.server.handle_http(
        "POST", "/large",
        [](const RoutedRequest& request) { return HttpResponse{.body = std::string{request.body()}}; },
        {.max_body = 10});
    CHECK(rig.ask(post("/pooled", "12345")).at(0).starts_with("200"));
    CHECK(rig.ask(post("/pooled", "123456") + get("/hello")).at(0).starts_with("413 Connection: close"));
    CHECK(rig.ask(chunked("/pooled", "3\r\n123\r\n2\r\n45\r\n0\r\n\r\n")).at(0).starts_with("200"));
    CHECK(rig.ask(chunked("/pooled", "3\r\n123\r\n3\r\n456\r\n")).at(0).starts_with("413 Connection: close"));
    CHECK(rig.ask(chunked("/pooled", "fffffffff\r\n123456")).at(0).starts_with("413"));
    CHECK(rig.ask(post("/large", "1234567890")) == Strings{"200 | 1234567890"});
    CHECK(rig.ask("POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n")
              .at(0)
              .starts_with("413"));
}

TEST_CASE("a client that expects a 100 gets it before it sends the body", "[http][rfc9110-10.1.1]") {
    Rig rig;
    const std::string expect = "Expect: 100-continue\r\n";
    const std::string head = "POST /pooled HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" + expect + "\r\n";
    CHECK(rig.ask(head) == Strings{"100"});
    CHECK(rig.on(rig.wire(), "ab" + get("/hello")) == Strings{"200 | pooled ab", "200 | hi"});
    CHECK(rig.ask(post("/nowhere", "", expect)) == Strings{"404 | nothing is at this path\n"});
    CHECK(rig.ask("POST /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" + expect + "\r\n")
              .at(0)
              .starts_with("405 Connection: close"));
    // In pieces: when the program wants the body.
    CHECK(rig.ask("PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n" + expect + "\r\n").empty());
    rig.read_piece(rig.uploads.at(0));
    CHECK(responses_in(rig.wire().read()) == Strings{"100"});
    CHECK(rig.on(rig.wire(), "ab").empty());
    CHECK(rig.seen == Strings{"last ab"});
    CHECK(rig.replies.at(0)({.body = "done"}) == SendStatus::queued);
    rig.server.run();
    CHECK(responses_in(rig.wire().read()) == Strings{"200 | done"});
}

TEST_CASE("a body in pieces is received as the program takes it", "[http]") {
    Rig rig;
    CHECK(rig.ask("PUT /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").empty());
    REQUIRE(rig.uploads.size() == 1);
    HttpUpload& body = rig.uploads[0];
    CHECK(rig.seen.empty());
    rig.read_piece(body);
    CHECK(rig.seen == Strings{"piece ab"});
    CHECK(rig.on(rig.wire(), "3\r\ncde\r\n2\r\nfg\r\n").empty());
    CHECK(rig.seen.size() == 1);
    rig.read_piece(body);
    rig.read_piece(body);
    CHECK(rig.seen == Strings{"piece ab", "piece cde", "piece fg"});
    rig.read_piece(body);  // there is none yet
    CHECK(body.read([](HttpPiece&&) {}) == SendStatus::refused);
    CHECK(body.read(nullptr) == SendStatus::refused);
    CHECK(rig.seen.size() == 3);
    CHECK(rig.on(rig.wire(), "0\r\n\r\n" + get("/hello")).empty());
    CHECK(rig.seen.back() == "last ");
    CHECK(body.read([](HttpPiece&&) {}) == SendStatus::closed);
    CHECK(rig.replies.at(0)({.body = "done"}) == SendStatus::queued);
    rig.server.run();
    CHECK(responses_in(rig.wire().read()) == Strings{"200 | done", "200 | hi"});
    CHECK(body.is_gone());
    CHECK(body.read([](HttpPiece&&) {}) == SendStatus::closed);
}

TEST_CASE("a program that asks for more after the last piece is told so", "[http]") {
    Rig rig;
    Strings statuses;
    rig.server.handle_http("POST", "/all", [&](const RoutedRequest&, HttpUpload upload, HttpReply reply) {
        const auto body = std::make_shared<HttpUpload>(std::move(upload));
        rig.replies.push_back(std::move(reply));
        (void)body->read([body, &statuses](HttpPiece&& piece) {
            statuses.push_back(piece.is_last ? "last " + piece.bytes : "piece");
            statuses.emplace_back(to_string(body->read([](HttpPiece&&) {})));
        });
    });
    const std::string body = GENERATE("", "ab");
    CHECK(rig.ask(post("/all", body)).empty());
    CHECK(statuses == Strings{"last " + body, "closed"});
}

TEST_CASE("a route that throws tells who waits for a piece of the body", "[http]") {
    Rig rig;
    rig.server.handle_http("POST", "/throws", [&](const RoutedRequest&, HttpUpload body, HttpReply) {
        rig.read_piece(body);
        throw std::runtime_error("no");
    });
    CHECK(rig.ask(post("/throws", "ab")).at(0).starts_with("500"));
    CHECK(rig.seen == Strings{"gone"});
}

TEST_CASE("an answer before the end of the body ends the stream", "[http]") {
    Rig rig;
    CHECK(rig.ask("PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nab").empty());
    rig.read_piece(rig.uploads.at(0));
    rig.read_piece(rig.uploads.at(0));
    CHECK(rig.replies.at(0)({.status = 403}) == SendStatus::queued);
    rig.server.run();
    CHECK(responses_in(rig.wire().read()) == Strings{"403 Connection: close | "});
    CHECK(rig.seen == Strings{"piece ab", "gone"});
    CHECK(rig.wire().at_end());
}

TEST_CASE("a malformed body in pieces tells the program, and is refused", "[http]") {
    Rig rig;
    bool gone = false;
    CHECK(rig.ask("PUT /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").empty());
    rig.replies.at(0).on_gone([&] { gone = true; });
    rig.read_piece(rig.uploads.at(0));
    CHECK(rig.on(rig.wire(), "x\r\n").at(0).starts_with("400 Connection: close"));
    CHECK(rig.seen == Strings{"gone"});
    CHECK(gone);
    CHECK(rig.replies.at(0).is_gone());
    CHECK(rig.replies.at(0)({}) == SendStatus::closed);
}

TEST_CASE("a reply that is not used answers with a 500", "[http]") {
    Rig rig;
    CHECK(rig.ask(get("/later")).empty());
    SECTION("it is destroyed") { rig.replies.clear(); }
    SECTION("it fails") { CHECK(rig.replies.at(0).fail("no database") == SendStatus::queued); }
    SECTION("another one takes its place") {
        CHECK(rig.ask(get("/later?2")).empty());
        rig.replies.at(0) = std::move(rig.replies.at(1));
        rig.server.run();
        CHECK(rig.wire().unread().empty());
        std::swap(rig.wires.at(0), rig.wires.at(1));
    }
    rig.server.run();
    CHECK(responses_in(rig.wire().read()) == Strings{"500 | the server failed to answer\n"});
    CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
}

TEST_CASE("a reply knows when its client is gone", "[http]") {
    Rig rig;
    int gone = 0;
    CHECK(rig.ask(get("/later")).empty());
    HttpReply& reply = rig.replies.at(0);
    CHECK(reply.on_gone([&] { ++gone; }) == SendStatus::queued);
    SECTION("it ends its direction") { rig.wire().shutdown(); }
    SECTION("it resets the stream") { rig.wire().reset(); }
    SECTION("the program takes too long") {
        rig.server.advance(61s);
        CHECK(responses_in(rig.wire().read()).at(0).starts_with("503 Connection: close"));
    }
    rig.server.run();
    CHECK(gone == 1);
    CHECK(reply.is_gone());
    CHECK(reply.on_gone([&] { ++gone; }) == SendStatus::closed);
    CHECK(reply({}) == SendStatus::closed);
    rig.server.run();
    CHECK(gone == 1);
}

TEST_CASE("the callbacks of a reply and of a stream can be removed", "[http]") {
    Rig rig;
    int called = 0;
    CHECK(rig.ask(get("/later")).empty());
    rig.replies.at(0).on_gone([&] { ++called; });
    CHECK(rig.replies.at(0).on_gone({}) == SendStatus::queued);
    HttpStream stream = rig.replies.at(0).stream({});
    (void)stream.on_drain([&] { ++called; });
    CHECK(stream.on_drain(nullptr) == SendStatus::queued);
    CHECK(stream.write(std::string(ServerOptions{}.connection.send_queue.high_mark + 1, 'x')) == SendStatus::queued);
    rig.server.run();
    CHECK(rig.wire().read().size() > 1000);
    rig.wire().reset();
    rig.server.run();
    CHECK(stream.is_gone());
    CHECK(called == 0);
}

TEST_CASE("a reply does not report a client that goes after its answer", "[http]") {
    Rig rig;
    int gone = 0;
    CHECK(rig.ask(get("/later")).empty());
    CHECK(rig.replies.at(0).on_gone([&] { ++gone; }) == SendStatus::queued);
    CHECK(rig.replies.at(0)({}) == SendStatus::queued);
    rig.server.run();
    rig.wire().reset();
    rig.server.run();
    CHECK(gone == 0);
}

TEST_CASE("an answer may be streamed", "[http][rfc9112-7.1]") {
    Rig rig;
    SECTION("in chunks") {
        CHECK(rig.ask(get("/later")).empty());
        HttpStream stream = rig.replies.at(0).stream({.fields = {{"X", "y"}}, .body = "one"});
        rig.server.run();
        CHECK(rig.wire().read().ends_with("\r\n\r\n3\r\none\r\n"));
        CHECK(stream.write("two") == SendStatus::queued);
        CHECK(stream.write("") == SendStatus::queued);
        CHECK(stream.write("three") == SendStatus::queued);
        CHECK(stream.queued() == 8);
        rig.server.run();
        CHECK(rig.wire().read() == "8\r\ntwothree\r\n");
        CHECK(stream.queued() == 0);
        CHECK(stream.end() == SendStatus::queued);
        CHECK(stream.write("four") == SendStatus::closed);
        CHECK(stream.is_gone());
        rig.server.run();
        CHECK(rig.wire().read() == "0\r\n\r\n");
        CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
    }
    SECTION("with a length") {
        CHECK(rig.ask(get("/later")).empty());
        HttpStream stream = rig.replies.at(0).stream({}, 5);
        CHECK(stream.write("12345") == SendStatus::queued);
        CHECK(stream.end() == SendStatus::queued);
        rig.server.run();
        CHECK(responses_in(rig.wire().read()) == Strings{"200 | 12345"});
        CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
    }
    SECTION("with another length") {
        CHECK(rig.ask(get("/later")).empty());
        HttpStream stream = rig.replies.at(0).stream({}, 5);
        CHECK(stream.write(GENERATE("1234", "123456")) == SendStatus::queued);
        rig.server.run();
        (void)stream.end();
        rig.server.run();
        (void)rig.wire().read();
        CHECK(rig.wire().at_end());  // cut: the client got fewer bytes than it expects
        CHECK(rig.server.ends().at(0).cause == "the program did not complete its answer");
    }
    SECTION("until the end of an HTTP/1.0 stream") {
        CHECK(rig.ask("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").empty());
        HttpStream stream = rig.replies.at(0).stream({.body = "one"});
        CHECK(stream.write("two") == SendStatus::queued);
        CHECK(stream.end() == SendStatus::queued);
        rig.server.run();
        const std::string response = rig.wire().read();
        CHECK(response.find("\r\nConnection: close\r\n") != std::string::npos);
        CHECK(response.ends_with("\r\n\r\nonetwo"));
        CHECK(rig.wire().at_end());
    }
    SECTION("and cut") {
        CHECK(rig.ask(get("/later") + get("/hello")).empty());
        {
            HttpStream stream = rig.replies.at(0).stream({.body = "one"});
            rig.server.run();
        }
        rig.server.run();
        CHECK(rig.wire().read().ends_with("\r\n\r\n3\r\none\r\n"));
        CHECK(rig.wire().at_end());
    }
    SECTION("without a body") {
        CHECK(rig.ask(get("/later")).empty());
        HttpStream stream = rig.replies.at(0).stream({.status = 304});
        CHECK(stream.write("ignored") == SendStatus::queued);
        CHECK(stream.end() == SendStatus::queued);
        rig.server.run();
        CHECK(responses_in(rig.wire().read()) == Strings{"304"});
        CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
    }
}

TEST_CASE("Server-Sent Events are a streamed answer", "[http][whatwg-9.2]") {
    Rig rig;
    int gone = 0;
    rig.server.handle_http("GET", "/events", [&](const RoutedRequest&, HttpReply reply) {
        rig.streams.push_back(
            reply.stream({.fields = {{"Cache-Control", "no-store"}}, .content_type = "text/event-stream"}));
        rig.streams.back().on_gone([&] { ++gone; });
    });
    CHECK(rig.ask(get("/events")) == Strings{"200 Transfer-Encoding: chunked | ..."});
    for (int i = 1; i <= 3; ++i) {
        for (HttpStream& stream : rig.streams) stream.write("data: " + std::to_string(i) + "\n\n");
        rig.server.advance(2min);  // no time limit holds for the program, nor for the silent client
        CHECK(rig.wire().read() == "9\r\ndata: " + std::to_string(i) + "\n\n\r\n");
    }
    CHECK(gone == 0);
    rig.wire().shutdown();
    rig.server.run();
    CHECK(gone == 1);
    CHECK(rig.streams.at(0).is_gone());
    CHECK(rig.streams.at(0).write("data: 4\n\n") == SendStatus::closed);
}

TEST_CASE("a streamed answer tells when its client has taken it", "[http]") {
    ServerOptions options;
    options.connection.send_queue = {.high_mark = 1000, .hard_limit = 3000};
    Rig rig{options};
    int drained = 0;
    CHECK(rig.ask(get("/later")).empty());
    rig.wire().set_window(100);
    HttpStream stream = rig.replies.at(0).stream({}, 10'000);
    CHECK(stream.on_drain([&] { ++drained; }) == SendStatus::queued);
    for (int i = 0; i < 4; ++i) CHECK(stream.write(std::string(1000, 'x')) == SendStatus::queued);
    CHECK(stream.write("y") == SendStatus::dropped);
    rig.server.run();
    CHECK(stream.queued() > 1000);
    CHECK(stream.write("y") == SendStatus::dropped);
    CHECK(drained == 0);
    std::string got;
    for (int i = 0; i < 100 && drained == 0; ++i) {
        got += rig.wire().read();
        rig.server.run();
    }
    CHECK(drained == 1);
    CHECK(stream.queued() <= 500);
    CHECK(stream.write(std::string(6000, 'x')) == SendStatus::queued);
    CHECK(stream.end() == SendStatus::queued);
    rig.wire().set_window(1'000'000);
    rig.server.run();
    got += rig.wire().read();
    CHECK(responses_in(got) == Strings{"200 | " + std::string(10'000, 'x')});
    CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
}

TEST_CASE("long answers are sent one after the other", "[http]") {
    Rig rig;
    rig.server.handle_http("GET", "/long",
                           [](const RoutedRequest&) { return HttpResponse{.body = std::string(700'000, 'l')}; });
    const Strings expected{"200 | " + std::string(700'000, 'l'), "200 | hi", "200 | " + std::string(700'000, 'l'),
                           "200 | hi"};
    auto wire = rig.server.wire();
    wire.set_window(GENERATE(1'000U, 100'000U, 10'000'000U));
    wire.write(get("/long") + get("/hello") + get("/long"));
    rig.server.run();
    wire.write(get("/hello"));
    std::string all;
    for (int i = 0; i < 2000; ++i) {
        rig.server.run();
        all += wire.read();
    }
    CHECK(responses_in(all) == expected);
}

TEST_CASE("a stream without a request is closed after a while", "[http]") {
    ServerOptions options;
    options.connection.http.idle_timeout = 20s;
    Rig rig{options};
    CHECK(rig.ask(get("/hello")) == Strings{"200 | hi"});
    rig.server.advance(15s);
    CHECK(rig.on(rig.wire(), get("/hello")) == Strings{"200 | hi"});
    rig.server.advance(15s);
    CHECK_FALSE(rig.wire().at_end());
    rig.server.advance(10s);
    CHECK(rig.wire().at_end());
    CHECK(rig.wire().read().empty());
    rig.wire().close();
    rig.server.run();
    CHECK(rig.server.ends().at(0).cause == "no further HTTP request");
}

TEST_CASE("a request that arrives slowly is refused", "[http]") {
    Rig rig;
    SECTION("its header, from its first byte") {
        CHECK(rig.ask(get("/hello")) == Strings{"200 | hi"});
        rig.server.advance(30s);
        CHECK(rig.on(rig.wire(), "GET /").empty());
        for (int i = 0; i < 4; ++i) {
            rig.server.advance(2s);
            CHECK(rig.on(rig.wire(), "a").empty());
        }
        rig.server.advance(4s);
        CHECK(responses_in(rig.wire().read()).at(0).starts_with("408 Connection: close"));
    }
    SECTION("its body") {
        CHECK(rig.ask("POST /pooled HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n").empty());
        for (int i = 0; i < 6; ++i) {
            rig.server.advance(9s);
            CHECK(rig.on(rig.wire(), "a").empty());
        }
        rig.server.advance(14s);
        CHECK(responses_in(rig.wire().read()).at(0).starts_with("408 Connection: close"));
    }
    SECTION("its body in pieces, unless it goes on") {
        CHECK(rig.ask("PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n").empty());
        for (int i = 0; i < 6; ++i) {
            rig.read_piece(rig.uploads.at(0));
            rig.server.advance(40s);
            CHECK(rig.on(rig.wire(), "a").empty());
        }
        rig.read_piece(rig.uploads.at(0));
        rig.server.advance(70s);
        CHECK(responses_in(rig.wire().read()).at(0).starts_with("408 Connection: close"));
        CHECK(rig.seen.back() == "gone");
    }
    rig.server.advance(10s);
    CHECK(rig.server.ends().at(0).refused_with == 408);
}

TEST_CASE("a client that does not take its answer is given up", "[http]") {
    Rig rig;
    rig.server.handle_http("GET", "/long",
                           [](const RoutedRequest&) { return HttpResponse{.body = std::string(100'000, 'l')}; });
    auto wire = rig.server.wire();
    wire.set_window(1'000);
    wire.write(get("/long") + get("/hello"));
    rig.server.run();
    for (int i = 0; i < 10; ++i) {  // as long as it takes some, it has time
        rig.server.advance(20s);
        CHECK_FALSE(wire.read(500).empty());
    }
    CHECK(rig.server.ends().empty());
    rig.server.advance(70s);
    REQUIRE(rig.server.ends().size() == 1);
    CHECK(rig.server.ends()[0].cause == "the peer takes no more output");
}

TEST_CASE("a connection has at most max_requests requests", "[http]") {
    ServerOptions options;
    options.connection.http.max_requests = 2;
    Rig rig{options};
    CHECK(rig.ask(get("/hello") + get("/hello") + get("/hello")) == Strings{"200 | hi", "200 Connection: close | hi"});
    CHECK(rig.wire().at_end());
}

TEST_CASE("pipelined requests have the rates of messages", "[http]") {
    ServerOptions options;
    options.connection.receive_rates = {.messages = 10};
    Rig rig{options};
    std::string many;
    for (int i = 0; i < 30; ++i) many += get("/hello");
    const auto first = rig.ask(many).size();
    CHECK(first >= 10);
    CHECK(first < 20);
    rig.server.advance(1s);
    const auto second = responses_in(rig.wire().read()).size();
    CHECK(second >= 5);
    CHECK(second <= 15);
    rig.server.advance(3s);
    CHECK(first + second + responses_in(rig.wire().read()).size() == 30);
}

TEST_CASE("a body that arrives as fast as its rate permits has the time that it needs", "[http]") {
    ServerOptions options;
    options.connection.receive_rates = {.bytes = 1000};
    options.connection.message_timeout = 5s;
    Rig rig{options};
    CHECK(rig.ask(post("/rooms/1/messages", std::string(20'000, 'b'))).empty());
    rig.server.advance(15s);
    CHECK(rig.wire().read().empty());
    rig.server.advance(10s);
    CHECK(rig.seen.size() == 1);
    // The client's own time is limited as always.
    CHECK(rig.ask("POST /rooms/1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nb").empty());
    rig.server.advance(7s);
    CHECK(responses_in(rig.wire().read()).at(0).starts_with("408"));
}

TEST_CASE("a server that stops lets an answer come, and cuts streams", "[http]") {
    Rig rig;
    rig.server.handle_http("GET", "/events",
                           [&](const RoutedRequest&, HttpReply reply) { rig.streams.push_back(reply.stream({})); });
    CHECK(rig.ask(get("/hello")).size() == 1);
    CHECK(rig.ask(get("/events")).size() == 1);
    CHECK(rig.ask(get("/later")).empty());
    rig.server.stop(0s);
    CHECK(rig.streams.at(0).is_gone());
    CHECK(rig.replies.at(0).is_gone());
    for (MemoryWire& wire : rig.wires) CHECK(wire.at_end());
}

TEST_CASE("a server without routes answers as before", "[http]") {
    MemoryServer server{Echo{}};
    server.on_http([](const HttpRequest&) { return HttpResponse{.body = "page"}; });
    auto wire = server.wire();
    wire.write(get("/") + get("/"));
    server.run();
    CHECK(responses_in(wire.read()) == Strings{"200 Connection: close | page"});
    auto other = server.wire();
    other.write(post("/", "a"));
    server.run();
    CHECK(responses_in(other.read()).at(0).starts_with("405 Connection: close"));
}

TEST_CASE("a full server answers what takes no time, and keeps no stream", "[http]") {
    ServerOptions options;
    options.max_connections = 1;
    Rig rig{options};
    CHECK(rig.ask(get("/hello")) == Strings{"200 | hi"});
    auto other = rig.server.wire();
    CHECK(rig.on(other, get("/hello")) == Strings{"200 Connection: close | hi"});
    auto third = rig.server.wire();
    CHECK(rig.on(third, get("/later")).at(0).starts_with("503 Connection: close"));
    auto fourth = rig.server.wire();
    CHECK(rig.on(fourth, post("/pooled", "a")).at(0).starts_with("503 Connection: close"));
}
