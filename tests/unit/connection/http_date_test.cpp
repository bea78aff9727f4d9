#include "wsserver/connection/http_date.hpp"

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono;

TEST_CASE("a date is written as header fields have it", "[http_date][rfc9110-5.6.7]") {
    const auto at = [](long long seconds) { return http_date(sys_seconds{std::chrono::seconds{seconds}}); };
    CHECK(at(784'111'777) == "Sun, 06 Nov 1994 08:49:37 GMT");  // the RFC's example
    CHECK(at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
    CHECK(at(-1) == "Wed, 31 Dec 1969 23:59:59 GMT");
    CHECK(at(951'827'696) == "Tue, 29 Feb 2000 12:34:56 GMT");
    CHECK(at(4'102'444'799) == "Thu, 31 Dec 2099 23:59:59 GMT");
}

TEST_CASE("each day of a week and each month has its name", "[http_date][rfc9110-5.6.7]") {
    const auto name = [](sys_days day) { return http_date(day).substr(0, 3); };
    const sys_days sunday = 1994y / November / 6;
    int passed = 0;
    for (const auto* wanted : {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}) {
        CHECK(name(sunday + days{passed++}) == wanted);
    }
    unsigned number = 1;
    for (const auto* wanted : {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}) {
        CHECK(http_date(sys_days{2024y / month{number++} / 1}).substr(8, 3) == wanted);
    }
}

TEST_CASE("the Date field follows the clock, also backwards", "[http_date]") {
    DateField field;
    for (const long long seconds : {0, 1, 784'111'777, 784'111'777, 60, 0}) {
        const sys_seconds time{std::chrono::seconds{seconds}};
        CHECK(field.at(time) == http_date(time));
    }
}
