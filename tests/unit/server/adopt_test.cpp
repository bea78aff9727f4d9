// Streams and listening sockets that the program already has.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/server.hpp"
#include "wsserver/transport/endpoint.hpp"
#include "wsserver/transport/listener.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// A socket that listens on a port of 127.0.0.1.
struct OwnListener {
    OwnListener() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const plain = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::bind(socket.get(), plain, sizeof address) == 0);
        REQUIRE(::listen(socket.get(), 100) == 0);
    }
    std::string url() const { return "ws://" + to_string(local_endpoint(socket.get())); }
    Descriptor accept() const { return Descriptor{::accept(socket.get(), nullptr, nullptr)}; }
    Descriptor duplicate() const { return Descriptor{::dup(socket.get())}; }

    Descriptor socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
};

/// Reads `count` bytes of a client.
std::string read_from(const Descriptor& stream, std::size_t count) {
    std::string bytes(count, '\0');
    REQUIRE(::recv(stream.get(), bytes.data(), count, MSG_WAITALL) == static_cast<ssize_t>(count));
    return bytes;
}

ServerOptions options_with(TransportKind transport) {
    ServerOptions options;
    options.io_threads = 2;
    options.transport = transport;
    return options;
}

}  // namespace

TEST_CASE("a server takes over a stream of which the program has read the first bytes", "[adopt][threads]") {
    const auto transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    const std::size_t read = GENERATE(0U, 1U, 4U, 100U, 100'000U);
    OwnListener listener;
    Server server{options_with(transport)};
    server.handle(Echo{});
    server.start();
    BlockingClient client{listener.url()};
    client.write(upgrade_request());
    client.send("early");
    Descriptor stream = listener.accept();
    std::string received = read_from(stream, std::min(read, upgrade_request().size() + 11));
    REQUIRE(server.adopt(std::move(stream), std::move(received)).has_value());
    CHECK(client.read_head().starts_with("HTTP/1.1 101 "));
    CHECK(client.next() == "text early");
    client.send("hi");
    CHECK(client.next() == "text hi");
    CHECK(server.statistics().open == 1);
    CHECK(server.statistics().accepted == 1);
    CHECK(server.list().at(0).peer.starts_with("127.0.0.1:"));
}

TEST_CASE("a stream that is taken over sends short messages at once", "[adopt][threads]") {
    OwnListener listener;
    Server server{options_with(GENERATE(TransportKind::asio, TransportKind::automatic))};
    server.handle(Echo{});
    server.start();
    BlockingClient client{listener.url()};
    Descriptor stream = listener.accept();
    const Descriptor watched{::dup(stream.get())};
    REQUIRE(server.adopt(std::move(stream)).has_value());
    client.write(upgrade_request());
    CHECK(client.read_head().starts_with("HTTP/1.1 101 "));
    int on = 0;
    socklen_t size = sizeof on;
    REQUIRE(::getsockopt(watched.get(), IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
    CHECK(on != 0);
}

TEST_CASE("a stream over a limit is refused by the request that the program has read", "[adopt][threads]") {
    ServerOptions options = options_with(GENERATE(TransportKind::asio, TransportKind::automatic));
    const bool of_address = GENERATE(true, false);
    (of_address ? options.per_address.connections : options.max_connections) = 1;
    OwnListener listener;
    Server server{options};
    server.handle(Echo{});
    server.start();
    const auto adopt = [&](BlockingClient& client) {
        client.write(upgrade_request());
        Descriptor stream = listener.accept();
        std::string received = read_from(stream, upgrade_request().size());
        REQUIRE(server.adopt(std::move(stream), std::move(received)).has_value());
        return client.read_head().substr(9, 3);
    };
    BlockingClient first{listener.url()};
    CHECK(adopt(first) == "101");
    BlockingClient second{listener.url()};
    CHECK(adopt(second) == (of_address ? "429" : "503"));
}

TEST_CASE("a server that has stopped does not keep the sockets that it was given", "[adopt]") {
    OwnListener listener;
    const std::string url = listener.url();
    Server server{options_with(TransportKind::asio)};
    server.handle(Echo{});
    REQUIRE(server.adopt_listener(std::move(listener.socket)).has_value());
    server.start();
    (void)server.stop(0ms);
    CHECK_THROWS(BlockingClient{url});
    CHECK(server.undrain().error() == "the server was stopped");
}

TEST_CASE("only a connected stream socket of a running server is taken over", "[adopt]") {
    OwnListener listener;
    Server server{options_with(TransportKind::asio)};
    server.handle(Echo{});
    CHECK(server.adopt(Descriptor{}).error() == "descriptor -1 is not a connected stream socket");
    CHECK_FALSE(server.adopt(listener.duplicate()).has_value());
    CHECK_FALSE(server.adopt(Descriptor{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)}).has_value());
    server.start();
    (void)server.stop(0ms);
    BlockingClient client{listener.url()};
    CHECK(server.adopt(listener.accept()).error() == "the server was stopped");
    CHECK(client.read_rest().empty());
}

TEST_CASE("a server listens on a socket that the program has", "[adopt][threads]") {
    OwnListener listener;
    {
        Server server{options_with(GENERATE(TransportKind::asio, TransportKind::automatic))};
        server.handle(Echo{});
        CHECK(server.adopt_listener(listener.duplicate()).value_or("") == listener.url());
        CHECK(server.listening() == std::vector<std::string>{listener.url()});
        server.start();
        BlockingClient client{listener.url(), ""};
        client.send("hi");
        CHECK(client.next() == "text hi");
        server.drain();
        CHECK(server.undrain().has_value());
        BlockingClient again{listener.url(), ""};
        again.send("hi");
        CHECK(again.next() == "text hi");
        (void)server.stop(0ms);
    }
    BlockingClient later{listener.url()};  // the socket goes on listening, for the next server
    const Descriptor stream = listener.accept();
    CHECK(stream.get() >= 0);
}

TEST_CASE("only a listening stream socket is adopted", "[adopt]") {
    const auto error_of = [](Descriptor socket) { return adopt_listeners(socket).error(); };
    CHECK(error_of(Descriptor{}) == "descriptor -1 is not a stream socket that listens");
    CHECK(error_of(Descriptor{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}).ends_with("that listens"));
    CHECK(error_of(Descriptor{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)}).ends_with("that listens"));
}

TEST_CASE("sockets of another process are not inherited", "[adopt]") {
    CHECK_FALSE(take_inherited_sockets().has_value());
    ::setenv("LISTEN_FDS", "1", 1);
    ::setenv("LISTEN_PID", "1", 1);
    CHECK_FALSE(take_inherited_sockets().has_value());
    ::setenv("LISTEN_PID", "x", 1);
    Server server{options_with(TransportKind::asio)};
    CHECK(server.listen("systemd").error().starts_with("cannot listen on systemd: no socket was passed"));
    ::unsetenv("LISTEN_FDS");
    ::unsetenv("LISTEN_PID");
}
