#include "wsserver/handshake/origin.hpp"

#include "support/catch.hpp"

using namespace wsserver;

namespace {

Offer offer_of(std::string origin, std::string host) {
    Offer offer;
    offer.origin = std::move(origin);
    offer.request.fields.push_back({"Host", std::move(host)});
    return offer;
}

/// A client of another machine.
bool allowed(std::string origin, std::string host, const std::vector<std::string>& list = {}) {
    return !check_offer(offer_of(std::move(origin), std::move(host)), {list, {}}, false);
}

/// A client of this machine, over TCP.
std::optional<OriginError> local(std::string origin, std::string host, OriginRules rules = {}) {
    return check_offer(offer_of(std::move(origin), std::move(host)), rules, true);
}

}  // namespace

TEST_CASE("a client without an Origin field is allowed", "[origin][rfc6455-10.2]") {
    CHECK(allowed("", "example.com"));
    CHECK(allowed("", "example.com", {"https://other.example"}));
    CHECK_FALSE(local("", "example.com"));
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
    CHECK_FALSE(allowed("http://*.example.com", "*.example.com"));
}

TEST_CASE("an origin in the list is allowed", "[origin]") {
    const std::vector<std::string> list{"https://app.example", "http://localhost:3000", "null",
                                        "chrome-extension://abcdef", "file://"};
    CHECK(allowed("https://app.example", "example.com", list));
    CHECK(allowed("https://APP.example:443", "example.com", list));
    CHECK(allowed("http://localhost:3000", "example.com", list));
    CHECK(allowed("null", "example.com", list));
    CHECK(allowed("chrome-extension://abcdef", "example.com", list));
    CHECK(allowed("file://", "example.com", list));
    CHECK_FALSE(allowed("http://app.example", "example.com", list));
    CHECK_FALSE(allowed("https://app.example:444", "example.com", list));
    CHECK_FALSE(allowed("http://localhost", "example.com", list));
    CHECK_FALSE(allowed("file://example.com", "example.com", list));
    CHECK(allowed("http://anything.example", "example.com", {"*"}));
    CHECK(allowed("null", "example.com", {"*"}));
    CHECK(allowed("file://", "example.com", {"*"}));
}

TEST_CASE("a pattern matches whole labels in front of its name", "[origin]") {
    const std::vector<std::string> list{"https://*.example.org", "http://*.localhost:3000"};
    for (const char* good : {"https://a.example.org", "https://a.b.example.org", "HTTPS://A.EXAMPLE.ORG:443",
                             "http://app.localhost:3000"}) {
        CAPTURE(good);
        CHECK(allowed(good, "ws.example.net", list));
    }
    for (const char* bad : {"https://example.org", "https://.example.org", "https://aexample.org",
                            "http://a.example.org", "https://a.example.org:8443", "https://a.example.org.evil.example",
                            "https://*.example.org", "http://app.localhost", "https://"}) {
        CAPTURE(bad);
        CHECK_FALSE(allowed(bad, "ws.example.net", list));
    }
}

TEST_CASE("a local client's own host is a loopback name", "[origin][rfc6455-10.2]") {
    for (const char* name : {"localhost", "LocalHost", "app.localhost", "127.0.0.1", "127.1.2.3", "[::1]"}) {
        CAPTURE(name);
        const std::string host = name + std::string{":8080"};
        CHECK_FALSE(local("http://" + host, host));
    }
    for (const char* name : {"evil.example", "127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example",
                             "evillocalhost", "192.168.1.2", "[2001:db8::1]", "[::]"}) {
        CAPTURE(name);
        const std::string host = name + std::string{":8080"};
        const auto refused = local("http://" + host, host);
        REQUIRE(refused);
        CHECK(refused->error == Errc::origin_forbidden);
        CHECK(refused->detail == "the Host " + std::string{name} +
                                     " is not a loopback name; if a proxy passes it on, write hosts = [\"" + name +
                                     "\"]");
        CHECK_FALSE(local("http://" + host, host, {{"http://" + host}, {}}));
        CHECK(allowed("http://" + host, host));  // of another machine
    }
}

TEST_CASE("hosts names the server's own hosts", "[origin][rfc9110-7.4]") {
    const OriginRules rules{{"https://app.example"}, {"www.example.org", "*.example.net", "[2001:db8::1]"}};
    for (const char* host : {"www.example.org", "WWW.example.org:8080", "a.example.net", "[2001:db8::1]:80",
                             "localhost:8080", "127.0.0.1", "[::1]:1"}) {
        for (const bool loopback : {false, true}) {
            CAPTURE(host, loopback);
            CHECK_FALSE(check_offer(offer_of("http://" + std::string{host}, host), rules, loopback));
            CHECK_FALSE(check_offer(offer_of("https://app.example", host), rules, loopback));
            CHECK_FALSE(check_offer(offer_of("", host), rules, loopback));
            const auto foreign = check_offer(offer_of("https://evil.example", host), rules, loopback);
            REQUIRE(foreign);
            CHECK(foreign->error == Errc::origin_forbidden);
            CHECK(foreign->detail == "the Origin https://evil.example is neither that of the Host " +
                                         std::string{host} + " nor in allowed_origins");
        }
    }
    for (const char* host : {"evil.example", "example.org", "example.net", "a.www.example.org", "192.168.1.2", ""}) {
        for (const char* origin : {"", "https://app.example", "http://evil.example"}) {
            CAPTURE(host, origin);
            const auto refused = check_offer(offer_of(origin, host), rules, false);
            REQUIRE(refused);
            CHECK(refused->error == Errc::unknown_host);
            CHECK(refused->detail == "the Host " + std::string{host} + " is not in hosts");
        }
    }
}

TEST_CASE("every host is the server's own if hosts has *", "[origin]") {
    CHECK_FALSE(local("http://www.example.org", "www.example.org", {{}, {"*"}}));
    CHECK(local("http://evil.example", "www.example.org", {{}, {"*"}}));
}

TEST_CASE("the detail of a refusal is short whatever the client sends", "[origin]") {
    const std::string host = std::string(5000, 'a') + ".example";
    CHECK(local("http://" + host, host)->detail.size() < 400);
    CHECK(local("http://evil.example", host)->detail.size() < 400);
    CHECK(local("http://" + host, host, {{}, {"www.example.org"}})->detail.size() < 400);
}

TEST_CASE("is_origin accepts exactly the values that are valid in the list", "[origin]") {
    for (const char* good :
         {"*", "null", "https://example.com", "http://localhost:3000", "http://[::1]", "chrome-extension://abcdef",
          "file://", "https://*.example.org", "http://*.localhost:3000"}) {
        CAPTURE(good);
        CHECK(is_origin(good));
    }
    for (const char* bad : {"",
                            "example.com",
                            "https://",
                            "https://example.com/",
                            "https://*.example.com/x",
                            "://example.com",
                            "https://a b",
                            "https://a,b",
                            "file:///",
                            "file",
                            "https://*",
                            "https://*.",
                            "https://a*.example.org",
                            "https://a.*.example.org",
                            "https://*.*.example.org",
                            "https://*example.org",
                            "https://*..example.org",
                            "http://localhost:*",
                            "*://example.org",
                            "**"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_origin(bad));
    }
}

TEST_CASE("is_host_name accepts exactly the values that are valid in hosts", "[origin]") {
    for (const char* good : {"*", "example.com", "*.example.com", "192.168.1.2", "[2001:db8::1]", "localhost"}) {
        CAPTURE(good);
        CHECK(is_host_name(good));
    }
    for (const char* bad : {"", "example.com:80", "example.com:", "https://example.com", "example.com/", "a b", "a,b",
                            "2001:db8::1", "*.", "a*.example.com", "a.*", "[::1"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_host_name(bad));
    }
}
