#include "wsserver/server/detail/server_listeners.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/handlers.hpp"
#include "support/transport_rigs.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

/// How often "moving.test" was looked up. It is 127.0.0.1 first, then 127.0.0.2.
std::atomic<int> lookups{0};

}  // namespace

// Replaces the function of the C library.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** found) noexcept(noexcept(::getaddrinfo(nullptr, nullptr, nullptr, nullptr))) {
    static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    if (host == nullptr || std::string_view{host} != "moving.test") return real(host, service, hints, found);
    return real(lookups++ == 0 ? "127.0.0.1" : "127.0.0.2", service, hints, found);
}

TEST_CASE("a pause of accepting is logged with what to do about its cause", "[server_listeners]") {
    const auto [error, advice] = GENERATE(table<int, std::string_view>({
        {EMFILE, "ulimit -n"},
        {ENFILE, "fs.file-max"},
        {ENOBUFS, "no memory"},
        {ENOMEM, "no memory"},
        {EPERM, "seccomp"},
        {EACCES, "seccomp"},
        {EIO, "error"},
    }));
    const Reactors reactors;
    ProgramCallbacks callbacks{std::make_shared<CallbackGate>()};
    std::vector<std::string> logged;
    callbacks.on_log([&](LogLevel, std::string_view text) { logged.emplace_back(text); });
    ServerListeners listeners{reactors, callbacks};
    listeners.accept_paused({EINVAL, std::system_category()});  // a listener that was shut
    CHECK(logged.empty());
    listeners.accept_paused({error, std::system_category()});
    REQUIRE(logged.size() == 1);
    CHECK(logged.front().find("accepting is paused") == 0);
    CHECK(logged.front().find(advice) != std::string::npos);
    CHECK((logged.front().find("ulimit") != std::string::npos) == (error == EMFILE));
    CHECK(listeners.accept_pauses() == 1);
}

TEST_CASE("undrain binds the same address, whatever the name now means", "[server_listeners]") {
    lookups = 0;
    Server server;
    server.handle(Echo{});
    const auto url = server.listen("moving.test:0");
    REQUIRE(url);
    CHECK(url->starts_with("ws://127.0.0.1:"));
    server.start();
    server.drain();
    REQUIRE(server.undrain());
    CHECK(lookups == 1);
    BlockingClient{*url, ""}.hang_up();
}

TEST_CASE("undrain of an empty host binds both families again", "[server_listeners]") {
    Server server;
    server.handle(Echo{});
    const auto url = server.listen(":0");
    REQUIRE(url);
    const std::string port = url->substr(url->rfind(':'));
    server.start();
    server.drain();
    REQUIRE(server.undrain());
    BlockingClient{"ws://127.0.0.1" + port, ""}.hang_up();
}

TEST_CASE("a server that drains often keeps no descriptors", "[server_listeners]") {
    const TemporaryFolder folder;
    ServerOptions options;
    options.io_threads = 2;
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    Server server{options};
    server.handle(Echo{});
    const auto url = server.listen("127.0.0.1:0");
    REQUIRE(url);
    REQUIRE(server.listen("unix:" + (folder / "socket")));
    server.start();
    BlockingClient{*url, ""}.hang_up();
    while (!server.list().empty()) {
    }
    const std::size_t descriptors = count_descriptors();
    for (int round = 0; round < 100; ++round) {
        server.drain();
        REQUIRE(server.undrain());
    }
    while (count_descriptors() != descriptors) (void)server.list();  // waits for the reactors
    BlockingClient{*url, ""}.hang_up();
}
