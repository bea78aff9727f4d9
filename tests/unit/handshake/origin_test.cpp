#include "support/catch.hpp"
#include "wsserver/handshake/handshake.hpp"

using namespace wsserver;

namespace {

bool allowed(std::string origin, std::string host, const std::vector<std::string>& list = {}) {
    Offer offer;
    offer.origin = std::move(origin);
    offer.request.fields.push_back({"Host", std::move(host)});
    return origin_allowed(offer, list);
}

}  // namespace

TEST_CASE("a client without an Origin field is allowed", "[origin][rfc6455-10.2]") {
    CHECK(allowed("", "example.com"));
    CHECK(allowed("", "example.com", {"https://other.example"}));
}

TEST_CASE("a page of the same host and port is allowed", "[origin][rfc6455-10.2]") {
    CHECK(allowed("http://example.com", "example.com"));
    CHECK(allowed("https://example.com", "example.com"));
    CHECK(allowed("http://example.com:80", "example.com"));
    CHECK(allowed("http://example.com", "example.com:80"));
    CHECK(allowed("https://example.com", "example.com:443"));
    CHECK(allowed("https://example.com:443", "example.com"));
    CHECK(allowed("http://example.com:8080", "example.com:8080"));
    CHECK(allowed("HTTP://Example.COM", "example.com"));
    CHECK(allowed("http://[::1]:8080", "[::1]:8080"));
    CHECK(allowed("http://127.0.0.1", "127.0.0.1"));
}

TEST_CASE("a page of another host or port is refused", "[origin][rfc6455-10.2]") {
    CHECK_FALSE(allowed("http://evil.example", "example.com"));
    CHECK_FALSE(allowed("http://example.com.evil.example", "example.com"));
    CHECK_FALSE(allowed("http://evilexample.com", "example.com"));
    CHECK_FALSE(allowed("http://sub.example.com", "example.com"));
    CHECK_FALSE(allowed("http://example.com:8080", "example.com"));
    CHECK_FALSE(allowed("http://example.com", "example.com:8080"));
    CHECK_FALSE(allowed("https://example.com", "example.com:80"));
    CHECK_FALSE(allowed("http://example.com", "example.com:443"));
}

TEST_CASE("an origin that is not that of a web page is refused", "[origin]") {
    for (const char* origin :
         {"null", "file://", "chrome-extension://example.com", "example.com", "http:example.com", "http://",
          "http://example.com/", "http://example.com/path", "http://user@example.com",
          "http://example.com http://evil.example", "http://example.com, http://a", "//example.com",
          "http://example.com:0", "http://example.com:99999", "http://example.com#"}) {
        CAPTURE(origin);
        CHECK_FALSE(allowed(origin, "example.com"));
    }
    CHECK_FALSE(allowed("http://example.com", ""));
}

TEST_CASE("an origin in the list is allowed", "[origin]") {
    const std::vector<std::string> list{"https://app.example", "http://localhost:3000", "null",
                                        "chrome-extension://abcdef"};
    CHECK(allowed("https://app.example", "example.com", list));
    CHECK(allowed("https://APP.example:443", "example.com", list));
    CHECK(allowed("http://localhost:3000", "example.com", list));
    CHECK(allowed("null", "example.com", list));
    CHECK(allowed("chrome-extension://abcdef", "example.com", list));
    CHECK_FALSE(allowed("http://app.example", "example.com", list));
    CHECK_FALSE(allowed("https://app.example:444", "example.com", list));
    CHECK_FALSE(allowed("http://localhost", "example.com", list));
    CHECK(allowed("http://anything.example", "example.com", {"*"}));
    CHECK(allowed("null", "example.com", {"*"}));
}

TEST_CASE("is_origin accepts exactly the values that are valid in the list", "[origin]") {
    for (const char* good :
         {"*", "null", "https://example.com", "http://localhost:3000", "http://[::1]", "chrome-extension://abcdef"}) {
        CAPTURE(good);
        CHECK(is_origin(good));
    }
    for (const char* bad : {"", "example.com", "https://", "https://example.com/", "https://*.example.com/x",
                            "://example.com", "https://a b", "https://a,b"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_origin(bad));
    }
}
