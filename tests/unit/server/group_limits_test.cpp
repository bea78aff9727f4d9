// The limits of all clients of one address, or of one user, as clients meet them.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/server/detail/reactor_groups.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view alice = "192.0.2.1:1000";
constexpr std::string_view bob = "192.0.2.2:1000";
constexpr std::string_view proxy = "192.0.2.254:1000";

ReactorOptions per_address(const GroupLimits& limits) {
    ReactorOptions options;
    options.per_address = limits;
    return options;
}

struct Rig : test::MemoryServer {
    explicit Rig(const ReactorOptions& options, std::size_t reactors = 1) : MemoryServer(options, reactors) {
        shared.addresses.set(options.per_address);
        shared.users.set(options.per_user);
        handle("", Echo{});
    }
    void set(const ReactorOptions& options) {
        shared.addresses.set(options.per_address);
        reactor().set_options(options);
    }
    /// A client that has asked for an upgrade, and the status of the response; empty if there is none.
    std::pair<WireClient, std::string> ask(std::string_view from, std::string_view fields = {}) {
        WireClient client = connect(std::string{from});
        client.wire().write(upgrade_request(fields));
        run();
        std::string status = client.read_response();
        status = status.empty() ? status : status.substr(9, 3);
        return {std::move(client), status};
    }
    /// The same for a client that hangs up then.
    std::string status(std::string_view from, std::string_view fields = {}) {
        auto status = ask(from, fields).second;
        run();
        return status;
    }
    std::uint64_t received() {
        std::uint64_t sum = 0;
        for (const AnyReactor* one : shared.reactors) sum += one->counters().messages_in.read();
        return sum;
    }
    std::uint64_t pauses() { return reactor().counters().address_pauses.read(); }
};

}  // namespace

TEST_CASE("the key of an address is all of IPv4 and 64 bits of IPv6", "[group_limits]") {
    CHECK(address_key("192.0.2.1:80") == std::string("\xC0\x00\x02\x01", 4));
    CHECK(address_key("192.0.2.1") == address_key("192.0.2.1:80"));
    CHECK(address_key("[::ffff:192.0.2.1]:80") == address_key("192.0.2.1:80"));
    CHECK(address_key("192.0.2.1:80") != address_key("192.0.2.2:80"));
    CHECK(address_key("[2001:db8:1:2::1]:80") == address_key("[2001:db8:1:2:ffff::2]"));
    CHECK(address_key("[2001:db8:1:2::1]:80") != address_key("[2001:db8:1:3::1]:80"));
    CHECK(address_key("[fe80::1%eth0]:80").size() == 8);
    CHECK(address_key("unix:/run/wsd.sock") == "");
    CHECK(address_key("") == "");
}

TEST_CASE("the connections of an address are limited", "[group_limits]") {
    Rig server{per_address({.connections = 2})};
    auto first = server.ask(alice);
    auto second = server.ask("192.0.2.1:1001");
    CHECK(first.second == "101");
    CHECK(second.second == "101");
    WireClient third = server.connect(std::string{alice});
    third.wire().write(upgrade_request());
    server.run();
    const auto response = third.read_response();
    CHECK(response.starts_with("HTTP/1.1 429"));
    CHECK(response.find("Retry-After:") != std::string::npos);
    third.wire().close();
    CHECK(server.status(bob) == "101");
    REQUIRE(server.shared.ends.size() == 2);
    CHECK(server.shared.ends[0].error == make_error_code(Errc::too_many_from_address));
    SECTION("and a place is free when one ends") {
        first.first.wire().close();
        server.run();
        CHECK(server.status(alice) == "101");
    }
    SECTION("and one that was refused for another reason takes none") {
        first.first.wire().close();
        server.run();
        server.shared.refuse_with = Errc::no_such_path;
        const auto staying = server.ask(alice);
        CHECK(staying.second == "404");
        server.shared.refuse_with.reset();
        CHECK(server.status(alice) == "101");
    }
}

TEST_CASE("the addresses of a network of 64 bits are one", "[group_limits]") {
    Rig server{per_address({.connections = 1})};
    const auto one = server.ask("[2001:db8::1]:1000");
    CHECK(one.second == "101");
    CHECK(server.status("[2001:db8::2]:1000") == "429");
    CHECK(server.status("[2001:db8:0:1::1]:1000") == "101");
}

TEST_CASE("clients without an address have no limit of it", "[group_limits]") {
    Rig server{per_address({.connections = 1})};
    const auto one = server.ask("unix:/run/wsd.sock");
    CHECK(server.status("unix:/run/wsd.sock") == "101");
    CHECK(server.shared.addresses.size() == 0);
}

TEST_CASE("the new connections of an address in a second are limited", "[group_limits]") {
    Rig server{per_address({.connections_per_second = 3})};
    for (int i = 0; i < 3; ++i) CHECK(server.status(alice) == "101");
    CHECK(server.status(alice) == "429");
    CHECK(server.shared.ends.back().error == make_error_code(Errc::too_many_new_from_address));
    CHECK(server.status(bob) == "101");
    server.advance(340ms);
    CHECK(server.status(alice) == "101");
    CHECK(server.status(alice) == "429");
}

TEST_CASE("a flood of one address is closed, and takes nothing from others", "[group_limits]") {
    Rig server{per_address({.connections = 1})};
    const auto staying = server.ask(alice);
    int closed = 0;
    for (int i = 0; i < 100; ++i) closed += server.status(alice).empty() ? 1 : 0;
    CHECK(closed == 90);
    CHECK(server.status(bob) == "101");
    CHECK(server.reactor().counters().turned_away.read() == 0);
    CHECK(server.shared.addresses.over_connections() == 100);
    server.advance(10s);
    CHECK(server.shared.admitted == 1);
}

TEST_CASE("a plain request over the limit is answered", "[group_limits]") {
    Rig server{per_address({.connections = 1})};
    server.shared.http_response = HttpResponse{.status = 200, .body = "up"};
    const auto staying = server.ask(alice);
    WireClient plain = server.connect(std::string{alice});
    plain.wire().write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    server.run();
    CHECK(plain.read_response().starts_with("HTTP/1.1 200"));
}

TEST_CASE("a client of a proxy joins when its request was read", "[group_limits]") {
    Rig server{per_address({.connections = 1})};
    const auto one = server.ask(proxy, "X-Real-IP: 198.51.100.1\r\n");
    const auto other = server.ask(proxy, "X-Real-IP: 198.51.100.2\r\n");
    CHECK(one.second == "101");
    CHECK(other.second == "101");
    CHECK(server.status(proxy, "X-Real-IP: 198.51.100.1\r\n") == "429");
    CHECK(server.status("198.51.100.2:7") == "429");
}

TEST_CASE("a user has limits as an address has", "[group_limits]") {
    ReactorOptions options;
    options.per_user = {.connections = 1};
    Rig server{options};
    const auto one = server.ask(alice, "X-User: ann\r\n");
    CHECK(one.second == "101");
    CHECK(server.status(bob, "X-User: ann\r\n") == "429");
    CHECK(server.shared.ends.back().error == make_error_code(Errc::too_many_of_user));
    CHECK(server.status(alice, "X-User: bea\r\n") == "101");
    CHECK(server.status(alice) == "101");
}

TEST_CASE("the messages of a user are limited together", "[group_limits]") {
    ReactorOptions options;
    options.per_user = {.connections_per_second = 3, .receive_rates = {10, 0}};
    Rig server{options};
    std::vector<WireClient> clients;
    for (const std::string_view from : {alice, bob}) clients.push_back(server.ask(from, "X-User: ann\r\n").first);
    auto other = server.ask(alice, "X-User: bea\r\n").first;
    for (auto& client : clients) {
        for (int i = 0; i < 20; ++i) client.send("x");
    }
    other.send("x");
    server.run();
    CHECK(server.received() == 11);
    CHECK(other.read() == Strings{"text x"});
    CHECK(server.reactor().counters().user_pauses.read() > 0);
    CHECK(server.pauses() == 0);
    CHECK(server.ask(alice, "X-User: ann\r\n").second == "101");
    CHECK(server.status(alice, "X-User: ann\r\n") == "429");
    CHECK(server.shared.ends.back().error == make_error_code(Errc::too_many_new_of_user));
    CHECK(server.shared.users.over_rate() == 1);
    server.advance(5s);
    CHECK(server.received() == 41);  // nothing is lost
}

TEST_CASE("a client whose address has used up its rate waits, and the server rests", "[group_limits][testing]") {
    ServerOptions options;
    options.per_address.receive_rates = GENERATE(ReceiveRates{10, 0}, ReceiveRates{0, 1000});
    wsserver::MemoryServer server{Echo{}, options};
    server.handle_http("GET", "/", [](const RoutedRequest&) { return HttpResponse{.body = "hi"}; });
    const std::string request = "GET / HTTP/1.1\r\nHost: server\r\n\r\n";
    std::vector<MemoryWire> wires;
    const auto answers = [&] {
        std::size_t count = 0;
        for (MemoryWire& wire : wires) {
            const std::string all = wire.read();
            for (auto at = all.find("\r\n\r\nhi"); at != all.npos; at = all.find("\r\n\r\nhi", at + 1)) ++count;
        }
        return count;
    };
    for (int i = 0; i < 3; ++i) {
        wires.push_back(server.wire());
        for (int j = 0; j < 30; ++j) wires.back().write(request);
        server.run();  // it returns: no turn follows another one for nothing
    }
    const std::size_t at_once = answers();
    CHECK(at_once >= 3);  // the first header of each client
    CHECK(at_once < 50);
    server.advance(30s);
    CHECK(at_once + answers() == 90);
}

TEST_CASE("the messages of all clients of an address are limited together", "[group_limits]") {
    Rig server{per_address({.receive_rates = {10, 0}}), 2};
    std::vector<WireClient> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(server.ask(alice).first);  // two on each reactor
    auto other = server.ask(bob).first;
    for (auto& client : clients) {
        for (int i = 0; i < 50; ++i) client.send("x");
    }
    other.send("x");
    server.run();
    CHECK(server.received() == 11);
    CHECK(other.read() == Strings{"text x"});
    CHECK(server.pauses() > 0);
    for (int second = 1; second <= 10; ++second) {
        server.advance(1s);
        CHECK(server.received() <= 11U + 10U * static_cast<unsigned>(second));
        CHECK(server.received() >= 11U + 9U * static_cast<unsigned>(second));
    }
    server.advance(12s);
    CHECK(server.received() == 201);  // nothing is lost
    CHECK(server.shared.ends.empty());
}

TEST_CASE("each client of an address gets its part", "[group_limits]") {
    Rig server{per_address({.receive_rates = {100, 0}})};
    std::vector<WireClient> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(server.ask(alice).first);
    for (auto& client : clients) {
        for (int i = 0; i < 2000; ++i) client.send("x");
    }
    server.advance(100s);
    for (auto& client : clients) {
        const auto got = client.read().size();
        CHECK(got > 500);
        CHECK(got < 1600);
        client.wire().reset();
    }
}

TEST_CASE("the bytes of all clients of an address are limited together", "[group_limits]") {
    Rig server{per_address({.receive_rates = {0, 10'000}})};
    auto one = server.ask(alice).first;
    auto other = server.ask(alice).first;
    for (auto* client : {&one, &other}) {
        for (int i = 0; i < 100; ++i) client->send(std::string(994, 'm'));  // 1002 on the wire
    }
    server.run();
    CHECK(server.received() <= 10);
    server.advance(10s);
    CHECK(server.received() <= 110);
    CHECK(server.received() >= 95);
    server.advance(12s);
    CHECK(server.received() == 200);
    CHECK(one.read().size() == 100);
    CHECK(other.read().size() == 100);
}

TEST_CASE("a message of a megabyte arrives within the rate of an address", "[group_limits]") {
    Rig server{per_address({.receive_rates = {0, 100'000}})};
    auto client = server.ask(alice).first;
    client.send(std::string(1'000'000, 'm'));
    server.advance(8s);
    CHECK(server.received() == 0);
    server.advance(4s);
    CHECK(server.received() == 1);
    CHECK(client.read() == Strings{"text " + std::string(1'000'000, 'm')});
}

TEST_CASE("the rates of one client and of its address hold together", "[group_limits]") {
    ReactorOptions options = per_address({.receive_rates = {10, 0}});
    options.connection.receive_rates.messages = 6;
    Rig server{options};
    auto one = server.ask(alice).first;
    auto other = server.ask(alice).first;
    for (auto* client : {&one, &other}) {
        for (int i = 0; i < 50; ++i) client->send("x");
    }
    server.run();
    const auto got = one.read().size(), others = other.read().size();
    CHECK(got + others == 10);
    CHECK(std::max(got, others) <= 6);
}

TEST_CASE("a connection that closes is read without the rate of its address", "[group_limits]") {
    Rig server{per_address({.receive_rates = {1, 0}})};
    auto client = server.ask(alice).first;
    for (int i = 0; i < 50; ++i) client.send("x");
    server.run();
    CHECK(server.received() == 1);
    server.hub().close_all(CloseCode::going_away, "");
    server.run();
    CHECK(server.received() == 50);
}

TEST_CASE("limits that are set later count the connections that are open", "[group_limits]") {
    Rig server{ReactorOptions{}};
    auto first = server.ask(alice);
    auto second = server.ask(alice);
    CHECK(server.shared.addresses.size() == 0);
    server.set(per_address({.connections = 2, .receive_rates = {5, 0}}));
    CHECK(server.status(alice) == "429");
    for (int i = 0; i < 20; ++i) first.first.send("x");
    server.run();
    CHECK(server.received() == 5);
    SECTION("and higher ones count within a second") {
        server.set(per_address({.connections = 3, .receive_rates = {500, 0}}));
        server.advance(1s);
        CHECK(server.received() == 20);
        CHECK(server.status(alice) == "101");
    }
    SECTION("and none count no more") {
        server.set({});
        server.advance(1s);
        CHECK(server.received() == 20);
        for (int i = 0; i < 5; ++i) CHECK(server.status(alice) == "101");
        first.first.wire().close();
        second.first.wire().close();
        server.run();
        CHECK(server.shared.addresses.size() == 0);
    }
}

TEST_CASE("limits that are set later count an open client of a proxy, and not the proxy", "[group_limits]") {
    Rig server{ReactorOptions{}};
    const WireClient silent = server.connect(std::string{proxy});
    server.run();
    server.set(per_address({.connections = 1}));
    CHECK(server.shared.addresses.size() == 0);
    server.set({});
    const auto open = server.ask(proxy);
    server.set(per_address({.connections = 1}));
    CHECK(server.shared.addresses.size() == 1);
}

TEST_CASE("a flood of addresses that hang up does not grow the table", "[group_limits]") {
    Rig server{per_address({.connections = 1, .connections_per_second = 1})};
    const auto staying = server.ask(alice);
    for (int i = 0; i < 20'000; ++i) {
        (void)server.network.wire(server.place, "10.0." + std::to_string(i / 256) + '.' + std::to_string(i % 256));
        if (i % 50 == 0) server.run();
    }
    server.run();
    CHECK(server.shared.addresses.size() <= GroupTable::most_idle + 1);
    CHECK(server.shared.addresses.forgotten() > 0);
    CHECK(server.status(alice) == "429");
    server.advance(10s);
    CHECK(server.shared.admitted == 1);
}

TEST_CASE("a client without memory for its address is turned away", "[group_limits]") {
    for (std::size_t n = 1;; ++n) {
        Rig server{per_address({.connections = 2})};
        WireClient client = server.connect("[2001:db8::1]:1000");
        {
            const AllocationsMayFail within;
            AllocationFailures::from(n, 1);
            server.run();
        }
        const bool failed = AllocationFailures::happened() > 0;
        AllocationFailures::none();
        server.advance(10s);
        CHECK(server.reactor().list().size() <= 1);
        CHECK(server.shared.addresses.size() == server.reactor().list().size());
        CHECK(server.shared.admitted == static_cast<int>(server.reactor().list().size()));
        if (!failed) break;
    }
}

TEST_CASE("a program tests the limits of an address with a MemoryServer", "[group_limits][testing]") {
    ServerOptions options;
    options.per_address.connections = 1;
    wsserver::MemoryServer server{Echo{}, options};
    MemoryClient first = server.connect();
    CHECK(first.is_open());
    CHECK(server.connect().response().status == 429);
    options.per_address.connections = 2;
    server.reconfigure(options);
    CHECK(server.connect().is_open());
}
