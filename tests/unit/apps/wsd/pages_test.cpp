#include "wsd/pages.hpp"

#include <fstream>
#include <iterator>
#include <string>

#include "support/catch.hpp"
#include "wsserver/handshake/handshake.hpp"

using wsd::answer_http;
using wsserver::HttpRequest;

namespace {

HttpRequest get(std::string target) { return {.method = "GET", .target = std::move(target)}; }

}  // namespace

TEST_CASE("a load balancer gets an answer to its health check", "[wsd][pages]") {
    for (const bool demo : {false, true}) {
        const auto answer = answer_http(get("/healthz"), demo);
        REQUIRE(answer);
        CHECK(answer->status == 200);
        CHECK(answer->body == "ok\n");
        CHECK(answer_http(get("/healthz?from=lb"), demo)->status == 200);
        CHECK(answer_http(get("/healthz"), demo, true)->status == 200);
        CHECK(answer_http(get("/healthz"), demo, true)->body == "degraded\n");
    }
    const HttpRequest head{.method = "HEAD", .target = "/healthz"};
    const auto text = wsserver::http_response(*answer_http(head, false), head, "");
    CHECK(text.find("Content-Length: 3\r\n") != std::string::npos);
    CHECK(text.ends_with("\r\n\r\n"));
}

TEST_CASE("without the demo everything else requires an upgrade", "[wsd][pages]") {
    for (const char* target : {"/", "/index.html", "/healthz/", "/healthzz", "/favicon.ico", "*", ""}) {
        CAPTURE(target);
        CHECK(!answer_http(get(target), false));
    }
}

TEST_CASE("the demo serves the chat page, byte for byte", "[wsd][pages]") {
    std::ifstream file{SOURCE_ROOT "/apps/wsd/chat.html", std::ios::binary};
    const std::string page{std::istreambuf_iterator<char>{file}, {}};
    REQUIRE(page.size() > 1000);
    for (const char* target : {"/", "/?room=5", "/index.html"}) {
        const auto answer = answer_http(get(target), true);
        REQUIRE(answer);
        CHECK(answer->status == 200);
        CHECK(answer->content_type == "text/html; charset=utf-8");
        CHECK((answer->body == page));
    }
    CHECK(answer_http(get("/favicon.ico"), true)->status == 404);
    CHECK(!answer_http(get("/chat"), true));
}
