// Clients behind proxies, on real sockets.
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

/// Sends the address of each client to it.
struct Mirror {
    void on_open(AnyConnection& connection) { connection.send(connection.peer()); }
};

struct Rig {
    explicit Rig(std::vector<std::string> proxies, const std::string& field = "X-Forwarded-For")
        : server(options(std::move(proxies), field)) {
        server.handle(Mirror{});
        server.on_log([this](LogLevel, std::string_view text) {
            const std::lock_guard lock(mutex);
            lines.emplace_back(text);
        });
        server.on_end([this](const ConnectionEnd& end) {
            const std::lock_guard lock(mutex);
            ended.push_back(end.info.peer);
        });
        server.on_http([](const HttpRequest&) { return HttpResponse{.body = "page"}; });
        url = *server.listen("127.0.0.1:0");
        proxied_url = *server.listen("127.0.0.1:0", {.proxy_protocol = true});
        server.start();
    }
    static ServerOptions options(std::vector<std::string> proxies, const std::string& field) {
        ServerOptions options;
        options.io_threads = 1;
        options.trusted_proxies = std::move(proxies);
        options.client_address_field = field;
        return options;
    }
    /// The address that the server sees, and `header` before the request.
    static std::string peer(const std::string& at, std::string_view fields, std::string_view header = {}) {
        BlockingClient client{at};
        client.write(std::string{header} + upgrade_request(fields));
        const auto head = client.read_head();
        if (!head.starts_with("HTTP/1.1 101 ")) return head.substr(0, head.find('\r'));
        return client.next().substr(5);
    }
    std::string peer(std::string_view fields) const { return peer(url, fields); }

    std::mutex mutex;
    std::vector<std::string> lines;
    std::vector<std::string> ended;
    Server server;
    std::string url;
    std::string proxied_url;
};

constexpr std::string_view header = "PROXY TCP6 2001:db8::7 2001:db8::1 5000 80\r\n";

}  // namespace

TEST_CASE("a trusted proxy names its client", "[proxies][threads]") {
    Rig f{{"127.0.0.1", "10.0.0.0/8"}};
    CHECK(f.peer("X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.1.2.3\r\n") == "192.0.2.7");
    CHECK(f.peer("X-Forwarded-For: 2001:db8::7\r\n") == "[2001:db8::7]");
    CHECK(f.peer("Forwarded: for=192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n").starts_with("127.0.0.1:"));
    BlockingClient plain{f.url};
    plain.write("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.8\r\n\r\n");
    CHECK(plain.read_rest().ends_with("page"));
    plain.hang_up();
    CHECK(f.server.stop().complete());
    CHECK(std::ranges::count(f.ended, "192.0.2.7") == 1);
    CHECK(std::ranges::count(f.ended, "192.0.2.8") == 1);
}

TEST_CASE("a client that is not trusted cannot choose its address", "[proxies][threads]") {
    const Rig f{{"10.0.0.0/8", "unix"}};
    CHECK(f.peer("X-Forwarded-For: 192.0.2.7\r\n").starts_with("127.0.0.1:"));
    const Rig no_one{{}};
    CHECK(no_one.peer("X-Forwarded-For: 192.0.2.7\r\n").starts_with("127.0.0.1:"));
}

TEST_CASE("the proxies and their field may change while the server runs", "[proxies][threads]") {
    Rig f{{}};
    f.server.reconfigure(Rig::options({"127.0.0.1"}, "X-Real-IP"));
    CHECK(f.peer("X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.7\r\n") == "192.0.2.7");
    f.server.reconfigure(Rig::options({}, "X-Real-IP"));
    CHECK(f.peer("X-Real-IP: 192.0.2.7\r\n").starts_with("127.0.0.1:"));
}

TEST_CASE("a list of proxies with an error trusts no one and is logged", "[proxies][threads]") {
    Rig f{{"127.0.0.1", "proxy.example"}};
    CHECK(f.peer("X-Forwarded-For: 192.0.2.7\r\n").starts_with("127.0.0.1:"));
    const std::lock_guard lock(f.mutex);
    const auto told = [](const std::string& line) {
        return line.starts_with("trusted proxy 'proxy.example': ") && line.ends_with("; no proxy is trusted");
    };
    CHECK(std::ranges::count_if(f.lines, told) == 1);
}

TEST_CASE("a client with a loopback address behind a proxy may not use DNS rebinding", "[proxies][threads]") {
    const Rig f{{"127.0.0.1"}};
    const std::string_view rebinding = "Origin: http://server.example.com\r\n";
    CHECK(f.peer(rebinding).starts_with("HTTP/1.1 403 "));
    CHECK(f.peer(std::string{rebinding} + "X-Forwarded-For: 127.0.0.1\r\n").starts_with("HTTP/1.1 403 "));
    CHECK(f.peer(std::string{rebinding} + "X-Forwarded-For: 192.0.2.7\r\n") == "192.0.2.7");
}

TEST_CASE("a load balancer names its client by the PROXY protocol", "[proxies][threads]") {
    Rig f{{"127.0.0.1"}};
    CHECK(Rig::peer(f.proxied_url, {}, header) == "[2001:db8::7]:5000");
    // The client is not a trusted proxy.
    CHECK(Rig::peer(f.proxied_url, "X-Forwarded-For: 6.6.6.6\r\n", header) == "[2001:db8::7]:5000");
    CHECK(Rig::peer(f.proxied_url, "X-Forwarded-For: 192.0.2.7\r\n", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n") ==
          "192.0.2.7");
    CHECK(Rig::peer(f.proxied_url, {}).empty());
    CHECK(Rig::peer(f.url, {}, header).starts_with("HTTP/1.1 400 "));
    f.server.drain();
    REQUIRE(f.server.undrain());
    CHECK(Rig::peer(f.proxied_url, {}, header) == "[2001:db8::7]:5000");
}

TEST_CASE("clients of a trusted proxy have the limits of their own addresses", "[proxies][threads]") {
    Rig f{{"127.0.0.1"}};
    const auto ask = [](const std::string& at, std::string_view fields, std::string_view before = {}) {
        BlockingClient client{at};
        client.write(std::string{before} + upgrade_request(fields));
        const auto status = client.read_head().substr(9, 3);
        return std::pair{std::move(client), status};
    };
    const auto older = ask(f.url, "X-Forwarded-For: 192.0.2.7\r\n");  // than the limits
    auto limited = Rig::options({"127.0.0.1"}, "X-Forwarded-For");
    limited.per_address.connections = 1;
    f.server.reconfigure(limited);
    (void)f.server.list();  // after it, the reactor has the limits
    CHECK(ask(f.url, "X-Forwarded-For: 192.0.2.7\r\n").second == "429");
    const auto other = ask(f.url, "X-Forwarded-For: 192.0.2.8\r\n");
    CHECK(other.second == "101");
    const auto balanced = ask(f.proxied_url, {}, header);
    CHECK(balanced.second == "101");
    CHECK(ask(f.url, "X-Forwarded-For: 2001:db8::99\r\n").second == "429");  // the same /64
    CHECK(f.server.statistics().over_address_connections == 2);
}

TEST_CASE("the PROXY protocol is for trusted proxies only", "[proxies][threads]") {
    const Rig f{{"10.0.0.0/8"}};
    CHECK(Rig::peer(f.proxied_url, {}, header).empty());
}
