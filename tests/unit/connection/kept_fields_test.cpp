#include "wsserver/connection/kept_fields.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "wsserver/connection/handshake_result.hpp"

using namespace wsserver;

TEST_CASE("kept fields are found without regard to case", "[kept_fields]") {
    static_assert(sizeof(KeptFields) == sizeof(void*));
    const KeptFields fields{std::vector<HttpField>{{"Cookie", "sid=1"}, {"X-Empty", ""}, {"x-two", "first"}}};
    CHECK(fields.find("Cookie") == "sid=1");
    CHECK(fields.find("COOKIE") == "sid=1");
    CHECK(fields.find("x-empty") == "");
    CHECK(fields.find("X-Two") == "first");
    CHECK_FALSE(fields.find("sid=1"));
    CHECK_FALSE(fields.find(""));
    CHECK_FALSE(KeptFields{}.find("Cookie"));
    CHECK_FALSE(KeptFields{std::vector<HttpField>{}}.find(""));
}

TEST_CASE("kept fields are compared with those of a request", "[kept_fields]") {
    const std::vector<HttpField> two{{"a", "1"}, {"b", ""}};
    const KeptFields fields{two};
    CHECK(fields.are(two));
    CHECK_FALSE(fields.are({}));
    CHECK_FALSE(fields.are(std::vector<HttpField>{{"a", "1"}}));
    CHECK_FALSE(fields.are(std::vector<HttpField>{{"a", "1"}, {"b", "2"}}));
    CHECK_FALSE(fields.are(std::vector<HttpField>{{"a", "1"}, {"b", ""}, {"c", ""}}));
    CHECK_FALSE(fields.are(std::vector<HttpField>{{"a", "1"}, {"b", ""}, {"", ""}}));
    CHECK(KeptFields{}.are({}));
    CHECK_FALSE(KeptFields{}.are(two));
}

TEST_CASE("connections share a handshake result only if their kept fields are equal", "[kept_fields]") {
    struct Deaf {
        void on_open(AnyConnection&) {}
    };
    HandshakeResultCache results;
    const auto handler = make_handler("deaf", Deaf{});
    const std::vector<HttpField> ann{{"Cookie", "ann"}}, bob{{"Cookie", "bob"}};
    const HandshakeResultPtr one = results.of(handler, "", "/", {}, ann);
    CHECK(results.of(handler, "", "/", {}, ann) == one);
    CHECK(one->kept_fields().find("cookie") == "ann");
    const HandshakeResultPtr other = results.of(handler, "", "/", {}, bob);
    CHECK(other != one);
    CHECK(other->kept_fields().find("cookie") == "bob");
    CHECK_FALSE(results.of(handler, "", "/")->kept_fields().find("cookie"));
}
