#include "wsd/refusal_sums.hpp"

#include <string>

#include "support/catch.hpp"
#include "wsserver/protocol/error.hpp"

using namespace std::chrono_literals;
using wsd::address_of_peer;
using wsd::RefusalSums;
using wsserver::Errc;

namespace {

const auto start = RefusalSums::Time{} + 1h;
const auto origin = make_error_code(Errc::origin_forbidden);
const auto full = make_error_code(Errc::too_many_connections);

std::string peer(int number) {
    return "10.0." + std::to_string(number / 256) + "." + std::to_string(number % 256) + ":1";
}

}  // namespace

TEST_CASE("an address is a peer without its port, and of IPv6 its network", "[wsd][refusal_sums]") {
    CHECK(address_of_peer("192.0.2.1:5000") == "192.0.2.1");
    CHECK(address_of_peer("[2001:db8:1:2:3:4:5:6]:5000") == "2001:db8:1:2::/64");
    CHECK(address_of_peer("[2001:db8:1:2:ffff::1]:1") == "2001:db8:1:2::/64");
    CHECK(address_of_peer("[::1]:1") == "::/64");
    CHECK(address_of_peer("[fe80::1%eth0]:1") == "fe80::/64");
    CHECK(address_of_peer("[::ffff:192.0.2.1]:1") == "::ffff:192.0.2.1");
    CHECK(address_of_peer("unix:/run/wsd/wsd.sock") == "unix:/run/wsd/wsd.sock");
    CHECK(address_of_peer("") == "");
}

TEST_CASE("of equal refusals the first is written and the others are summed up", "[wsd][refusal_sums]") {
    RefusalSums sums;
    CHECK(sums.add("192.0.2.1:1", origin, start));
    for (int port = 2; port < 414; ++port) CHECK(!sums.add("192.0.2.1:" + std::to_string(port), origin, start + 1s));
    CHECK(sums.next_due() == start + 10s);
    CHECK(sums.take_due(start + 9999ms).empty());
    const auto due = sums.take_due(start + 10s);
    REQUIRE(due.size() == 1);
    CHECK(due[0].address == "192.0.2.1");
    CHECK(due[0].error == origin);
    CHECK(due[0].count == 412);
    CHECK(due[0].within == 10s);
    CHECK(sums.next_due() == std::nullopt);
    CHECK(sums.add("192.0.2.1:1", origin, start + 10s));
}

TEST_CASE("another address or another reason is another refusal", "[wsd][refusal_sums]") {
    RefusalSums sums;
    CHECK(sums.add("192.0.2.1:1", origin, start));
    CHECK(sums.add("192.0.2.2:1", origin, start));
    CHECK(sums.add("192.0.2.1:1", full, start));
    CHECK(sums.add("[2001:db8::1]:1", origin, start));
    CHECK(!sums.add("[2001:db8::2]:1", origin, start));
    CHECK(sums.add("[2001:db8:0:1::1]:1", origin, start));
}

TEST_CASE("a refusal that does not repeat has no sum", "[wsd][refusal_sums]") {
    RefusalSums sums;
    CHECK(sums.add("192.0.2.1:1", origin, start));
    CHECK(sums.take_due(start + 1min).empty());
    CHECK(sums.next_due() == std::nullopt);
}

TEST_CASE("the table is bounded, and what it has no space for is one sum", "[wsd][refusal_sums]") {
    RefusalSums sums;
    constexpr int known = RefusalSums::max_entries;
    for (int i = 0; i < known; ++i) CHECK(sums.add(peer(i), origin, start));
    for (int i = known; i < known + 5000; ++i) CHECK(!sums.add(peer(i), i % 2 == 0 ? origin : full, start + 1s));
    CHECK(!sums.add(peer(7), origin, start + 2s));
    const auto first = sums.take_due(start + 10s);
    REQUIRE(first.size() == 1);
    CHECK(first[0].address == "10.0.0.7");
    CHECK(sums.next_due() == start + 11s);
    const auto others = sums.take_due(start + 11s);
    REQUIRE(others.size() == 1);
    CHECK(others[0].address.empty());
    CHECK(!others[0].error);
    CHECK(others[0].count == 5000);
    CHECK(sums.next_due() == std::nullopt);
    CHECK(sums.add(peer(known), origin, start + 12s));
}

TEST_CASE("at the end nothing that was counted is lost", "[wsd][refusal_sums]") {
    RefusalSums sums;
    for (int i = 0; i < 3; ++i) sums.add("192.0.2.1:1", origin, start);
    const auto all = sums.take_all();
    REQUIRE(all.size() == 1);
    CHECK(all[0].count == 2);
    CHECK(sums.take_all().empty());
}
