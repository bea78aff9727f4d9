#include "wsserver/transport/endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "support/catch.hpp"

using namespace wsserver;

namespace {

template <class Address>
Endpoint seen(const Address& address, std::size_t size = sizeof(Address)) {
    sockaddr_storage storage{};
    std::memcpy(&storage, &address, sizeof address);
    return endpoint_of(storage, static_cast<socklen_t>(size));
}

}  // namespace

TEST_CASE("endpoints are parsed and formatted", "[endpoint]") {
    struct Case {
        const char* text;
        Endpoint endpoint;
    };
    for (const auto& [text, endpoint] : std::initializer_list<Case>{
             {"127.0.0.1:8080", {.host = "127.0.0.1", .port = 8080}},
             {"localhost:0", {.host = "localhost", .port = 0}},
             {"a-b_c.example.org:65535", {.host = "a-b_c.example.org", .port = 65535}},
             {":80", {.host = "", .port = 80}},
             {"[::1]:443", {.host = "::1", .port = 443}},
             {"[fe80::1%eth0]:1", {.host = "fe80::1%eth0", .port = 1}},
             {"[::ffff:10.0.0.1]:1", {.host = "::ffff:10.0.0.1", .port = 1}},
             {"unix:/run/wsd.sock", {.unix_path = "/run/wsd.sock"}},
             {"unix:relative path:80", {.unix_path = "relative path:80"}},
             {"unix:@abstract", {.unix_path = "@abstract"}},
         }) {
        CAPTURE(text);
        const auto parsed = parse_endpoint(text);
        REQUIRE(parsed);
        CHECK(*parsed == endpoint);
        CHECK(to_string(*parsed) == text);
    }
}

TEST_CASE("a text that is not an endpoint is refused with the reason", "[endpoint]") {
    struct Case {
        std::string_view text, why;
    };
    using namespace std::string_view_literals;
    for (const auto& [text, why] : std::initializer_list<Case>{
             {"", "port is missing"},
             {"localhost", "port is missing"},
             {"8080", "port is missing"},
             {"[::1]", "port must follow"},
             {"[::1]8080", "port must follow"},
             {"[::1:80", "port must follow"},
             {"::1:8080", "in brackets"},
             {"fe80::1", "in brackets"},
             {"[127.0.0.1]:80", "not an IPv6 address"},
             {"[]:80", "not an IPv6 address"},
             {"[localhost]:80", "not an IPv6 address"},
             {"*:80", "leave the host empty"},
             {"host:", "number from 0 to 65535"},
             {"host:-1", "number from 0 to 65535"},
             {"host:+1", "number from 0 to 65535"},
             {"host:65536", "number from 0 to 65535"},
             {"host:99999999999999999999", "number from 0 to 65535"},
             {"host:80 ", "number from 0 to 65535"},
             {"host:http", "number from 0 to 65535"},
             {"host:0x50", "number from 0 to 65535"},
             {"ws://localhost:80", "URL"},
             {"http://localhost:80/", "URL"},
             {"local host:80", "neither a name nor an address"},
             {" localhost:80", "neither a name nor an address"},
             {"a/b:80", "neither a name nor an address"},
             {"a\0b:80"sv, "neither a name nor an address"},
             {"h\xC3\xB6st:80", "neither a name nor an address"},
             {"unix:", "path is missing"},
             {"unix:@", "path is missing"},
             {"unix:/a\0b"sv, "zero bytes"},
         }) {
        CAPTURE(text);
        const auto parsed = parse_endpoint(text);
        REQUIRE_FALSE(parsed);
        CHECK_THAT(parsed.error(), Catch::Contains(std::string{why}));
        CHECK_THAT(parsed.error(), Catch::Contains("HOST:PORT"));
    }
}

TEST_CASE("addresses of the kernel become endpoints", "[endpoint]") {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(5000);
    ::inet_pton(AF_INET, "192.0.2.7", &ipv4.sin_addr);
    CHECK(to_string(seen(ipv4)) == "192.0.2.7:5000");

    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(5000);
    ::inet_pton(AF_INET6, "2001:db8::7", &ipv6.sin6_addr);
    CHECK(to_string(seen(ipv6)) == "[2001:db8::7]:5000");
    ::inet_pton(AF_INET6, "::ffff:192.0.2.7", &ipv6.sin6_addr);
    CHECK(to_string(seen(ipv6)) == "192.0.2.7:5000");
    ::inet_pton(AF_INET6, "fe80::1", &ipv6.sin6_addr);
    ipv6.sin6_scope_id = 1;  // the loopback interface
    CHECK(seen(ipv6).host == "fe80::1%lo");
    ipv6.sin6_scope_id = 77'777;
    CHECK(seen(ipv6).host == "fe80::1%77777");
}

TEST_CASE("Unix addresses of the kernel become endpoints", "[endpoint]") {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    constexpr std::size_t head = offsetof(sockaddr_un, sun_path);
    CHECK(seen(local, head).unix_path.empty());
    std::memcpy(local.sun_path, "/run/x", 6);
    CHECK(seen(local, head + 6).unix_path == "/run/x");
    CHECK(seen(local, head + 7).unix_path == "/run/x");
    std::memcpy(local.sun_path, "\0name", 5);
    CHECK(seen(local, head + 5).unix_path == "@name");
    std::memset(local.sun_path, 'p', sizeof local.sun_path);  // no final zero
    CHECK(seen(local).unix_path == std::string(sizeof local.sun_path, 'p'));
}

TEST_CASE("a socket without an address has an empty endpoint", "[endpoint]") {
    CHECK(endpoint_of(sockaddr_storage{}, 0) == Endpoint{});
    sockaddr_storage other{};
    other.ss_family = AF_PACKET;
    CHECK(endpoint_of(other, sizeof other) == Endpoint{});
    CHECK(local_endpoint(-1) == Endpoint{});
    CHECK(peer_name(-1).empty());
    const int lonely = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(peer_name(lonely).empty());
    ::close(lonely);
}

TEST_CASE("a Unix peer without a path has the path that it connected to", "[endpoint]") {
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
    CHECK(peer_name(both[0]) == "unix:");  // neither end has a path
    ::close(both[0]);
    ::close(both[1]);
}

TEST_CASE("a peer of 127.0.0.0/8 or [::1] is a client of this machine", "[endpoint]") {
    CHECK(is_loopback_peer("127.0.0.1:5000"));
    CHECK(is_loopback_peer("127.1.2.3:5000"));
    CHECK(is_loopback_peer("[::1]:5000"));
    for (const char* other : {"", "192.168.1.2:5000", "[::1:2]:5000", "[::]:5000", "unix:/run/wsd.sock", "unix:127."}) {
        CAPTURE(other);
        CHECK_FALSE(is_loopback_peer(other));
    }
}
