// Connections that begin with a header of the PROXY protocol, on a network in memory.
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// A server that listens at a second endpoint, for load balancers.
struct Rig : MemoryServer {
    explicit Rig(const ConnectionOptions& options = {}) : MemoryServer(options) {
        shared.trusts_proxies = true;
        handle("", Echo{});
        reactor().listen(std::move(network.open_listeners(proxied, 1).front()), true);
    }
    WireClient connect_behind_proxy() { return WireClient{network.wire(proxied)}; }
    std::string peer() { return reactor().list().at(0).peer; }

    const Endpoint proxied{"server", 81, {}};
};

constexpr std::string_view version_1 = "PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n";

/// The same as `version_1`.
std::string version_2() {
    using namespace std::string_literals;
    return "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\x13\x88\0\x50"s;
}

}  // namespace

TEST_CASE("a header of the PROXY protocol names the client, wherever it is cut", "[proxy_header]") {
    for (const std::string& header : {std::string{version_1}, version_2()}) {
        const std::string all = header + upgrade_request();
        for (std::size_t cut = 0; cut <= all.size(); ++cut) {
            Rig server;
            WireClient client = server.connect_behind_proxy();
            client.wire().write(std::string_view{all}.substr(0, cut));
            server.run();
            client.wire().write(std::string_view{all}.substr(cut));
            server.run();
            if (!client.read_response().starts_with("HTTP/1.1 101 ") || server.peer() != "192.0.2.7:5000") {
                FAIL("cut at " << cut);
            }
            client.send("hello");
            server.run();
            CHECK(client.read() == Strings{"text hello"});
        }
    }
}

TEST_CASE("a load balancer that speaks for itself keeps its address", "[proxy_header]") {
    Rig server;
    WireClient client = server.connect_behind_proxy();
    client.wire().write("PROXY UNKNOWN\r\n" + upgrade_request());
    server.run();
    CHECK(client.read_response().starts_with("HTTP/1.1 101 "));
    WireClient direct = server.open();
    const auto all = server.reactor().list();
    REQUIRE(all.size() == 2);
    CHECK(all[0].peer.substr(0, all[0].peer.find(':')) == all[1].peer.substr(0, all[1].peer.find(':')));
}

TEST_CASE("a connection without the header is closed without a response", "[proxy_header]") {
    Rig server;
    WireClient client = server.connect_behind_proxy();
    client.wire().write(upgrade_request());
    server.run();
    CHECK(client.read_response().empty());
    CHECK(client.wire().at_end());
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].error == Errc::malformed_proxy_header);
    CHECK(server.shared.ends[0].cause.starts_with("malformed header of the PROXY protocol: "));
    CHECK(server.reactor().counters().refused.read() == 1);
}

TEST_CASE("a peer that is not trusted may not send the header", "[proxy_header]") {
    Rig server;
    server.shared.trusts_proxies = false;
    WireClient client = server.connect_behind_proxy();
    client.wire().write(std::string{version_1} + upgrade_request());
    server.run();
    CHECK(client.read_response().empty());
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].error == Errc::untrusted_proxy);
    CHECK(server.reactor().counters().refused.read() == 1);
}

TEST_CASE("a full server reads the header before it refuses the client", "[proxy_header]") {
    Rig server;
    server.shared.admission = ReactorShared::StreamAdmission::answer_503;
    WireClient client = server.connect_behind_proxy();
    client.wire().write(std::string{version_1} + upgrade_request());
    server.run();
    CHECK(client.read_response().starts_with("HTTP/1.1 503 "));
    client.wire().shutdown();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].info.peer == "192.0.2.7:5000");
}

TEST_CASE("the time of the opening handshake includes the header", "[proxy_header]") {
    Rig server{{.handshake_timeout = 1s}};
    WireClient client = server.connect_behind_proxy();
    client.wire().write("PROXY TCP4");
    server.run();
    server.advance(2s);
    CHECK(client.read_response().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a header without a request ends with its stream", "[proxy_header]") {
    Rig server;
    WireClient client = server.connect_behind_proxy();
    client.wire().write(version_1);
    client.wire().shutdown();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].info.peer == "192.0.2.7:5000");
    CHECK_FALSE(server.shared.ends[0].opened);
}
