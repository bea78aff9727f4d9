#include "wsd/pages.hpp"

#include <fstream>
#include <iterator>
#include <string>

#include "support/catch.hpp"
#include "wsserver/handshake/handshake.hpp"

using wsd::answer_http;
using wsd::chat_page_with;
using wsserver::HttpRequest;

namespace {

HttpRequest get(std::string target) { return {.method = "GET", .target = std::move(target)}; }

}  // namespace

TEST_CASE("a load balancer gets an answer to its health check", "[wsd][pages]") {
    for (const std::string_view page : {"", "a page"}) {
        const auto answer = answer_http(get("/healthz"), page);
        REQUIRE(answer);
        CHECK(answer->status == 200);
        CHECK(answer->body == "ok\n");
        CHECK(answer_http(get("/healthz?from=lb"), page)->status == 200);
        CHECK(answer_http(get("/healthz"), page, true)->status == 200);
        CHECK(answer_http(get("/healthz"), page, true)->body == "degraded\n");
    }
    const HttpRequest head{.method = "HEAD", .target = "/healthz"};
    const auto text = wsserver::http_response(*answer_http(head, ""), head, "");
    CHECK(text.find("Content-Length: 3\r\n") != std::string::npos);
    CHECK(text.ends_with("\r\n\r\n"));
}

TEST_CASE("without the demo everything else requires an upgrade", "[wsd][pages]") {
    for (const char* target : {"/", "/index.html", "/healthz/", "/healthzz", "/favicon.ico", "*", ""}) {
        CAPTURE(target);
        CHECK(!answer_http(get(target), ""));
    }
}

TEST_CASE("the demo serves the chat page, byte for byte", "[wsd][pages]") {
    std::ifstream file{SOURCE_ROOT "/apps/wsd/chat.html", std::ios::binary};
    const std::string page{std::istreambuf_iterator<char>{file}, {}};
    REQUIRE(page.size() > 1000);
    for (const char* target : {"/", "/?room=5", "/index.html"}) {
        const auto answer = answer_http(get(target), chat_page_with(""));
        REQUIRE(answer);
        CHECK(answer->status == 200);
        CHECK(answer->content_type == "text/html; charset=utf-8");
        CHECK((answer->body == page));
    }
    CHECK(answer_http(get("/favicon.ico"), "a page")->status == 404);
    CHECK(!answer_http(get("/chat"), "a page"));
}

TEST_CASE("the chat page shows the command of this wsd", "[wsd][pages]") {
    const auto shown = chat_page_with("'/opt/a&b/<wsd>-ctl' broadcast hello");
    CHECK(shown.find("<code><span>$ </span>'/opt/a&amp;b/&lt;wsd>-ctl' broadcast hello</code>") != std::string::npos);
    CHECK(shown.find("wsd-ctl broadcast 'hello'</code>") == std::string::npos);
}
