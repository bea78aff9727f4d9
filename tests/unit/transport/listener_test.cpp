#include "wsserver/transport/listener.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsserver/transport/detail/socket_address.hpp"

using namespace wsserver;
using wsserver::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

Endpoint socket_in(const TemporaryFolder& folder, const std::string& name = "s") {
    return {.unix_path = folder / name};
}

SocketAddress address_of(const Endpoint& endpoint) {
    return endpoint.is_unix() ? *unix_address(endpoint.unix_path) : *numeric_address(endpoint.host, endpoint.port);
}

/// Connects a blocking socket to `endpoint`. Empty if it is refused.
Descriptor visit(const Endpoint& endpoint) {
    const SocketAddress address = address_of(endpoint);
    Descriptor socket{::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (::connect(socket.get(), address.get(), address.size) != 0) return {};
    return socket;
}

/// The number of connections that one of the listeners accepts.
std::size_t accepted(const Listeners& listeners, std::size_t index) {
    std::size_t count = 0;
    while (Descriptor{::accept4(listeners.sockets[index].descriptor(), nullptr, nullptr, SOCK_CLOEXEC)}) ++count;
    return count;
}

/// The error of open_listeners(), which must fail.
std::string refused(const Endpoint& endpoint, std::size_t count = 1) {
    auto listeners = open_listeners(endpoint, count);
    REQUIRE_FALSE(listeners);
    CHECK_THAT(listeners.error(), Catch::StartsWith("cannot listen on " + to_string(endpoint) + ": "));
    return listeners.error();
}

/// The socket of another program: bound and, if `listens`, listening.
Descriptor other_program(const Endpoint& endpoint, bool listens, bool shares_port) {
    const SocketAddress address = address_of(endpoint);
    Descriptor socket{::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const int on = 1;
    if (shares_port) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    REQUIRE(::bind(socket.get(), address.get(), address.size) == 0);
    if (listens) REQUIRE(::listen(socket.get(), 5) == 0);
    return socket;
}

}  // namespace

TEST_CASE("a listener that is shut refuses connections, even if it is not closed", "[listener]") {
    const TemporaryFolder folder;
    const std::string host = GENERATE("127.0.0.1", "::1", "");
    const Endpoint wanted = host.empty() ? socket_in(folder) : Endpoint{.host = host};
    CAPTURE(host);
    auto listeners = open_listeners(wanted, 3);
    REQUIRE(listeners);
    std::vector<ListenerHandle> shutdowns;
    for (const auto& socket : listeners->sockets) shutdowns.emplace_back(socket);
    CHECK(visit(listeners->endpoint));
    for (ListenerHandle& listener : shutdowns) listener.shut();
    for (int i = 0; i < 20; ++i) CHECK_FALSE(visit(listeners->endpoint));  // none of the three accepts
    for (ListenerHandle& listener : shutdowns) listener.shut();            // does nothing
    CHECK(open_listeners(listeners->endpoint, 3));                         // free, even with the old sockets open
}

TEST_CASE("another thread accepts without waiting", "[listener]") {
    const TemporaryFolder folder;
    const Endpoint wanted = GENERATE(true, false) ? Endpoint{.host = "127.0.0.1"} : Endpoint{};
    auto listeners = open_listeners(wanted.host.empty() ? socket_in(folder) : wanted, 1);
    REQUIRE(listeners);
    ListenerHandle handle{listeners->sockets[0]};
    CHECK_FALSE(handle.accept());
    const Descriptor client = visit(listeners->endpoint);
    const Descriptor accepted_one = handle.accept();
    REQUIRE(accepted_one);
    CHECK((::fcntl(accepted_one.get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK_FALSE(handle.accept());
    handle.shut();
    CHECK_FALSE(handle.accept());
}

TEST_CASE("port 0 becomes one port for all threads", "[listener]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    const std::size_t count = GENERATE(1u, 2u, 8u);
    auto listeners = open_listeners({.host = host}, count);
    REQUIRE(listeners);
    CHECK(listeners->endpoint.host == host);
    CHECK(listeners->endpoint.port != 0);
    REQUIRE(listeners->sockets.size() == count);
    for (const auto& socket : listeners->sockets) {
        CHECK(local_endpoint(socket.descriptor()) == listeners->endpoint);
        CHECK((::fcntl(socket.descriptor(), F_GETFL) & O_NONBLOCK) != 0);
        CHECK((::fcntl(socket.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
    }
    std::vector<Descriptor> visitors;
    for (int i = 0; i < 64; ++i) visitors.push_back(visit(listeners->endpoint));
    CHECK(std::all_of(visitors.begin(), visitors.end(), [](const auto& v) { return bool{v}; }));
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += accepted(*listeners, i);
    CHECK(total == 64);
}

TEST_CASE("an empty host means all addresses of both families", "[listener]") {
    auto listeners = open_listeners({}, GENERATE(1u, 2u));
    REQUIRE(listeners);
    CHECK(visit({.host = "127.0.0.1", .port = listeners->endpoint.port}));
    CHECK(visit({.host = "::1", .port = listeners->endpoint.port}));
}

TEST_CASE("an IPv6 address does not include IPv4", "[listener]") {
    auto listeners = open_listeners({.host = "::"});
    REQUIRE(listeners);
    CHECK(visit({.host = "::1", .port = listeners->endpoint.port}));
    CHECK_FALSE(visit({.host = "127.0.0.1", .port = listeners->endpoint.port}));
}

TEST_CASE("a name is resolved", "[listener]") {
    auto listeners = open_listeners({.host = "localhost"});
    REQUIRE(listeners);
    CHECK(visit(listeners->endpoint));
    CHECK_THAT(refused({.host = "no-such-host.invalid"}), Catch::Contains("no address is known for"));
}

TEST_CASE("a port in use is refused", "[listener]") {
    const bool shares_port = GENERATE(false, true);  // also if the other program shares its port
    const std::size_t count = GENERATE(1u, 2u);
    const std::string host = GENERATE("127.0.0.1", "::1");
    const Descriptor other = other_program({.host = host}, true, shares_port);
    Endpoint endpoint = local_endpoint(other.get());
    CHECK_THAT(refused(endpoint, count), Catch::Contains("in use") && Catch::Contains("another port"));
}

TEST_CASE("a port is in use while its listeners exist, and free right after", "[listener]") {
    const std::size_t count = GENERATE(1u, 3u);
    Endpoint endpoint;
    {
        auto listeners = open_listeners({.host = "127.0.0.1"}, count);
        REQUIRE(listeners);
        endpoint = listeners->endpoint;
        refused(endpoint, count);
        // A connection that the server ends first stays in TIME_WAIT.
        Descriptor visitor = visit(endpoint);
        for (const auto& socket : listeners->sockets) {
            Descriptor{::accept4(socket.descriptor(), nullptr, nullptr, SOCK_CLOEXEC)}.reset();
        }
        char byte;
        CHECK(::recv(visitor.get(), &byte, 1, 0) == 0);
    }
    CHECK(open_listeners(endpoint, count));
}

TEST_CASE("an address of another machine is refused", "[listener]") {
    CHECK_THAT(refused({.host = "192.0.2.1", .port = 80}), Catch::Contains("no such address"));
}

TEST_CASE("without descriptors the error names the limit", "[listener]") {
    std::vector<Descriptor> all;
    for (;;) {
        Descriptor one{::fcntl(0, F_DUPFD_CLOEXEC, 0)};
        if (!one) break;
        all.push_back(std::move(one));
    }
    const auto tcp = open_listeners({.host = "127.0.0.1"});
    const auto local = open_listeners({.unix_path = "@wsserver-none-left"});
    all.clear();
    REQUIRE_FALSE(tcp);
    REQUIRE_FALSE(local);
    CHECK_THAT(tcp.error(), Catch::Contains("ulimit -n"));
    CHECK_THAT(local.error(), Catch::Contains("Too many open files"));
}

TEST_CASE("the file of a Unix socket is removed with the last listener", "[listener]") {
    const TemporaryFolder folder;
    const Endpoint endpoint = socket_in(folder);
    auto listeners = open_listeners(endpoint, 3);
    REQUIRE(listeners);
    CHECK(listeners->endpoint == endpoint);
    REQUIRE(listeners->sockets.size() == 3);
    CHECK(fs::is_socket(endpoint.unix_path));
    CHECK(visit(endpoint));
    CHECK(accepted(*listeners, 2) == 1);  // each of them can accept it

    listeners->sockets.pop_back();
    listeners->sockets.erase(listeners->sockets.begin());
    CHECK(fs::is_socket(endpoint.unix_path));
    CHECK(visit(endpoint));
    listeners->sockets.clear();
    CHECK_FALSE(fs::exists(endpoint.unix_path));
}

TEST_CASE("a file that was replaced is not removed", "[listener]") {
    const TemporaryFolder folder;
    const Endpoint endpoint = socket_in(folder);
    auto listeners = open_listeners(endpoint);
    REQUIRE(listeners);
    fs::rename(endpoint.unix_path, folder / "aside");
    auto successor = open_listeners(endpoint);
    REQUIRE(successor);
    listeners->sockets.clear();
    CHECK(fs::is_socket(endpoint.unix_path));
    CHECK(visit(endpoint));
}

TEST_CASE("the socket file of a process that has died is replaced", "[listener]") {
    const TemporaryFolder folder;
    const Endpoint endpoint = socket_in(folder);
    other_program(endpoint, true, false).reset();
    REQUIRE(fs::is_socket(endpoint.unix_path));
    CHECK_FALSE(visit(endpoint));
    auto listeners = open_listeners(endpoint, 2);
    REQUIRE(listeners);
    CHECK(visit(endpoint));
}

TEST_CASE("the socket file of a running process is not replaced", "[listener]") {
    const TemporaryFolder folder;
    const Endpoint endpoint = socket_in(folder);
    const Descriptor other = other_program(endpoint, true, false);
    std::vector<Descriptor> visitors;
    const bool busy = GENERATE(false, true);  // its backlog is full
    while (busy) {
        Descriptor visitor{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        const SocketAddress address = address_of(endpoint);
        if (::connect(visitor.get(), address.get(), address.size) != 0) break;
        visitors.push_back(std::move(visitor));
    }
    CHECK_THAT(refused(endpoint), Catch::Contains("another program listens there"));
    CHECK(fs::is_socket(endpoint.unix_path));
}

TEST_CASE("a path that cannot be used is refused with the reason", "[listener]") {
    const TemporaryFolder folder;
    SECTION("a file exists") {
        std::ofstream{folder / "s"} << "precious";
        CHECK_THAT(refused(socket_in(folder)), Catch::Contains("not a socket"));
        CHECK(fs::file_size(folder / "s") == 8);
    }
    SECTION("a symbolic link exists") {
        other_program(socket_in(folder, "real"), true, false).reset();
        fs::create_symlink(folder / "real", folder / "s");
        CHECK_THAT(refused(socket_in(folder)), Catch::Contains("not a socket"));
        CHECK(fs::is_symlink(folder / "s"));
    }
    SECTION("no directory") {
        CHECK_THAT(refused(socket_in(folder, "none/s")), Catch::Contains("create its directory"));
    }
    SECTION("a directory that is not writable") {
        // Root may write anywhere, so root runs this as user 65534.
        fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
        const bool root = ::geteuid() == 0;
        if (root) REQUIRE(::seteuid(65534) == 0);
        const std::string why = refused(socket_in(folder));
        if (root) REQUIRE(::seteuid(0) == 0);
        CHECK_THAT(why, Catch::Contains("writable"));
    }
    SECTION("too long") {
        CHECK_THAT(refused(socket_in(folder, std::string(108, 'x'))), Catch::Contains("at most 107 characters"));
    }
}

TEST_CASE("an abstract name needs no file", "[listener]") {
    const Endpoint endpoint{.unix_path = "@wsserver-listener-test-" + std::to_string(::getpid())};
    {
        auto listeners = open_listeners(endpoint, 2);
        REQUIRE(listeners);
        CHECK(visit(endpoint));
        CHECK(local_endpoint(listeners->sockets[0].descriptor()) == endpoint);
        CHECK_THAT(refused(endpoint), Catch::Contains("another program"));
        CHECK_FALSE(fs::exists(endpoint.unix_path));
    }
    CHECK_FALSE(visit(endpoint));
}
