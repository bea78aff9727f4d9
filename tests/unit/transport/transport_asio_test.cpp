// Tests of the transport over Asio only. The common contract is tested in transport_test.cpp and
// transport_sockets_test.cpp.
#include "wsserver/transport/asio.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "support/socket_peers.hpp"
#include "support/transport_rigs.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// A name server that does not answer for "silent.test" before speak().
struct NameServer {
    std::mutex mutex;
    std::condition_variable changed;
    bool silent = true;
    int asked = 0, answered = 0;
    bool blocks_signals = false;  ///< the thread that asked last

    int answer() {
        std::unique_lock lock(mutex);
        sigset_t blocked;
        pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        blocks_signals = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGSEGV) == 0;
        ++asked;
        changed.notify_all();
        changed.wait(lock, [this] { return !silent; });
        ++answered;
        changed.notify_all();
        return EAI_AGAIN;
    }
    void until_asked() {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return asked == 1; });
    }
    void speak() {
        std::unique_lock lock(mutex);
        silent = false;
        changed.notify_all();
        changed.wait(lock, [this] { return answered == asked; });
        silent = true;
        asked = answered = 0;
    }
};
NameServer name_server;

}  // namespace

// Replaces the function of the C library.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** found) noexcept(noexcept(::getaddrinfo(nullptr, nullptr, nullptr, nullptr))) {
    static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    const bool numbers_only = hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) != 0;
    if (!numbers_only && host != nullptr && std::string_view{host} == "silent.test") return name_server.answer();
    return real(host, service, hints, found);
}

namespace {

using W = RecordingUser<AsioTransport>;

}  // namespace

TEST_CASE("accepted and connected sockets are non-blocking", "[transport_asio]") {
    AsioTransport transport;
    auto listeners = open_listeners({.host = "127.0.0.1"});
    REQUIRE(listeners);
    std::optional<Descriptor> accepted, connected;
    transport.listen(std::move(listeners->sockets.front()), [&](Descriptor socket) { accepted = std::move(socket); });
    auto connecting = transport.connect(listeners->endpoint, Clock::now() + patience, [&](auto socket) {
        REQUIRE(socket);
        connected = *std::move(socket);
    });
    run_until(transport, [&] { return accepted && connected; });
    for (const auto* socket : {&*accepted, &*connected}) {
        CHECK((::fcntl(socket->get(), F_GETFL) & O_NONBLOCK) != 0);
    }
}

TEST_CASE("a connect to an address without a listener is refused", "[transport_asio]") {
    AsioTransport transport;
    Endpoint unused;
    std::errc expected{};
    SECTION("TCP") {
        unused = open_listeners({.host = "127.0.0.1"})->endpoint;
        expected = std::errc::connection_refused;
    }
    SECTION("Unix") {
        unused = {.unix_path = "/nonexistent/socket"};
        expected = std::errc::no_such_file_or_directory;
    }
    SECTION("a path that is too long") {
        unused = {.unix_path = std::string(200, 'x')};
        expected = std::errc::filename_too_long;
    }
    std::error_code error;
    auto connecting = transport.connect(unused, Clock::time_point::max(), [&](auto result) {
        REQUIRE_FALSE(result);
        error = result.error();
    });
    CHECK_FALSE(error);
    run_until(transport, [&] { return bool{error}; });
    CHECK(error == expected);
}

TEST_CASE("an unknown name is an error with a message", "[transport_asio]") {
    AsioTransport transport;
    std::error_code error;
    auto connecting =
        transport.connect({.host = "no-such-host.invalid", .port = 80}, Clock::time_point::max(), [&](auto result) {
            REQUIRE_FALSE(result);
            error = result.error();
        });
    run_until(transport, [&] { return bool{error}; });
    CHECK_FALSE(error.message().empty());
}

TEST_CASE("a silent name server delays nothing", "[transport_asio]") {
    const Endpoint silent{.host = "silent.test", .port = 80};
    SECTION("at the deadline") {
        AsioTransport transport;
        std::error_code error;
        auto connecting = transport.connect(silent, Clock::now() + 20ms, [&](auto result) { error = result.error(); });
        run_until(transport, [&] { return bool{error}; });
        CHECK(error == std::errc::timed_out);
        name_server.until_asked();
    }
    SECTION("when it is cancelled") {
        AsioTransport transport;
        auto connecting = transport.connect(silent, Clock::time_point::max(), [](auto) { FAIL("was cancelled"); });
        name_server.until_asked();
        connecting.cancel();
        connecting =
            transport.connect({.unix_path = "/nonexistent"}, Clock::time_point::max(), [&](auto) { transport.stop(); });
        transport.run();
    }
    SECTION("when the transport is destroyed") {
        auto transport = std::make_unique<AsioTransport>();
        {
            auto connecting = transport->connect(silent, Clock::time_point::max(), [](auto) { FAIL("was destroyed"); });
            name_server.until_asked();
        }
        transport.reset();
    }
    CHECK(name_server.blocks_signals);  // they are for the program's own threads
    name_server.speak();                // the connect() that asked is gone
}

TEST_CASE("an embedding program's loop runs until the name server answers", "[transport_asio]") {
    boost::asio::io_context context;
    AsioTransport transport{context};
    std::error_code error;
    auto connecting = transport.connect({.host = "silent.test", .port = 80}, Clock::time_point::max(),
                                        [&](auto result) { error = result.error(); });
    std::thread other([] {
        name_server.until_asked();
        name_server.speak();
    });
    context.run();  // returns when there is no work left
    other.join();
    CHECK(error.message() == ::gai_strerror(EAI_AGAIN));
}

TEST_CASE("the addresses of a name are tried in turn", "[transport_asio]") {
    AsioTransport transport;
    // `localhost` is ::1, 127.0.0.1 or both. The address that has a listener is found.
    const std::string host = GENERATE("127.0.0.1", "::1");
    auto listeners = open_listeners({.host = host});
    REQUIRE(listeners);
    bool known = false;
    std::optional<bool> connected;
    transport.listen(std::move(listeners->sockets.front()), [](Descriptor) {});
    auto connecting = transport.connect({.host = "localhost", .port = listeners->endpoint.port},
                                        Clock::now() + patience, [&](auto result) { connected = result.has_value(); });
    run_until(transport, [&] { return connected.has_value(); });
    addrinfo* found = nullptr;
    REQUIRE(::getaddrinfo("localhost", nullptr, nullptr, &found) == 0);
    for (const addrinfo* next = found; next != nullptr; next = next->ai_next) {
        sockaddr_storage address{};
        std::memcpy(&address, next->ai_addr, next->ai_addrlen);
        known = known || endpoint_of(address, next->ai_addrlen).host == host;
    }
    ::freeaddrinfo(found);
    CHECK(*connected == known);
}

TEST_CASE("a connect without an answer fails at the deadline", "[transport_asio]") {
    AsioTransport transport;
    // connect() to a full Unix socket fails; a full TCP socket does not answer.
    const bool local = GENERATE(true, false);
    auto listeners = open_listeners(local ? Endpoint{.unix_path = "@wsserver-full-" + std::to_string(::getpid())}
                                          : Endpoint{.host = "127.0.0.1"});
    REQUIRE(listeners);
    REQUIRE(::listen(listeners->sockets.front().descriptor(), 0) == 0);
    int connected = 0;
    std::vector<AsioTransport::Connecting> all;
    std::vector<Descriptor> sockets;
    int timed_out = 0;
    for (int i = 0; i < 10; ++i) {
        all.push_back(transport.connect(listeners->endpoint, Clock::now() + 200ms, [&](auto result) {
            if (result) {
                ++connected;
                sockets.push_back(*std::move(result));
            } else {
                CHECK(result.error() == std::errc::timed_out);
                ++timed_out;
            }
        }));
    }
    run_until(transport, [&] { return connected + timed_out == 10; });
    CHECK(timed_out >= 5);
}

TEST_CASE("a Unix socket whose backlog has space again in time is reached", "[transport_asio]") {
    AsioTransport transport;
    auto listeners = open_listeners({.unix_path = "@wsserver-room-" + std::to_string(::getpid())});
    REQUIRE(listeners);
    REQUIRE(::listen(listeners->sockets.front().descriptor(), 0) == 0);
    int connected = 0;
    std::vector<AsioTransport::Connecting> all;
    for (int i = 0; i < 5; ++i) {
        all.push_back(transport.connect(listeners->endpoint, Clock::now() + patience, [&](auto result) {
            REQUIRE(result);
            ++connected;
        }));
    }
    transport.context().run_for(50ms);
    CHECK(connected < 5);
    transport.listen(std::move(listeners->sockets.front()), [](Descriptor) {});
    run_until(transport, [&] { return connected == 5; });
}

TEST_CASE("an embedding program's loop keeps its own work", "[transport_asio]") {
    boost::asio::io_context context;
    bool expired = false;
    boost::asio::steady_timer theirs{context, 20ms};
    theirs.async_wait([&](boost::system::error_code error) { expired = !error; });
    auto [one, other] = tcp_pair();
    int ours = 0;
    {
        AsioTransport transport{context};
        auto listeners = open_listeners({.host = "127.0.0.1"});
        REQUIRE(listeners);
        transport.listen(std::move(listeners->sockets.front()), [&](Descriptor) { ++ours; });
        transport.on_wake([&] { ++ours; });
        transport.wake_at(transport.now() + 5ms);
        transport.post([&] { ++ours; });
        transport.run();  // returns at once: the program runs the loop
        EchoUser<AsioTransport> echo{transport, std::move(one)};
        ::send(other.get(), "x", 1, 0);
        const bool stopped = GENERATE(true, false);
        if (stopped) transport.stop();
    }
    // The pending operations of the transport call nothing and do not keep the loop running.
    context.run();
    CHECK(expired);
    CHECK(ours == 0);
}

TEST_CASE("a task may destroy its transport", "[transport_asio]") {
    boost::asio::io_context context;
    auto transport = std::make_unique<AsioTransport>(context);
    int ran = 0;
    transport->post([&] {
        ++ran;
        transport.reset();
    });
    transport->post([&] { ran += 100; });
    context.run();
    CHECK(ran == 1);
}
