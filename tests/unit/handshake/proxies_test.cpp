#include "wsserver/handshake/proxies.hpp"

#include "support/catch.hpp"
#include "wsserver/handshake/detail/ip_address.hpp"

using namespace wsserver;
using namespace std::string_view_literals;
using Address = std::optional<std::string>;
using Strings = std::vector<std::string>;

namespace {

TrustedProxies trusting(const Strings& entries) {
    auto proxies = TrustedProxies::parse(entries);
    if (!proxies) FAIL(proxies.error());
    return *proxies;
}

std::string refused(std::string_view entry) {
    const auto proxies = TrustedProxies::parse({"127.0.0.1", std::string{entry}});
    CAPTURE(entry);
    REQUIRE_FALSE(proxies);
    CHECK(proxies.error().find_first_of("\r\n\0"sv) == std::string::npos);
    return proxies.error();
}

HttpRequest request_of(std::vector<HttpField> fields) {
    HttpRequest request;
    request.fields = std::move(fields);
    return request;
}

constexpr auto proxy = "127.0.0.1:5000";

/// The client behind the proxies 127.0.0.1, 10.0.0.0/8, fd00::/8 and a Unix socket.
Address client(std::vector<HttpField> fields, std::string_view peer, std::string_view field) {
    const auto proxies = trusting({"127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"});
    return client_address(peer, request_of(std::move(fields)), proxies, field);
}

/// The same; the field that is read is the first one.
Address client(std::vector<HttpField> fields, std::string_view peer = proxy) {
    const std::string field = fields.empty() ? "X-Forwarded-For" : fields.front().name;
    return client(std::move(fields), peer, field);
}

Address forwarded(std::string_view value) { return client({{"Forwarded", std::string{value}}}); }
Address x_forwarded_for(std::string_view value) { return client({{"X-Forwarded-For", std::string{value}}}); }

}  // namespace

// --- addresses ---

TEST_CASE("an address is written as the transport writes peers", "[proxies]") {
    const auto again = [](std::string_view text) -> Address {
        const auto peer = detail::parse_ip_peer(text);
        return peer ? Address{detail::to_string(*peer)} : std::nullopt;
    };
    for (const auto text : {"192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:65535", "[::]:0"}) {
        CHECK(again(text) == text);
    }
    CHECK(again("2001:DB8:0::1") == "[2001:db8::1]");
    CHECK(again("2001:db8::1:80") == "[2001:db8::1:80]");  // a port is after brackets only
    CHECK(again("[fe80::1%eth0]:80") == "[fe80::1]:80");
    CHECK(again("::ffff:192.0.2.1") == "192.0.2.1");
    CHECK(again("[::ffff:c000:201]:80") == "192.0.2.1:80");
    for (const auto text : {""sv,
                            ":"sv,
                            ":80"sv,
                            "a"sv,
                            "localhost:80"sv,
                            "192.0.2.1:"sv,
                            "192.0.2.1:x"sv,
                            "192.0.2.1:-1"sv,
                            "192.0.2.1:+1"sv,
                            "192.0.2.1:080"sv,
                            "192.0.2.1:65536"sv,
                            "192.0.2.1:80 "sv,
                            " 192.0.2.1"sv,
                            "192.0.2"sv,
                            "192.0.2.256"sv,
                            "192.0.2.01"sv,
                            "192.0.2.1.1"sv,
                            "3221225985"sv,
                            "0x7f.1"sv,
                            "192.0.2.1/32"sv,
                            "[]"sv,
                            "["sv,
                            "]"sv,
                            "[::1"sv,
                            "[::1]80"sv,
                            "[::1]:"sv,
                            "[::1]]:80"sv,
                            "[[::1]]"sv,
                            "[192.0.2.1]"sv,
                            "::1]"sv,
                            "fe80::1%eth0"sv,
                            "1::2::3"sv,
                            ":::"sv,
                            "12345::"sv,
                            "192.0.2.1\0"sv,
                            "::1\0"sv,
                            "[::1\0]:80"sv,
                            "192.0.2.1\0:80"sv,
                            "unix:"sv}) {
        CAPTURE(text);
        CHECK_FALSE(again(text));
    }
    CHECK_FALSE(again(std::string(100000, ':')));
    CHECK_FALSE(again("[" + std::string(100000, '1') + "]:80"));
    CHECK_FALSE(again("192.0.2.1:" + std::string(100000, '1')));
}

// --- the list ---

TEST_CASE("no peer is trusted by default", "[proxies]") {
    CHECK(TrustedProxies{}.empty());
    CHECK(trusting({}).empty());
    for (const auto peer : {"127.0.0.1:80", "[::1]:80", "unix:", "unix:/run/proxy.sock", ""}) {
        CHECK_FALSE(TrustedProxies{}.trusts(peer));
    }
}

TEST_CASE("addresses are trusted whatever their port", "[proxies]") {
    const auto proxies = trusting({"127.0.0.1", "::1"});
    CHECK_FALSE(proxies.empty());
    for (const auto peer :
         {"127.0.0.1:80", "127.0.0.1:1", "127.0.0.1", "[::1]:80", "[::1]", "[::ffff:127.0.0.1]:80", "[::1%lo]:80"}) {
        CAPTURE(peer);
        CHECK(proxies.trusts(peer));
    }
    for (const auto peer : {""sv, "127.0.0.2:80"sv, "[::2]:80"sv, "unix:"sv, "unix:127.0.0.1"sv, "127.0.0.1:"sv,
                            "127.0.0.1:x"sv, "localhost:80"sv, "127.0.0.1.evil.example:80"sv, "127.0.0.1\0:80"sv,
                            "[::127.0.0.1]:80"sv, "x127.0.0.1:80"sv}) {
        CAPTURE(peer);
        CHECK_FALSE(proxies.trusts(peer));
    }
}

TEST_CASE("a network has all addresses with its prefix", "[proxies]") {
    const auto proxies = trusting({"10.0.0.0/8", "192.0.2.128/25", "198.51.100.7/32", "fd00::/8", "2001:db8:80::/41"});
    for (const auto peer :
         {"10.0.0.0:1", "10.255.255.255:1", "192.0.2.128:1", "192.0.2.255:1", "198.51.100.7:1", "[fd00::]:1",
          "[fdff:ffff::1]:1", "[2001:db8:80::1]:1", "[2001:db8:ff:1::]:1", "[::ffff:10.1.2.3]:1"}) {
        CAPTURE(peer);
        CHECK(proxies.trusts(peer));
    }
    for (const auto peer : {"9.255.255.255:1", "11.0.0.0:1", "192.0.2.127:1", "192.0.3.128:1", "198.51.100.6:1",
                            "[fc00::]:1", "[fe00::]:1", "[2001:db8:7f::]:1", "[2001:db8:100::]:1", "[::10.0.0.1]:1"}) {
        CAPTURE(peer);
        CHECK_FALSE(proxies.trusts(peer));
    }
}

TEST_CASE("every length of a prefix is compared exactly", "[proxies]") {
    const auto all = *detail::parse_ip_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    for (unsigned bit = 0; bit < 128; ++bit) {
        auto other = all;
        other.bytes[bit / 8] = static_cast<std::uint8_t>(other.bytes[bit / 8] ^ (0x80u >> bit % 8));
        for (unsigned prefix = 0; prefix <= 128; ++prefix) {
            CHECK(detail::has_equal_prefix(all, other, prefix) == (prefix <= bit));
        }
    }
}

TEST_CASE("a prefix of 0 is one family only", "[proxies]") {
    CHECK(trusting({"0.0.0.0/0"}).trusts("203.0.113.1:1"));
    CHECK_FALSE(trusting({"0.0.0.0/0"}).trusts("[2001:db8::1]:1"));
    CHECK(trusting({"::/0"}).trusts("[2001:db8::1]:1"));
    CHECK_FALSE(trusting({"::/0"}).trusts("203.0.113.1:1"));
    CHECK_FALSE(trusting({"::/0"}).trusts("[::ffff:203.0.113.1]:1"));
}

TEST_CASE("IPv4-mapped IPv6 in the list counts as IPv4", "[proxies]") {
    CHECK(trusting({"::ffff:10.0.0.0/104"}).trusts("10.1.2.3:1"));
    CHECK(trusting({"::ffff:10.0.0.1"}).trusts("10.0.0.1:1"));
    CHECK(trusting({"::ffff:10.0.0.0/104"}) == trusting({"10.0.0.0/8"}));
    CHECK_FALSE(trusting({"10.0.0.0/8"}) == trusting({"10.0.0.0/9"}));
}

TEST_CASE("unix is every peer over a Unix socket", "[proxies]") {
    const auto proxies = trusting({"unix"});
    CHECK(proxies.trusts("unix:"));
    CHECK(proxies.trusts("unix:/run/wsd.sock"));
    CHECK(proxies.trusts("unix:@name"));
    CHECK_FALSE(proxies.trusts("unix"));
    CHECK_FALSE(proxies.trusts("127.0.0.1:80"));
    CHECK_FALSE(proxies.empty());
}

TEST_CASE("an error names the entry", "[proxies]") {
    CHECK(refused("proxy.example") ==
          "trusted proxy 'proxy.example': write an IP address, a network such as 10.0.0.0/8, or unix");
    CHECK(refused("10.0.0.0/33") == "trusted proxy '10.0.0.0/33': the prefix must be a number from 0 to 32");
    CHECK(refused("fd00::/129") == "trusted proxy 'fd00::/129': the prefix must be a number from 0 to 128");
    CHECK(refused("10.0.0.1/8") ==
          "trusted proxy '10.0.0.1/8': the address has bits after the prefix; shorten the address or lengthen the "
          "prefix");
    for (const auto entry : {""sv,
                             "/"sv,
                             "/8"sv,
                             "10.0.0.0/"sv,
                             "10.0.0.0/x"sv,
                             "10.0.0.0/-1"sv,
                             "10.0.0.0/+8"sv,
                             "10.0.0.0/8/8"sv,
                             "10.0.0.0/8 "sv,
                             " 10.0.0.0/8"sv,
                             "10.0.0.0/99999999999"sv,
                             "10/8"sv,
                             "[::1]"sv,
                             "127.0.0.1:80"sv,
                             "::1%lo"sv,
                             "fe80::%eth0/10"sv,
                             "unix:"sv,
                             "Unix"sv,
                             "*"sv,
                             "10.0.0.0\0/8"sv,
                             "10.0.0.0/8\0"sv,
                             "127.0.0.1\n"sv,
                             "1.0.0.0/0"sv,
                             "::ffff:0:0/80"sv}) {
        refused(entry);
    }
    CHECK(refused(std::string(100000, '1')).size() < 300);
}

// --- the fields ---

TEST_CASE("a field of an untrusted peer changes nothing", "[proxies]") {
    for (const auto peer : {"192.0.2.9:80", "[2001:db8::9]:80", "", "localhost:80", "memory"}) {
        CHECK_FALSE(client({{"Forwarded", "for=192.0.2.1"}}, peer));
        CHECK_FALSE(client({{"X-Forwarded-For", "192.0.2.1"}}, peer));
        CHECK_FALSE(client({{"X-Real-IP", "192.0.2.1"}}, peer));
    }
    CHECK_FALSE(client_address("unix:", request_of({{"X-Forwarded-For", "192.0.2.1"}}), trusting({"127.0.0.1"})));
}

TEST_CASE("a request without the fields changes nothing", "[proxies]") {
    CHECK_FALSE(client({}));
    CHECK_FALSE(client({{"X-Forwarded-Proto", "https"}, {"Forwarded-For", "192.0.2.1"}}, proxy, "X-Forwarded-For"));
}

TEST_CASE("only the named field is read", "[proxies]") {
    const std::vector<HttpField> all{
        {"X-Real-IP", "192.0.2.3"}, {"x-forwarded-for", "192.0.2.2"}, {"forwarded", "for=192.0.2.1"}};
    CHECK(client(all, proxy, "Forwarded") == "192.0.2.1");
    CHECK(client(all, proxy, "X-FORWARDED-FOR") == "192.0.2.2");
    CHECK(client(all, proxy, "X-Real-IP") == "192.0.2.3");
    CHECK(client_address(proxy, request_of(all), trusting({"127.0.0.1"})) == "192.0.2.2");
    for (const auto other : {"X-Client-IP", "", "X-Forwarded", "Host"}) CHECK_FALSE(client(all, proxy, other));
    CHECK(client({{"CF-Connecting-IP", "192.0.2.4"}}, proxy, "cf-connecting-ip") == "192.0.2.4");
}

TEST_CASE("the client is the last address that is not a trusted proxy", "[proxies]") {
    CHECK(x_forwarded_for("192.0.2.1") == "192.0.2.1");
    CHECK(x_forwarded_for("6.6.6.6, 192.0.2.1") == "192.0.2.1");
    CHECK(x_forwarded_for("6.6.6.6, 192.0.2.1, 10.0.0.2,10.0.0.1") == "192.0.2.1");
    CHECK(x_forwarded_for("192.0.2.1:5000, 10.0.0.2:80") == "192.0.2.1:5000");
    CHECK(x_forwarded_for("2001:DB8::1, fd00::1, [fd00::2]:80") == "[2001:db8::1]");
    CHECK(x_forwarded_for("[2001:db8::1]:5000, ::ffff:10.0.0.1") == "[2001:db8::1]:5000");
    CHECK(x_forwarded_for("::ffff:192.0.2.1") == "192.0.2.1");
    CHECK(x_forwarded_for(",, 192.0.2.1 , ,\t,") == "192.0.2.1");
    CHECK(client({{"X-Forwarded-For", "192.0.2.1"}}, "unix:") == "192.0.2.1");
    CHECK(client({{"X-Forwarded-For", "192.0.2.1"}}, "[fd00::1]:80") == "192.0.2.1");
}

TEST_CASE("a list of trusted proxies only begins with the client", "[proxies]") {
    CHECK(x_forwarded_for("10.0.0.3, 10.0.0.2, 127.0.0.1") == "10.0.0.3");
    CHECK(forwarded("for=10.0.0.3, for=10.0.0.2") == "10.0.0.3");
}

TEST_CASE("several fields are one list", "[proxies][rfc9110-5.3]") {
    CHECK(client({{"X-Forwarded-For", "6.6.6.6, 192.0.2.1"}, {"Host", "a"}, {"x-forwarded-for", "10.0.0.1"}}) ==
          "192.0.2.1");
    CHECK(client({{"Forwarded", "for=192.0.2.1"}, {"Forwarded", ""}, {"Forwarded", "for=10.0.0.1"}}) == "192.0.2.1");
}

TEST_CASE("an element that is not an address ends the walk", "[proxies]") {
    for (const auto bad :
         {"unknown"sv, "_hidden"sv, "evil.example"sv, "10.0.0.1:x"sv, "10.0.0.1 10.0.0.2"sv, "\"10.0.0.1\""sv,
          "10.0.0.1\0"sv, "[::1"sv, "for=10.0.0.1"sv, "\""sv, "\\\""sv, "unix:"sv, "unix:/x"sv}) {
        CAPTURE(bad);
        const std::string text{bad};
        CHECK_FALSE(x_forwarded_for("192.0.2.1, " + text));
        CHECK(x_forwarded_for("192.0.2.1, " + text + ", 10.0.0.2, 10.0.0.1") == "10.0.0.2");
        CHECK(x_forwarded_for(text + ", 192.0.2.1, 10.0.0.1") == "192.0.2.1");
    }
}

TEST_CASE("the parameter for of Forwarded is the client", "[proxies][rfc7239-4]") {
    CHECK(forwarded("for=192.0.2.60;proto=http;by=203.0.113.43") == "192.0.2.60");
    CHECK(forwarded("For=\"[2001:db8:cafe::17]:4711\"") == "[2001:db8:cafe::17]:4711");
    CHECK(forwarded("for=\"[2001:db8:cafe::17]\"") == "[2001:db8:cafe::17]");
    CHECK(forwarded("by=203.0.113.43; FOR=\"192.0.2.60:80\" ;host=\"a,b;c=\\\"d\"") == "192.0.2.60:80");
    CHECK(forwarded("for=192.0.2.43, for=10.0.0.2;by=\"x, for=6.6.6.6\"") == "192.0.2.43");
    CHECK(forwarded(";;for=192.0.2.43;;") == "192.0.2.43");
    CHECK(forwarded("for=\"192.0.2\\.43\"") == "192.0.2.43");
    CHECK(forwarded("for=192.0.2.43:80") == "192.0.2.43:80");  // not a token, but unambiguous
    CHECK(forwarded("for=\"192.0.2.43:_port\"") == "192.0.2.43");
    CHECK(forwarded("for=\"[2001:db8::1]:_port\"") == "[2001:db8::1]");
}

TEST_CASE("a malformed element of Forwarded ends the walk", "[proxies][rfc7239-6]") {
    for (const auto bad : {"for=unknown"sv,
                           "for=\"_hidden\""sv,
                           "for=_SEVKISEK"sv,
                           "proto=https"sv,
                           "for="sv,
                           "for=\"\""sv,
                           "for"sv,
                           "="sv,
                           "for=10.0.0.1;for=10.0.0.1"sv,
                           "for=10.0.0.1;x"sv,
                           "for=10.0.0.1;=x"sv,
                           "for = 10.0.0.1"sv,
                           "for=\"10.0.0.1"sv,
                           "for=\"10.0.0.1\\\""sv,
                           "for=\"10.0.0.1\"x"sv,
                           "x=\"a\"b;for=10.0.0.1"sv,
                           "10.0.0.1"sv,
                           "for=\"10.0.0.1\0\""sv,
                           "for=10.0.0.1:80:_x"sv,
                           "for=10.0.0.1:_"sv,
                           "for=\"10.0.0.1:_ \""sv,
                           "for=10.0.0.1:_x:_x"sv,
                           "for=_x:_x"sv,
                           "for=\"\\"sv,
                           "f\0or=10.0.0.1"sv,
                           "for=[10.0.0.1]"sv}) {
        CAPTURE(bad);
        const std::string text{bad};
        CHECK_FALSE(forwarded(text));
        CHECK_FALSE(forwarded("for=192.0.2.1, " + text));
        CHECK(forwarded(text + ", for=192.0.2.1, for=10.0.0.1") == "192.0.2.1");
        CHECK(forwarded("for=192.0.2.2, " + text + ", for=10.0.0.2, for=10.0.0.1") == "10.0.0.2");
    }
}

TEST_CASE("an open quote of the client does not swallow the element of the proxy", "[proxies]") {
    for (const auto evil :
         {"for=\"", "for=\"\\", "\"", "for=6.6.6.6;x=\"", "for=6.6.6.6, for=\"", "for=6.6.6.6;x=\"\\\""}) {
        for (const auto own :
             {"for=\"[2001:db8::1]\"", "for=\"[2001:db8::1]\";by=\"a\\\"b\\\\\"", "by=\"\";for=\"[2001:db8::1]\""}) {
            CAPTURE(evil, own);
            CHECK(forwarded(std::string{evil} + ", " + own) == "[2001:db8::1]");
            CHECK(client({{"Forwarded", evil}, {"Forwarded", own}}) == "[2001:db8::1]");
        }
    }
}

TEST_CASE("X-Real-IP is one address", "[proxies]") {
    CHECK(client({{"X-Real-IP", "192.0.2.1"}}) == "192.0.2.1");
    CHECK(client({{"x-real-ip", " 2001:db8::1 "}}) == "[2001:db8::1]");
    CHECK(client({{"X-Real-IP", "10.0.0.7"}}) == "10.0.0.7");
    CHECK(client({{"X-Real-IP", "6.6.6.6"}, {"X-Real-IP", "192.0.2.1:80"}}) == "192.0.2.1:80");
    for (const auto bad : {"", "unknown", "6.6.6.6, 192.0.2.1", "192.0.2.1,", "192.0.2.1\r\n"}) {
        CHECK_FALSE(client({{"X-Real-IP", bad}}));
    }
}

TEST_CASE("a list of many elements is read in linear time", "[proxies]") {
    std::string trusted, quotes, escapes;
    for (int i = 0; i < 20000; ++i) {
        trusted += "10.0.0.1,";
        quotes += "for=\",";
        escapes += "\\\",";
    }
    CHECK(x_forwarded_for(trusted + "192.0.2.1") == "192.0.2.1");
    CHECK(x_forwarded_for("192.0.2.1," + trusted) == "192.0.2.1");
    CHECK(x_forwarded_for("192.0.2.1," + std::string(1000000, ',')) == "192.0.2.1");
    CHECK_FALSE(forwarded(quotes + "\""));
    CHECK_FALSE(forwarded(escapes));
    CHECK_FALSE(forwarded("for=\"" + std::string(1000000, '\\') + "\""));
    CHECK_FALSE(forwarded(std::string(1000000, '"')));
    CHECK_FALSE(forwarded(std::string(1000000, ';') + "for"));
    CHECK_FALSE(x_forwarded_for(std::string(1000000, '1')));
}
