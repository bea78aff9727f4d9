#include "wsserver/handshake/http_values.hpp"

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::string_view_literals;
using Pairs = std::vector<std::pair<std::string, std::string>>;

namespace {

HttpRequest with_cookies(std::initializer_list<std::string_view> values) {
    HttpRequest request;
    request.fields.push_back({"Host", "example.com"});
    for (const auto value : values) request.fields.push_back({"cookie", std::string{value}});
    return request;
}

std::string written(std::string_view name, std::string_view value, const CookieOptions& options = {}) {
    const auto field = set_cookie(name, value, options);
    if (!field) FAIL(field.error());
    return *field;
}

std::string refused(std::string_view name, std::string_view value, const CookieOptions& options = {}) {
    const auto field = set_cookie(name, value, options);
    REQUIRE_FALSE(field);
    CHECK(field.error().find_first_of("\r\n\0"sv) == std::string::npos);
    return field.error();
}

}  // namespace

TEST_CASE("percent-encoding keeps unreserved characters only", "[http_values][rfc3986-2.3]") {
    CHECK(percent_encoded("").empty());
    CHECK(percent_encoded("AZaz09-._~") == "AZaz09-._~");
    CHECK(percent_encoded("a b+c/d?e%f") == "a%20b%2Bc%2Fd%3Fe%25f");
    CHECK(percent_encoded("J\xC3\xB6rg") == "J%C3%B6rg");
    CHECK(percent_encoded("\0\xFF"sv) == "%00%FF");
}

TEST_CASE("any text is the same after percent-encoding and decoding", "[http_values]") {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    CHECK(percent_decoded(percent_encoded(all)) == all);
}

TEST_CASE("malformed escapes are not decoded", "[http_values][rfc3986-2.1]") {
    CHECK(percent_decoded("") == "");
    CHECK(percent_decoded("a+b") == "a+b");
    CHECK(percent_decoded("%c3%B6") == "\xC3\xB6");
    CHECK(percent_decoded("%00") == std::string(1, '\0'));
    CHECK(percent_decoded("%2525") == "%25");
    for (const auto text : {"%"sv, "%2"sv, "a%"sv, "a%4"sv, "%g0"sv, "%0g"sv, "%%20"sv, "% 1"sv, "%+1"sv, "%-1"sv,
                            "%0x41"sv.substr(0, 3), "%2\0"sv, "%\xC3\xB6"sv}) {
        CAPTURE(text);
        CHECK_FALSE(percent_decoded(text));
    }
}

TEST_CASE("a target is split at its first question mark", "[http_values]") {
    CHECK(path_of("/chat?room=5?x") == "/chat");
    CHECK(query_of("/chat?room=5?x") == "room=5?x");
    CHECK(path_of("/chat") == "/chat");
    CHECK(query_of("/chat").empty());
    CHECK(query_of("/chat?").empty());
    CHECK(path_of("?a").empty());
    CHECK(path_of("").empty());
    CHECK(query_of("").empty());
    CHECK(path_of("/a%3Fb") == "/a%3Fb");
}

TEST_CASE("query_value returns the first value, decoded", "[http_values]") {
    CHECK(query_value("/?room=5&room=6", "room") == "5");
    CHECK(query_value("/?a=1&name=J%C3%B6rg+M&b", "name") == "J\xC3\xB6rg M");
    CHECK(query_value("/?a=b=c&d", "a") == "b=c");
    CHECK(query_value("/?a&b=", "a") == "");
    CHECK(query_value("/?a&b=", "b") == "");
    CHECK(query_value("/?%61=1", "a") == "1");
    CHECK(query_value("/?a+b=1", "a b") == "1");
    CHECK(query_value("/?=1", "") == "1");
    CHECK(query_value("/?x=%2B%26%3D%00", "x") == std::string("+&=\0", 4));
    CHECK_FALSE(query_value("/?Room=5", "room"));
    CHECK_FALSE(query_value("/?room=5", "roo"));
    CHECK_FALSE(query_value("/?a&&", ""));
    CHECK_FALSE(query_value("/room=5", "room"));
    CHECK_FALSE(query_value("", "room"));
}

TEST_CASE("a malformed escape matters to its own value only", "[http_values]") {
    CHECK_FALSE(query_value("/?a=%&a=1", "a"));
    CHECK_FALSE(query_value("/?a=%zz", "a"));
    CHECK(query_value("/?a=%zz&b=1", "b") == "1");
    CHECK(query_value("/?%zz=2&b=1", "b") == "1");
    CHECK_FALSE(query_value("/?%zz=2", "%zz"));
}

TEST_CASE("query_pairs returns all names and values in order", "[http_values]") {
    CHECK(query_pairs("/") == Pairs{});
    CHECK(query_pairs("/?") == Pairs{});
    CHECK(query_pairs("/?&&") == Pairs{});
    CHECK(query_pairs("/?b=1&&a=%32&b&c=x+y&") == Pairs{{"b", "1"}, {"a", "2"}, {"b", ""}, {"c", "x y"}});
    CHECK_FALSE(query_pairs("/?a=1&b=%"));
    CHECK_FALSE(query_pairs("/?a=1&%4=b"));
}

TEST_CASE("a query of many names is read to its end", "[http_values]") {
    std::string target = "/?";
    for (int i = 0; i < 20000; ++i) target += "a&=&";
    CHECK(query_value(target + "last=1", "last") == "1");
    CHECK(query_pairs(target)->size() == 40000);
    CHECK_FALSE(query_value("/?" + std::string(1000000, '&'), "a"));
    CHECK_FALSE(query_value("/?a=" + std::string(1000000, '%'), "a"));
}

TEST_CASE("cookies are found in all Cookie fields", "[http_values][rfc6265-4.2]") {
    const auto request = with_cookies({"SID=31d4d96e407aad42; lang=en-US", "token=\"abc=\";empty=; x=\"\""});
    CHECK(cookie(request, "SID") == "31d4d96e407aad42");
    CHECK(cookie(request, "lang") == "en-US");
    CHECK(cookie(request, "token") == "abc=");
    CHECK(cookie(request, "empty") == "");
    CHECK(cookie(request, "x") == "");
    CHECK_FALSE(cookie(request, "sid"));
    CHECK_FALSE(cookie(request, "SI"));
    CHECK_FALSE(cookie(request, ""));
    CHECK_FALSE(cookie(HttpRequest{}, "SID"));
}

TEST_CASE("the first cookie of a name counts", "[http_values]") {
    CHECK(cookie(with_cookies({"a=1; a=2", "a=3"}), "a") == "1");
    CHECK(cookie(with_cookies({"b=1", "a=3"}), "a") == "3");
}

TEST_CASE("malformed cookies do not hide the others", "[http_values]") {
    const auto request = with_cookies({";;; a ;=; \t; b = 1 ;c=\";d=\"x;e=x\";f=;", "", "=", "g=a\"b\""});
    CHECK(cookie(request, "b") == "1");
    CHECK(cookie(request, "c") == "\"");
    CHECK(cookie(request, "d") == "\"x");
    CHECK(cookie(request, "e") == "x\"");
    CHECK(cookie(request, "f") == "");
    CHECK(cookie(request, "g") == "a\"b\"");
    CHECK_FALSE(cookie(request, "a"));
    CHECK(cookie(with_cookies({"a\0=1; a=2"sv}), "a") == "2");
    CHECK(cookie(with_cookies({std::string(100000, ';') + "a=1"}), "a") == "1");
}

TEST_CASE("a Set-Cookie field has the attributes of its options", "[http_values][rfc6265-4.1]") {
    CHECK(written("sid", "a/b=") == "sid=a/b=; Path=/; HttpOnly; SameSite=Lax");
    CHECK(written("sid", "", {.path = "/chat", .max_age = 0, .http_only = false, .same_site = std::nullopt}) ==
          "sid=; Path=/chat; Max-Age=0");
    CHECK(written("a", "b", {.max_age = 3600, .secure = true, .same_site = SameSite::none}) ==
          "a=b; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=None");
    CHECK(written("a", "b", {.same_site = SameSite::strict}) == "a=b; Path=/; HttpOnly; SameSite=Strict");
}

TEST_CASE("a Set-Cookie field with invalid characters is refused", "[http_values][rfc6265-4.1]") {
    CHECK(refused("a b", "c") == "cookie name 'a b': use letters, digits and !#$%&'*+-.^_`|~ only");
    for (const auto name : {""sv, "a=b"sv, "a;b"sv, "a\r\nX: y"sv, "a\0"sv, "\xC3\xB6"sv}) {
        CAPTURE(name);
        refused(name, "c");
    }
    for (const auto value :
         {"a b"sv, "a;b"sv, "a,b"sv, "\"a\""sv, "a\\b"sv, "a\r\nX: y"sv, "\0"sv, "\x7F"sv, "\xFF"sv}) {
        CAPTURE(value);
        CHECK(refused("a", value).starts_with("cookie value '"));
    }
    for (const auto path : {""sv, "a"sv, "/; Domain=evil.example"sv, "/a b"sv, "/\n"sv, "/\0"sv}) {
        CAPTURE(path);
        CHECK(refused("a", "b", {.path = std::string{path}}).starts_with("cookie path '"));
    }
    CHECK(refused("a", "b", {.max_age = -1}) == "cookie max_age '-1': it must not be negative");
    CHECK(refused("a", "b", {.same_site = SameSite::none}) == "cookie name 'a': SameSite::none needs secure");
    CHECK(refused("a", std::string(100000, ';')).size() < 300);
}
