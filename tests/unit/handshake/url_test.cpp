#include "wsserver/handshake/url.hpp"

#include "support/catch.hpp"

using namespace wsserver;

namespace {

Url good(std::string_view text) {
    CAPTURE(text);
    const auto url = parse_url(text);
    if (!url) FAIL(url.error());
    return *url;
}

std::string wrong(std::string_view text) {
    CAPTURE(text);
    const auto url = parse_url(text);
    REQUIRE_FALSE(url);
    CHECK(url.error().starts_with("URL '"));
    CHECK(url.error().find('\n') == std::string::npos);
    return url.error();
}

}  // namespace

TEST_CASE("a URL is split into its parts", "[url][rfc6455-3]") {
    CHECK(good("ws://example.com:8080/chat?room=5&x=%20") ==
          Url{false, "example.com", "8080", "/chat?room=5&x=%20", ""});
    CHECK(good("wss://example.com") == Url{true, "example.com", "443", "/", ""});
    CHECK(good("ws://example.com") == Url{false, "example.com", "80", "/", ""});
    CHECK(good("WS://Example.COM/") == Url{false, "Example.COM", "80", "/", ""});
    CHECK(good("ws://127.0.0.1:1/") == Url{false, "127.0.0.1", "1", "/", ""});
    CHECK(good("ws://a?b") == Url{false, "a", "80", "/?b", ""});
    CHECK(good("ws://a:65535//x").port == "65535");
    CHECK(good("ws://a:65535//x").target == "//x");
    CHECK(good("ws://a:/x") == Url{false, "a", "80", "/x", ""});
    CHECK(good("ws://a:0080/").port == "80");
    CHECK(good("ws://a/b:c@d?e=f:g/h").target == "/b:c@d?e=f:g/h");
}

TEST_CASE("IPv6 addresses must be in brackets", "[url][rfc3986-3.2.2]") {
    CHECK(good("ws://[::1]:8080/x") == Url{false, "::1", "8080", "/x", ""});
    CHECK(good("wss://[2001:db8::7]") == Url{true, "2001:db8::7", "443", "/", ""});
    CHECK(good("ws://[::ffff:1.2.3.4]?q").host == "::ffff:1.2.3.4");
    CHECK(wrong("ws://::1:8080/").find("ws://[::1]:8080/") != std::string::npos);
    for (const char* text : {"ws://[::1", "ws://[]", "ws://[1.2.3.4]/", "ws://[:::1]/", "ws://[fe80::1%25eth0]/",
                             "ws://[::1]8080/", "ws://[::1]x/", "ws://[::1][::1]/", "ws://::1/"}) {
        wrong(text);
    }
}

TEST_CASE("a ws+unix URL names a Unix socket and a target", "[url]") {
    CHECK(good("ws+unix:/run/wsd.sock:/chat?a") == Url{false, "localhost", "80", "/chat?a", "/run/wsd.sock"});
    CHECK(good("ws+unix:/run/wsd.sock") == Url{false, "localhost", "80", "/", "/run/wsd.sock"});
    CHECK(good("ws+unix:/run/wsd.sock:") == Url{false, "localhost", "80", "/", "/run/wsd.sock"});
    CHECK(good("ws+unix:/run/wsd.sock:?a").target == "/?a");
    CHECK(good("ws+unix:///run/wsd.sock:/chat").unix_path == "/run/wsd.sock");
    CHECK(good("ws+unix://///run//wsd.sock:/chat").unix_path == "/run//wsd.sock");
    CHECK(good("WS+UNIX:/s").unix_path == "/s");
    for (const char* text :
         {"ws+unix:", "ws+unix:run/x.sock", "ws+unix://host/x", "ws+unix:/a:b", "ws+unix:/", "ws+unix"}) {
        wrong(text);
    }
}

TEST_CASE("an error has an example of a valid URL", "[url]") {
    CHECK(wrong("localhost:8080/x") ==
          "URL 'localhost:8080/x': it must begin with ws:// (example: ws://localhost:8080/x)");
    CHECK(wrong("localhost") == "URL 'localhost': it must begin with ws:// (example: ws://localhost)");
    CHECK(wrong("//a/b").ends_with("(example: ws://a/b)"));
    CHECK(wrong("http://a:80/b") ==
          "URL 'http://a:80/b': a WebSocket URL must begin with ws:// or wss:// (example: ws://a:80/b)");
    CHECK(wrong("HTTPS://a/b").ends_with("(example: wss://a/b)"));
    CHECK(wrong("ws://a/b#c").find("fragment") != std::string::npos);
    CHECK(wrong("ws://a/b c").find("%20") != std::string::npos);
    CHECK(wrong("ws://user:secret@a/").find("Authorization") != std::string::npos);
    CHECK(wrong("ws://a:70000/").find("1 to 65535") != std::string::npos);
}

TEST_CASE("invalid URLs are refused", "[url]") {
    for (const char* text : {"",
                             "ws:",
                             "ws:/",
                             "ws://",
                             "ws:///x",
                             "ws://:80/",
                             "ws://?x",
                             "ws:a",
                             "ftp://a/",
                             "wsx://a",
                             "://a",
                             ":",
                             "/",
                             "//",
                             "ws://a:x/",
                             "ws://a:-1/",
                             "ws://a:+1/",
                             "ws://a:0/",
                             "ws://a:65536/",
                             "ws://a:1:2/",
                             "ws://a,b/",
                             "ws://a\\b/",
                             "ws://a b/",
                             "ws://a\t/",
                             "ws://a/\r\nX: y",
                             "ws://a/\x7F",
                             "ws://caf\xC3\xA9/",
                             "ws://a/\xC3\xA9",
                             "ws://a/\xFF",
                             "[::1]:80"}) {
        wrong(text);
    }
    CHECK(wrong(std::string_view{"ws://a/\0b", 9}).find('\0') == std::string::npos);
}

TEST_CASE("the Host field leaves out the default port", "[url][rfc6455-4.1]") {
    CHECK(good("ws://example.com/").host_field() == "example.com");
    CHECK(good("ws://example.com:80/").host_field() == "example.com");
    CHECK(good("wss://example.com:443/").host_field() == "example.com");
    CHECK(good("ws://example.com:443/").host_field() == "example.com:443");
    CHECK(good("wss://example.com:80/").host_field() == "example.com:80");
    CHECK(good("ws://[::1]:8080/").host_field() == "[::1]:8080");
    CHECK(good("ws://[::1]/").host_field() == "[::1]");
    CHECK(good("ws+unix:/x").host_field() == "localhost");
}
