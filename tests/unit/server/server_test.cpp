#include "wsserver/server.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <future>
#include <latch>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/blocker.hpp"
#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/handlers.hpp"
#include "support/threads.hpp"
#include "wsserver/base/descriptor.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// Makes two system calls fail with `error` on this thread from now on. Returns false if seccomp is not available.
bool forbid(unsigned call, unsigned another, unsigned error) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, another, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Makes io_uring_setup() fail on this thread, as in a container.
void forbid_uring() { REQUIRE(forbid(__NR_io_uring_setup, __NR_io_uring_setup, EPERM)); }

struct PooledEcho : Echo {
    static constexpr Runs runs = Runs::pooled;
};

struct Blocking {
    static constexpr Runs runs = Runs::pooled;
    std::shared_ptr<Blocker> blocker;
    void on_message(AnyConnection& connection, const Text& message) {
        blocker->wait();
        connection.send(message);
    }
};

struct Thrower {
    static constexpr Runs runs = Runs::pooled;
    void on_message(AnyConnection&, const Text&) { throw std::runtime_error("no"); }
};

struct BlockingReceiver {
    static constexpr Runs runs = Runs::pooled;
    std::shared_ptr<Blocker> blocker;
    void on_message(AnyConnection& connection, const Text& message) {
        blocker->wait();
        connection.send(Text{std::to_string(message.text.size())});
    }
};

/// Blocks its reactor.
struct BlocksInline {
    std::shared_ptr<Blocker> blocker;
    void on_message(AnyConnection&, const Text&) { blocker->wait(); }
};

ServerOptions two_threads() {
    ServerOptions options;
    options.io_threads = 2;
    options.workers = 2;
    return options;
}

/// A started server with Echo as its default handler.
struct RunningServer {
    explicit RunningServer(const ServerOptions& options = two_threads(),
                           std::function<void(const ConnectionEnd&)> on_end = {})
        : server(options) {
        server.handle(Echo{});
        server.on_end(std::move(on_end));
        const auto bound = server.listen("127.0.0.1:0");
        if (!bound) throw std::runtime_error(bound.error());
        url = *bound;
        server.start();
    }
    Server server;
    std::string url;
};

/// Connects until the kernel chooses another reactor than `reactor`. Precondition: all other clients are on `reactor`.
BlockingClient client_on_another_reactor(const Server& server, const std::string& url, std::uint16_t reactor) {
    for (;;) {
        BlockingClient client{url, ""};
        for (const auto& info : server.list()) {
            if (info.id.reactor != reactor) return client;
        }
    }
}

/// The destructor waits for the blocker.
template <Runs where>
struct EndsLate {
    static constexpr Runs runs = where;
    explicit EndsLate(std::shared_ptr<Blocker> its_blocker) : blocker(std::move(its_blocker)) {}
    EndsLate(const EndsLate&) = delete;
    ~EndsLate() { blocker->wait(); }
    void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
    const std::shared_ptr<Blocker> blocker;
};

struct Reactions {
    std::atomic<int> opened{0}, closed{0};
};

/// Echoes, and counts the reactions at both ends of a connection.
struct Counts {
    std::shared_ptr<Reactions> reactions;
    void on_open(AnyConnection&) { ++reactions->opened; }
    void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
    void on_close(AnyConnection&, const Close&) { ++reactions->closed; }
};
struct PooledCounts : Counts {
    static constexpr Runs runs = Runs::pooled;
};

/// The same, but blocks in on_message().
template <Runs where>
struct BlocksAndCounts {
    static constexpr Runs runs = where;
    std::shared_ptr<Blocker> blocker;
    std::shared_ptr<Reactions> reactions;
    void on_open(AnyConnection&) { ++reactions->opened; }
    void on_message(AnyConnection&, const Text&) { blocker->wait(); }
    void on_close(AnyConnection&, const Close&) { ++reactions->closed; }
};

/// Reads its connection after the blocker has released it.
struct Late {
    static constexpr Runs runs = Runs::pooled;
    std::shared_ptr<Blocker> blocker;
    std::shared_ptr<std::promise<std::string>> known;
    void on_message(AnyConnection& connection, const Text&) {
        blocker->wait();
        known->set_value(std::string{connection.subprotocol()} + std::string{connection.target()});
    }
};

/// upgrade_request() with another Host.
std::string request_to(const std::string& host, const std::string& extra = {}) {
    constexpr std::string_view usual = "server.example.com";
    auto request = upgrade_request(extra);
    return request.replace(request.find(usual), usual.size(), host);
}

}  // namespace

TEST_CASE("a server with its own threads echoes messages", "[server]") {
    RunningServer running;
    CHECK(running.url.starts_with("ws://127.0.0.1:"));
    CHECK(running.server.listening() == std::vector{running.url});
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 20; ++i) clients.emplace_back(running.url, "");
    for (int round = 0; round < 5; ++round) {
        for (auto& client : clients) client.send("message " + std::to_string(round));
        for (auto& client : clients) CHECK(client.next() == "text message " + std::to_string(round));
    }
    const ServerStatistics statistics = running.server.statistics();
    CHECK(statistics.open == 20);
    CHECK(statistics.opened == 20);
    CHECK(statistics.messages_in == 100);
    CHECK(statistics.messages_out == 100);
    CHECK(running.server.list().size() == 20);
}

TEST_CASE("a server listens on IPv6 and Unix sockets", "[server]") {
    const auto path = std::filesystem::temp_directory_path() / ("wsserver-test-" + std::to_string(getpid()));
    Server server{two_threads()};
    server.handle(Echo{});
    std::vector<std::string> urls;
    for (const std::string& endpoint : {std::string{"[::1]:0"}, "unix:" + path.string()}) {
        const auto url = server.listen(endpoint);
        REQUIRE(url);
        urls.push_back(*url);
    }
    server.start();
    for (const auto& url : urls) {
        CAPTURE(url);
        BlockingClient client{url, ""};
        client.send("x");
        CHECK(client.next() == "text x");
    }
    (void)server.stop(1s);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("listening on a port in use is an error that names the cause", "[server]") {
    RunningServer running;
    Server second{two_threads()};
    const auto url = second.listen(running.url.substr(5));
    REQUIRE_FALSE(url);
    CHECK(url.error().find(running.url.substr(5)) != std::string::npos);
    CHECK(url.error().find("in use") != std::string::npos);
}

TEST_CASE("the subprotocol selects the handler", "[server][rfc6455-4.2.2]") {
    struct Name {
        std::string name;
        void on_message(AnyConnection& connection, const Text&) { connection.send(Text{name}); }
    };
    RunningServer running;
    running.server.handle("a", Name{"I am a"});
    running.server.handle("b", Name{"I am b"});
    BlockingClient both{running.url, "unknown, b, a"};
    CHECK(both.response.find("Sec-WebSocket-Protocol: b\r\n") != std::string::npos);
    both.send("?");
    CHECK(both.next() == "text I am b");
    BlockingClient unknown{running.url, "unknown"};
    CHECK(unknown.response.starts_with("HTTP/1.1 101"));
    CHECK(unknown.response.find("Sec-WebSocket-Protocol") == std::string::npos);

    SECTION("strictly, if strict_subprotocol is set") {
        ServerOptions options = two_threads();
        options.strict_subprotocol = true;
        running.server.reconfigure(options);
        CHECK(BlockingClient(running.url, "unknown").response.starts_with("HTTP/1.1 400"));
        CHECK(BlockingClient(running.url, "a").response.starts_with("HTTP/1.1 101"));
    }
    SECTION("strictly for browsers, which fail a connection without the subprotocol that they asked for") {
        const auto page = [&](const std::string& subprotocols) {
            BlockingClient client{running.url};
            client.write(request_to("localhost", "Origin: http://localhost\r\n" + subprotocols));
            return client;
        };
        auto refused = page("Sec-WebSocket-Protocol: chatt, unknown\r\n");
        CHECK(refused.read_head().starts_with("HTTP/1.1 400"));
        CHECK(refused.read_rest() ==
              "none of the offered subprotocols is supported: the client asked for chatt, unknown; the server has a, "
              "b\n");
        CHECK(page("Sec-WebSocket-Protocol: unknown, b\r\n").read_head().starts_with("HTTP/1.1 101"));
        CHECK(page("").read_head().starts_with("HTTP/1.1 101"));
    }
    SECTION("removing a handler closes its connections and stops offering it") {
        CHECK(running.server.remove_handler("b"));
        CHECK_FALSE(running.server.remove_handler("b"));
        CHECK(both.next() == "close 1001 the handler was removed");
        CHECK(BlockingClient(running.url, "b, a").response.find("Sec-WebSocket-Protocol: a\r\n") != std::string::npos);
    }
    SECTION("a new handler serves new connections, and open ones keep the old handler") {
        running.server.handle("b", Name{"I am the new b"});
        both.send("?");
        CHECK(both.next() == "text I am b");
        BlockingClient fresh{running.url, "b"};
        fresh.send("?");
        CHECK(fresh.next() == "text I am the new b");
    }
}

TEST_CASE("a handler of two subprotocols keeps serving one after the other is removed", "[server]") {
    RunningServer running;
    const auto echo = make_handler("echo", Echo{});
    running.server.handle("echo.v1", echo);
    running.server.handle("echo.v2", echo);
    BlockingClient one{running.url, "echo.v1"}, two{running.url, "echo.v2"};
    CHECK(running.server.remove_handler("echo.v1"));
    CHECK(one.next() == "close 1001 the handler was removed");
    two.send("still there");
    CHECK(two.next() == "text still there");
}

TEST_CASE("a replaced handler may use the server in its destructor", "[server]") {
    struct Leaving {
        Leaving(const Server& its_server, std::size_t& its_left) : server(its_server), left(its_left) {}
        Leaving(const Leaving&) = delete;
        ~Leaving() { left = server.handlers().size(); }
        void on_open(AnyConnection&) {}
        const Server& server;
        std::size_t& left;
    };
    std::size_t left = 0;
    Server server{two_threads()};
    server.handle("chat", make_handler_in_place<Leaving>("leaving", server, left));
    server.handle("chat", Echo{});
    CHECK(left == 1);
}

TEST_CASE("a handler ends while another one of the same name blocks a worker", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    const auto ended = std::make_shared<Reactions>(), blocked = std::make_shared<Reactions>();
    std::weak_ptr<AnyHandler> handler;
    ServerOptions options = two_threads();
    options.workers = 2;  // one handler runs on one of them at most
    RunningServer running{options};
    {
        const auto first = make_handler("same", PooledCounts{{ended}});
        handler = first;
        running.server.handle("first", first);
    }
    BlockingClient client{running.url, "first"};
    client.send("x");
    CHECK(client.next() == "text x");
    const auto blocks = make_handler("same", BlocksAndCounts<Runs::pooled>{blocker, blocked});
    SECTION("when it is removed") {
        running.server.handle("second", blocks);
        BlockingClient other{running.url, "second"};
        other.send("x");
        blocker->wait_until_blocked(1);
        running.server.remove_handler("first");
        CHECK(client.next() == "close 1001 the handler was removed");
        client.hang_up();
        while (!handler.expired()) std::this_thread::yield();
    }
    SECTION("when it was replaced") {
        running.server.handle("first", blocks);
        BlockingClient other{running.url, "first"};
        other.send("x");
        blocker->wait_until_blocked(1);
        client.close(CloseCode::normal);
        client.hang_up();
        while (!handler.expired()) std::this_thread::yield();
    }
    CHECK(ended->closed == 1);
    CHECK(blocked->closed == 0);
    blocker->release();
}

TEST_CASE("a handler with a slow destructor does not block a reactor", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    ServerOptions options;
    options.io_threads = 1;
    options.workers = 1;
    RunningServer running{options};
    SECTION("an inline handler") {
        running.server.handle("late", make_handler_in_place<EndsLate<Runs::inline_>>("late", blocker));
    }
    SECTION("a pooled handler") {
        running.server.handle("late", make_handler_in_place<EndsLate<Runs::pooled>>("late", blocker));
    }
    BlockingClient late{running.url, "late"};
    late.send("x");
    CHECK(late.next() == "text x");
    BlockingClient other{running.url, ""};
    running.server.remove_handler("late");
    CHECK(late.next() == "close 1001 the handler was removed");
    late.hang_up();
    blocker->wait_until_blocked(1);
    other.send("x");
    CHECK(other.next() == "text x");
    CHECK(running.server.workers().at(0).task == "late");
    other.hang_up();
    blocker->release();
    (void)running.server.stop(20s);
}

TEST_CASE("a message that does not end closes its connection, on each transport", "[server]") {
    ServerOptions options = two_threads();
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    options.connection.message_timeout = std::chrono::milliseconds{50};
    RunningServer running{options};
    BlockingClient client{running.url, ""};
    client.write(std::string_view{"\x01\x81\0\0\0\0a", 7});  // a fragment
    CHECK(client.next().starts_with("close 1008"));
    CHECK(running.server.statistics().message_timeouts == 1);
}

TEST_CASE("a client that sends too much waits and loses nothing, on each transport", "[server]") {
    ServerOptions options = two_threads();
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    SECTION("messages") { options.connection.receive_rates.messages = 200; }
    SECTION("bytes") { options.connection.receive_rates.bytes = 1'500; }
    RunningServer running{options};
    BlockingClient client{running.url, ""};
    std::string frames;
    for (int i = 0; i < 300; ++i) frames.append({"\x81\x81\0\0\0\0a", 7});
    client.write(frames);
    for (int i = 0; i < 300; ++i) CHECK(client.next() == "text a");
    client.send("the end");
    CHECK(client.next() == "text the end");
    CHECK(running.server.statistics().rate_pauses > 0);
    CHECK(running.server.statistics().messages_in == 301);
}

TEST_CASE("a foreign origin is refused", "[server][rfc6455-10.2]") {
    const auto cause = std::make_shared<std::promise<std::string>>();
    const auto first = std::make_shared<std::atomic<bool>>(true);
    RunningServer running{two_threads(), [cause, first](const ConnectionEnd& end) {
                              if (first->exchange(false)) cause->set_value(end.cause);
                          }};
    {
        BlockingClient foreign{running.url};
        foreign.write(upgrade_request("Origin: http://evil.example\r\n"));
        CHECK(foreign.read_head().starts_with("HTTP/1.1 403"));
    }
    // The first thing that goes wrong behind a proxy, so both names are told.
    CHECK_THAT(cause->get_future().get(),
               Catch::Contains("http://evil.example") && Catch::Contains("server.example.com"));
    CHECK(running.server.statistics().refusals == std::map<unsigned, std::uint64_t>{{403, 1}});
    ServerOptions options = two_threads();
    options.allowed_origins = {"http://*.example"};
    running.server.reconfigure(options);
    BlockingClient allowed{running.url};
    allowed.write(upgrade_request("Origin: http://evil.example\r\n"));
    CHECK(allowed.read_head().starts_with("HTTP/1.1 101"));
    CHECK(running.server.statistics().refused == 1);
}

TEST_CASE("a page that rebinds its name to this machine is refused", "[server][rfc6455-10.2]") {
    RunningServer running{two_threads()};
    const auto status_of_page = [&running](const std::string& host) {
        BlockingClient page{running.url};
        page.write(request_to(host, "Origin: http://" + host + "\r\n"));
        return page.read_head().substr(9, 3);
    };
    CHECK(status_of_page("rebound.example") == "403");
    CHECK(status_of_page("localhost") == "101");
    ServerOptions options = two_threads();
    options.hosts = {"www.example.org"};
    running.server.reconfigure(options);
    CHECK(status_of_page("rebound.example") == "421");
    CHECK(status_of_page("www.example.org") == "101");
    CHECK(status_of_page("127.0.0.1") == "101");
    BlockingClient program{running.url};
    program.write(request_to("elsewhere.example"));
    CHECK(program.read_head().starts_with("HTTP/1.1 421"));
}

TEST_CASE("a pooled handler answers in order", "[server][threads]") {
    RunningServer running;
    running.server.handle("pooled", PooledEcho{});
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 8; ++i) clients.emplace_back(running.url, "pooled");
    for (auto& client : clients) {
        for (int i = 0; i < 100; ++i) client.send(std::to_string(i));
    }
    for (auto& client : clients) {
        for (int i = 0; i < 100; ++i) REQUIRE(client.next() == "text " + std::to_string(i));
    }
}

TEST_CASE("the server keeps running while every worker is blocked", "[server][threads]") {
    ServerOptions options = two_threads();
    options.handler_deadline = 0ms;
    RunningServer running{options};
    const auto blocker = std::make_shared<Blocker>();
    running.server.handle("blocking", Blocking{.blocker = blocker});
    running.server.handle("blocking_too", Blocking{.blocker = blocker});
    BlockingClient stuck{running.url, "blocking"}, stuck_too{running.url, "blocking_too"},
        third{running.url, "blocking"};
    stuck.send("one");
    stuck_too.send("two");
    blocker->wait_until_blocked(2);
    third.send("three");

    third.ping("are you there");
    CHECK(third.next() == "pong are you there");
    stuck.ping("and you");
    CHECK(stuck.next() == "pong and you");
    BlockingClient echo{running.url, ""};
    echo.send("inline");
    CHECK(echo.next() == "text inline");
    CHECK(running.server.list().size() == 4);

    const std::vector<WorkerState> workers = running.server.workers();
    REQUIRE(workers.size() == 2);
    for (const WorkerState& worker : workers) CHECK(worker.task.starts_with("blocking"));

    blocker->release();
    CHECK(stuck.next() == "text one");
    CHECK(stuck_too.next() == "text two");
    CHECK(third.next() == "text three");
}

TEST_CASE("a pooled handler leaves a worker to the others", "[server][threads]") {
    ServerOptions options = two_threads();
    options.workers = 3;
    RunningServer running{options};
    const auto blocker = std::make_shared<Blocker>();
    running.server.handle("blocking", Blocking{.blocker = blocker});
    running.server.handle("pooled", PooledEcho{});
    std::vector<BlockingClient> stuck;
    for (int i = 0; i < 5; ++i) stuck.emplace_back(running.url, "blocking");
    for (auto& client : stuck) client.send("x");
    blocker->wait_until_blocked(2);
    BlockingClient other{running.url, "pooled"};
    for (int i = 0; i < 20; ++i) {
        other.send(std::to_string(i));
        CHECK(other.next() == "text " + std::to_string(i));
    }
    const auto load_of_blocking = [&] {
        const auto loads = running.server.handler_loads();
        const auto found = std::ranges::find(loads, "blocking", &HandlerLoad::handler);
        return found != loads.end() ? *found : HandlerLoad{};
    };
    while (load_of_blocking().waiting < 3) std::this_thread::yield();
    CHECK(load_of_blocking().running == 2);

    blocker->release();
    for (auto& client : stuck) CHECK(client.next() == "text x");
}

TEST_CASE("without threads for workers only the pooled handlers' clients are refused", "[server][threads]") {
    /// Forbids its reactor's thread to start threads.
    struct Forbidding {
        void on_message(AnyConnection& connection, const Text&) {
            connection.send(Text{forbid(__NR_clone, __NR_clone3, EAGAIN) ? "forbidden" : "no"});
        }
    };
    ServerOptions options;
    options.io_threads = 1;
    std::atomic<int> complaints = 0;
    Server server{options};
    server.on_log([&](LogLevel, std::string_view text) {
        if (text.find("cannot start workers") != std::string_view::npos) ++complaints;
    });
    server.handle("forbidding", Forbidding{});
    server.handle("pooled", PooledEcho{});
    server.handle(Echo{});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient forbidding{url, "forbidding"};
    forbidding.send("x");
    REQUIRE(forbidding.next() == "text forbidden");
    CHECK(BlockingClient{url, "pooled"}.response.starts_with("HTTP/1.1 503 "));
    BlockingClient echo{url, ""};
    echo.send("x");
    CHECK(echo.next() == "text x");
    CHECK(complaints == 1);
}

TEST_CASE("stop meets its deadline even if a worker is blocked forever", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    {
        RunningServer running;
        running.server.handle("blocking", Blocking{.blocker = blocker});
        BlockingClient stuck{running.url, "blocking"};
        stuck.send("x");
        blocker->wait_until_blocked(1);
        (void)running.server.stop(10ms);
        CHECK(running.server.list().empty());
    }
    blocker->release();  // the detached thread may end
}

TEST_CASE("a reaction that outlives its server can still read its connection", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    const auto known = std::make_shared<std::promise<std::string>>();
    const std::string subprotocol = "a-subprotocol-with-a-long-name.example.com";
    {
        RunningServer running;
        running.server.handle(subprotocol, Late{.blocker = blocker, .known = known});
        BlockingClient stuck{running.url, subprotocol};
        stuck.send("x");
        blocker->wait_until_blocked(1);
        (void)running.server.stop(10ms);
    }
    blocker->release();
    CHECK(known->get_future().get() == subprotocol + "/chat");
}

TEST_CASE("the log function may call workers() when stop reports a blocked worker", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    std::vector<std::string> tasks;
    Server server{two_threads()};
    server.on_log([&](LogLevel, std::string_view text) {
        if (text.find("pooled handler") == std::string_view::npos) return;
        for (const WorkerState& worker : server.workers()) tasks.push_back(worker.task);
    });
    server.handle("blocking", Blocking{.blocker = blocker});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient stuck{url, "blocking"};
    stuck.send("x");
    blocker->wait_until_blocked(1);
    (void)server.stop(10ms);
    CHECK(std::count(tasks.begin(), tasks.end(), "blocking") == 1);
    blocker->release();
}

TEST_CASE("stop() within the log function is request_stop()", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    std::atomic<int> lines = 0, reports = 0;
    auto options = two_threads();
    options.reactor_deadline = 100ms;
    Server server{options};
    server.on_log([&](LogLevel, std::string_view) {
        ++lines;
        if (!server.stop(10ms).complete()) ++reports;
    });
    server.handle(BlocksInline{blocker});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient stuck{url, ""};
    stuck.send("x");
    blocker->wait_until_blocked(1);
    while (lines == 0) std::this_thread::yield();  // the watch has logged that the reactor does not answer
    CHECK(server.stop(10ms).handlers.size() == 1);
    CHECK(lines >= 2);  // stop() has logged that the handler still blocks the reactor
    CHECK(reports == 0);
    blocker->release();
}

TEST_CASE("stop meets its deadline even if an inline handler is blocked forever", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    std::atomic<bool> complained = false;
    std::string url;
    {
        Server server{two_threads()};
        server.on_log([&](LogLevel, std::string_view text) {
            if (text.find("handler default still blocks reactor") != std::string_view::npos) complained = true;
        });
        server.handle(BlocksInline{blocker});
        url = *server.listen("127.0.0.1:0");
        server.start();
        BlockingClient stuck{url, ""};
        stuck.send("x");
        blocker->wait_until_blocked(1);
        (void)server.stop(10ms);
    }
    CHECK(complained);
    CHECK(Server{two_threads()}.listen(url.substr(5)));  // the detached thread does not keep the port
    blocker->release();
}

TEST_CASE("an exception in a pooled handler closes its connection with 1011", "[server][threads]") {
    RunningServer running;
    running.server.handle("thrower", Thrower{});
    BlockingClient client{running.url, "thrower"}, echo{running.url, ""};
    client.send("x");
    CHECK(client.next() == "close 1011 the handler failed");
    echo.send("alive");
    CHECK(echo.next() == "text alive");
    CHECK(running.server.statistics().handler_exceptions == 1);
}

TEST_CASE("the memory of messages that wait for a worker is counted until they are handled", "[server][threads]") {
    RunningServer running;
    const auto blocker = std::make_shared<Blocker>();
    running.server.handle("slow", BlockingReceiver{.blocker = blocker});
    CHECK(running.server.statistics().memory == 0);
    CHECK(running.server.statistics().memory_limit > 0);
    BlockingClient client{running.url, "slow"};
    for (int i = 0; i < 5; ++i) client.send(std::string(100'000, 'm'));
    while (running.server.statistics().memory < 500'000) std::this_thread::yield();
    blocker->release();
    for (int i = 0; i < 5; ++i) CHECK(client.next() == "text 100000");
    while (running.server.statistics().memory > 0) std::this_thread::yield();
}

TEST_CASE("a slow pooled handler makes its peer wait and the memory stays bounded", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    RunningServer running;
    running.server.handle("blocking", BlockingReceiver{.blocker = blocker});
    BlockingClient client{running.url, "blocking"};
    // More than the mailbox (1 MiB) and the kernel's buffers can take, so a second thread writes it.
    const std::string message(1 << 20, 'x');
    constexpr int count = 40;
    std::jthread writer{[&] {
        for (int i = 0; i < count; ++i) client.send(message);
    }};
    blocker->wait_until_blocked(1);
    blocker->release();
    BlockingClient reader{running.url, ""};
    reader.send("meanwhile");
    CHECK(reader.next() == "text meanwhile");
    writer.join();
    for (int i = 0; i < count; ++i) REQUIRE(client.next() == "text 1048576");
}

TEST_CASE("stop sends 1001, drains and refuses new connections", "[server]") {
    RunningServer running;
    BlockingClient client{running.url, ""};
    client.send("before");
    CHECK(client.next() == "text before");
    std::jthread stopper{[&] { (void)running.server.stop(20s); }};
    CHECK(client.next() == "close 1001 the server stops");
    CHECK(client.next() == "end");
    client.hang_up();
    stopper.join();
    CHECK_THROWS(BlockingClient{running.url});
    CHECK(running.server.statistics().closes.at(1001) == 1);
    CHECK_FALSE(running.server.listen("127.0.0.1:0"));
}

TEST_CASE("a message queued before a close arrives whole, even if it takes longer than close_timeout", "[server]") {
    struct SendsAndCloses {
        void on_message(AnyConnection& connection, const Text&) {
            connection.send(Text{std::string(2'000'000, 't')});
            connection.close(CloseCode::normal, "done");
        }
    };
    ServerOptions options;
    options.io_threads = 1;
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    options.connection.close_timeout = 300ms;
    const auto ended = std::make_shared<std::promise<ConnectionEnd>>();
    RunningServer running{options, [ended](const ConnectionEnd& end) { ended->set_value(end); }};
    running.server.handle("", SendsAndCloses{});
    BlockingClient client{running.url, ""};
    client.read_slowly(50ms);
    client.send("x");
    CHECK(client.next().size() > 2'000'000);
    CHECK(client.next() == "close 1000 done");
    CHECK(client.next() == "end");
    client.hang_up();
    const ConnectionEnd end = ended->get_future().get();
    CHECK(end.code == CloseCode::normal);
    CHECK(end.cause.empty());
    CHECK(running.server.statistics().close_timeouts == 0);
}

TEST_CASE("stop returns while other threads send without a pause", "[server][threads]") {
    std::latch all_send{16};
    std::vector<std::jthread> senders;
    {
        RunningServer running;
        BlockingClient client{running.url, ""};
        const auto hub = running.server.hub();
        const ConnectionId gone{0, 0, 4'000'000};
        for (int i = 0; i < 16; ++i) {
            senders.emplace_back([hub, gone, &all_send](const std::stop_token& stop) {
                hub->broadcast({}, Text{"x"});
                all_send.count_down();
                while (!stop.stop_requested()) {
                    hub->broadcast({}, Text{"x"});
                    (void)hub->send(gone, Text{"x"});
                }
            });
        }
        all_send.wait();
        client.hang_up();
        CHECK(running.server.stop(100ms).complete());
        CHECK(running.server.list().empty());
    }
    // They still send: nothing has told them to end.
    CHECK(std::ranges::none_of(senders, [](auto& sender) { return sender.get_stop_token().stop_requested(); }));
    for (auto& sender : senders) sender.request_stop();
}

TEST_CASE("stop waits without a limit if the grace period is the longest possible", "[server]") {
    RunningServer running;
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 8; ++i) clients.emplace_back(running.url, "");
    std::jthread stopper{[&] { (void)running.server.stop(std::chrono::milliseconds::max()); }};
    for (auto& client : clients) CHECK(client.next() == "close 1001 the server stops");
    for (auto& client : clients) CHECK(client.next() == "end");
    for (auto& client : clients) client.hang_up();
    stopper.join();
    CHECK(running.server.statistics().closes == std::map<std::uint16_t, std::uint64_t>{{1001, 8}});
}

TEST_CASE("request_stop closes all listeners at once, even if an inline handler blocks a reactor",
          "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    std::atomic<int> complaints = 0;
    Server server{two_threads()};
    server.on_log([&](LogLevel, std::string_view text) {
        if (text.find("threw") != std::string_view::npos || text.find("stopped, but") == 0) ++complaints;
    });
    server.handle(Echo{});
    server.handle("blocks", BlocksInline{blocker});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient stuck{url, "blocks"};
    BlockingClient other = client_on_another_reactor(server, url, server.list().at(0).id.reactor);
    stuck.send("x");
    blocker->wait_until_blocked(1);
    server.request_stop(20s);
    for (int i = 0; i < 20; ++i) CHECK_THROWS(BlockingClient{url});
    CHECK(other.next() == "close 1001 the server stops");
    other.hang_up();
    blocker->release();
    CHECK(stuck.next() == "close 1001 the server stops");
    stuck.hang_up();
    (void)server.stop(20s);
    CHECK(complaints == 0);
}

TEST_CASE("list and info answer even if an inline handler blocks a reactor", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    std::atomic<int> complaints = 0;
    Server server{two_threads()};
    server.on_log([&](LogLevel, std::string_view text) {
        if (text.find("does not answer") != std::string_view::npos) ++complaints;
    });
    server.handle(Echo{});
    server.handle("blocks", BlocksInline{blocker});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient stuck{url, "blocks"};
    const ConnectionId stuck_id = server.list().at(0).id;
    CHECK(server.stalled_reactors().empty());
    BlockingClient other = client_on_another_reactor(server, url, stuck_id.reactor);
    stuck.send("x");
    blocker->wait_until_blocked(1);

    const auto listed = server.list();
    REQUIRE(listed.size() == 1);
    CHECK(listed[0].id.reactor != stuck_id.reactor);
    CHECK(server.stalled_reactors() == std::vector{stuck_id.reactor});
    CHECK_FALSE(server.info(stuck_id));
    CHECK(server.info(listed[0].id));
    while (complaints == 0) std::this_thread::yield();  // another thread may have noticed the stall, and logs it
    CHECK(server.list().size() == 1);
    CHECK(complaints == 1);  // the second call does not wait for the stalled reactor

    blocker->release();
    while (!server.stalled_reactors().empty()) std::this_thread::yield();
    CHECK(server.list().size() == 2);
    CHECK(server.info(stuck_id));
    CHECK(complaints == 1);
}

TEST_CASE("on_event receives the Close frames, and may throw", "[server]") {
    std::mutex mutex;
    std::vector<std::string> events;
    std::atomic<int> complaints = 0;
    Server server{two_threads()};
    server.handle(Echo{});
    server.on_event([&](const ConnectionEvent& event) {
        const std::lock_guard lock(mutex);
        const bool received = event.kind == ConnectionEvent::Kind::close_received;
        events.push_back((received ? "received " : "sent ") + std::to_string(static_cast<int>(event.code)) + ' ' +
                         std::string{event.reason});
        throw std::runtime_error("no");
    });
    server.on_log([&](LogLevel, std::string_view text) {
        if (text == "on_event threw: no") ++complaints;
    });
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url, ""};
    client.send("hello");
    CHECK(client.next() == "text hello");
    server.hub()->close_all(CloseCode{4001}, "bye");
    CHECK(client.next() == "close 4001 bye");
    CHECK(client.next() == "end");
    client.hang_up();
    (void)server.stop(20s);
    CHECK(events == std::vector<std::string>{"sent 4001 bye", "received 4001 "});
    CHECK(complaints == 2);
}

TEST_CASE("run returns after request_stop from a handler", "[server]") {
    struct Stopper {
        Server* server;
        void on_message(AnyConnection&, const Text&) { server->request_stop(1s); }
    };
    Server server{two_threads()};
    server.handle(Stopper{&server});
    const std::string url = *server.listen("127.0.0.1:0");
    std::jthread runner{[&] { server.run(); }};
    BlockingClient client{url, ""};
    client.send("stop");
    CHECK(client.next().starts_with("close 1001"));
    client.hang_up();
    runner.join();
}

TEST_CASE("a server that was never started can be destroyed", "[server]") {
    Server server{two_threads()};
    server.handle(Echo{});
    CHECK(server.listen("127.0.0.1:0"));
    CHECK(server.list().empty());
}

TEST_CASE("drain stops listening and keeps the open connections", "[server]") {
    RunningServer running;
    BlockingClient client{running.url, ""};
    running.server.drain();
    for (int i = 0; i < 20; ++i) CHECK_THROWS(BlockingClient{running.url});
    client.send("still");
    CHECK(client.next() == "text still");
}

TEST_CASE("undrain listens again at the endpoints of before", "[server]") {
    const TemporaryFolder folder;
    ServerOptions options;
    options.io_threads = GENERATE(1U, 2U);
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    RunningServer running{options};
    const std::string socket = folder / "socket";
    REQUIRE(running.server.listen("unix:" + socket));
    const auto urls = running.server.listening();
    BlockingClient client{running.url, ""};
    for (int round = 0; round < 3; ++round) {
        running.server.drain();
        running.server.drain();  // does nothing more
        CHECK_THROWS(BlockingClient{running.url});
        CHECK_THROWS(BlockingClient{"ws+unix:" + socket});
        if (const auto done = running.server.undrain(); !done) FAIL(done.error());
        REQUIRE(running.server.undrain());  // does nothing
        CHECK(running.server.listening() == urls);
        for (int i = 0; i < 10; ++i) {
            for (const auto& url : urls) {
                BlockingClient next{url, ""};
                next.send("welcome back");
                REQUIRE(next.next() == "text welcome back");
                next.hang_up();
            }
        }
    }
    client.send("still");
    CHECK(client.next() == "text still");
    CHECK(std::filesystem::exists(socket));
    running.server.drain();
    (void)running.server.stop(0ms);
    CHECK_FALSE(running.server.undrain());
}

TEST_CASE("undrain fails while another program has an address, and opens no other one", "[server]") {
    RunningServer running;
    const std::string first = running.url;
    const auto second = running.server.listen("127.0.0.1:0");
    REQUIRE(second);
    running.server.drain();
    {
        Server other{two_threads()};
        REQUIRE(other.listen(second->substr(std::string_view{"ws://"}.size())));
        const auto done = running.server.undrain();
        REQUIRE_FALSE(done);
        CHECK(done.error().find("another program listens there") != std::string::npos);
        CHECK_THROWS(BlockingClient{first});
    }
    REQUIRE(running.server.undrain());
    BlockingClient{first, ""}.hang_up();
    BlockingClient{*second, ""}.hang_up();
}

TEST_CASE("an endpoint that was added while the server drained stays open", "[server]") {
    RunningServer running;
    running.server.drain();
    const auto added = running.server.listen("127.0.0.1:0");
    REQUIRE(added);
    BlockingClient{*added, ""}.hang_up();
    REQUIRE(running.server.undrain());
    BlockingClient{*added, ""}.hang_up();
    BlockingClient{running.url, ""}.hang_up();
}

TEST_CASE("a server runs on the caller's loop", "[server]") {
    boost::asio::io_context context{1};
    Server server{context};
    server.handle(Echo{});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    CHECK(server.io_threads() == 1);
    std::jthread loop{[&] { context.run(); }};
    {
        BlockingClient client{url, ""};
        client.send("hello");
        CHECK(client.next() == "text hello");
        CHECK(server.list().size() == 1);
        std::jthread stopper{[&] { (void)server.stop(20s); }};
        CHECK(client.next().starts_with("close 1001"));
        client.hang_up();
    }
    context.stop();
}

TEST_CASE("a stop reports the inline handler that blocks and the connections without on_close", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    const auto counts = std::make_shared<Reactions>();
    std::atomic<int> ends{0}, late_ends{0};
    std::atomic<bool> gone{false};
    std::weak_ptr<AnyHandler> handler;
    {
        ServerOptions options;
        options.io_threads = 1;
        RunningServer running{options, [&](const ConnectionEnd&) { ++(gone ? late_ends : ends); }};
        const auto blocks = make_handler("blocks", BlocksAndCounts<Runs::inline_>{blocker, counts});
        handler = blocks;
        running.server.handle("blocks", blocks);
        BlockingClient client{running.url, "blocks"}, another{running.url, "blocks"};
        client.send("x");
        blocker->wait_until_blocked(1);
        const StopReport report = running.server.stop(10ms);
        CHECK(report.handlers == std::vector<std::string>{"blocks"});
        CHECK(report.connections.size() == 2);
        CHECK_FALSE(report.complete());
        CHECK(running.server.stop(0ms).connections == report.connections);
    }
    gone = true;
    blocker->release();
    while (!handler.expired()) std::this_thread::yield();  // the thread that was left behind has ended
    CHECK(counts->opened == 2);
    CHECK(counts->closed == 0);
    CHECK(late_ends == 0);
}

TEST_CASE("a stop reports the pooled handler that blocks and the connections without on_close", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    const auto counts = std::make_shared<Reactions>();
    std::weak_ptr<AnyHandler> handler;
    {
        RunningServer running;
        const auto blocks = make_handler("blocks", BlocksAndCounts<Runs::pooled>{blocker, counts});
        handler = blocks;
        running.server.handle("blocks", blocks);
        BlockingClient client{running.url, "blocks"};
        client.send("x");
        client.send("y");
        blocker->wait_until_blocked(1);
        const StopReport report = running.server.stop(10ms);
        CHECK(report.handlers == std::vector<std::string>{"blocks"});
        CHECK(report.connections.size() == 1);
    }
    blocker->release();
    while (!handler.expired()) std::this_thread::yield();
    CHECK(counts->closed == 0);
}

TEST_CASE("every open is followed by its close when the server stops in time", "[server][threads]") {
    const Runs runs = GENERATE(Runs::inline_, Runs::pooled);
    const auto counter = std::make_shared<Reactions>();
    RunningServer running;
    if (runs == Runs::inline_) running.server.handle("count", Counts{counter});
    if (runs == Runs::pooled) running.server.handle("count", PooledCounts{{counter}});
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 20; ++i) {
        clients.emplace_back(running.url, "count");
        clients.back().send("x");
        CHECK(clients.back().next() == "text x");
    }
    clients[0].hang_up();
    clients[1].close(CloseCode::normal);
    CHECK(running.server.stop(10ms).complete());
    CHECK(counter->opened == 20);
    CHECK(counter->closed == 20);
}

// --- On the caller's loop ---

namespace {

/// A server on a loop that a thread of the test runs.
struct OnCallersLoop {
    explicit OnCallersLoop(std::shared_ptr<AnyHandler> handler) {
        server.emplace(context);
        server->handle("", std::move(handler));
        url = *server->listen("127.0.0.1:0");
        server->start();
    }
    void run() {
        loop = std::jthread{[this] { context.run(); }};
    }
    ~OnCallersLoop() { context.stop(); }

    boost::asio::io_context context{1};
    std::optional<Server> server;
    std::string url;
    std::jthread loop;
};

}  // namespace

TEST_CASE("a server on the caller's loop may be destroyed by another thread while the loop runs", "[server][threads]") {
    const auto counts = std::make_shared<Reactions>();
    OnCallersLoop on{make_handler("counts", Counts{counts})};
    on.run();
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 10; ++i) {
        clients.emplace_back(on.url, "");
        clients.back().send("x");
        CHECK(clients.back().next() == "text x");
    }
    for (int i = 0; i < 10; ++i) clients[static_cast<std::size_t>(i)].send(std::string(100'000, 'x'));
    on.server.reset();
    CHECK(counts->closed == 10);
    CHECK(counts.use_count() == 1);  // the handler is destroyed
}

TEST_CASE("a server on the caller's loop may be destroyed while a handler holds the loop", "[server][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    OnCallersLoop on{make_handler("blocks", BlocksInline{blocker})};
    on.run();
    BlockingClient client{on.url, ""};
    client.send("x");
    blocker->wait_until_blocked(1);
    SECTION("after a stop") {
        const StopReport report = on.server->stop(10ms);
        CHECK(report.handlers == std::vector<std::string>{"blocks"});
        CHECK(report.connections.size() == 1);
    }
    on.server.reset();
    blocker->release();
    CHECK(client.next() == "end");
}

TEST_CASE("a server whose loop has never run stops at once", "[server]") {
    const auto counts = std::make_shared<Reactions>();
    OnCallersLoop on{make_handler("counts", Counts{counts})};
    BlockingClient client{on.url};
    SECTION("by stop") { CHECK(on.server->stop(1h).complete()); }
    SECTION("by its destructor") { on.server.reset(); }
    SECTION("by its destructor, and the loop runs later") {
        on.server.reset();
        CHECK(on.context.run() == 1);
    }
    if (!on.server) CHECK(counts.use_count() == 1);
    CHECK_THROWS(BlockingClient{on.url});
}

TEST_CASE("a server whose loop has stopped is destroyed at once", "[server][threads]") {
    const auto counts = std::make_shared<Reactions>();
    OnCallersLoop on{make_handler("counts", Counts{counts})};
    on.run();
    BlockingClient client{on.url, ""};
    client.send("x");
    CHECK(client.next() == "text x");
    on.context.stop();
    on.loop.join();
    SECTION("with a report") {
        const StopReport report = on.server->stop(1h);
        CHECK(report.handlers.empty());
        CHECK(report.connections.size() == 1);
    }
    on.server.reset();
    CHECK(counts->closed == 0);
}

TEST_CASE("the hub works from any thread and after the server is gone", "[server][threads]") {
    struct Keeper {
        std::shared_ptr<std::promise<ConnectionHandle>> handle;
        void on_open(AnyConnection& connection) { handle->set_value(connection.handle()); }
        void on_message(AnyConnection& connection, const Text&) { connection.send(Text{"kept"}); }
    };
    const auto promise = std::make_shared<std::promise<ConnectionHandle>>();
    std::optional<ConnectionHandle> handle;
    {
        RunningServer running{[] {
            ServerOptions options;
            options.io_threads = 1;
            return options;
        }()};
        running.server.handle("keep", Keeper{promise});
        BlockingClient client{running.url, "keep"};
        client.send("?");
        CHECK(client.next() == "text kept");
        handle = promise->get_future().get();
        CHECK(handle->send(Text{"from afar"}) == SendStatus::queued);
        CHECK(client.next() == "text from afar");
    }
    CHECK(handle->send(Text{"anybody?"}) == SendStatus::closed);
    CHECK(handle->close() == SendStatus::closed);
}

TEST_CASE("signals are for the program's own threads", "[server][threads]") {
    struct Asks {
        void on_message(AnyConnection& connection, const Text&) {
            sigset_t blocked;
            pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
            const bool right = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGUSR1) == 1 &&
                               sigismember(&blocked, SIGSEGV) == 0;
            connection.send(Text{right ? "right" : "wrong"});
        }
    };
    RunningServer running;
    running.server.handle("ask", Asks{});
    BlockingClient client{running.url, "ask"};
    client.send("?");
    CHECK(client.next() == "text right");
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    CHECK(sigismember(&blocked, SIGTERM) == 0);
}

TEST_CASE("no thread of a server takes the program's signals", "[server][threads]") {
    ServerOptions options = two_threads();
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    options.workers = 2;
    RunningServer running{options};
    running.server.handle("count", PooledCounts{{std::make_shared<Reactions>()}});
    BlockingClient client{running.url, "count"};  // starts the workers and their watchdog
    client.send("x");
    CHECK(client.next() == "text x");
    for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM}) {
        const OtherThreads others = other_threads(signal);
        CHECK(others.unmasked == 0);
        CHECK(others.all >= 6);  // two reactors, their watch, two workers, their watchdog
    }
}

TEST_CASE("with few descriptors there are fewer reactors, and a warning", "[server]") {
    ServerOptions options;
    options.io_threads = 64;
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    std::vector<std::string> warnings;
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit few = before;
    const Descriptor next{::dup(0)};
    few.rlim_cur = static_cast<rlim_t>(next.get()) + 12;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    std::optional<Server> server;
    try {
        server.emplace(options);
    } catch (...) {
    }
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(server);
    CHECK(server->io_threads() >= 1);
    CHECK(server->io_threads() < 64);
    server->on_log([&](LogLevel level, std::string_view text) {
        if (level == LogLevel::warning) warnings.emplace_back(text);
    });
    server->handle(Echo{});
    const std::string url = *server->listen("127.0.0.1:0");
    server->start();
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Catch::Contains("of 64 io threads") && Catch::Contains("ulimit -n"));
    BlockingClient client{url, ""};
    client.send("x");
    CHECK(client.next() == "text x");
}

TEST_CASE("accepting pauses when descriptors run out, and continues later", "[server]") {
    ServerOptions options = two_threads();
    options.io_threads = 1;
    options.max_connections = 100'000;
    options.transport = GENERATE(TransportKind::automatic, TransportKind::asio);
    RunningServer running{options};
    BlockingClient served{running.url, ""};
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    rlimit few = before;
    few.rlim_cur = 100;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    std::vector<Descriptor> taken;
    for (Descriptor next{dup(0)}; next; next = Descriptor{dup(0)}) taken.push_back(std::move(next));
    taken.pop_back();  // for the socket of the next client, which connects but is not accepted
    BlockingClient waiting{running.url};
    while (running.server.statistics().accept_pauses == 0) std::this_thread::yield();
    served.send("served meanwhile");
    CHECK(served.next() == "text served meanwhile");
    taken.clear();
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    waiting.write(upgrade_request());
    CHECK(waiting.read_head().starts_with("HTTP/1.1 101"));
}

TEST_CASE("a connection over max_connections gets a 503 with Retry-After", "[server]") {
    ServerOptions options = two_threads();
    options.max_connections = 2;
    RunningServer running{options};
    BlockingClient one{running.url, ""}, two{running.url, ""};
    {
        BlockingClient three{running.url, ""};
        CHECK(three.response.starts_with("HTTP/1.1 503"));
        CHECK(three.response.find("Retry-After:") != std::string::npos);
    }
    one.send("x");
    CHECK(one.next() == "text x");
    CHECK(running.server.statistics().turned_away == 1);
}

TEST_CASE("clients over connections_per_second get a 503 with Retry-After", "[server]") {
    ServerOptions options = two_threads();
    options.connections_per_second = 1;
    RunningServer running{options};
    std::string refused;
    while (refused.empty()) {  // until two connect within a second
        BlockingClient client{running.url, ""};
        if (client.response.starts_with("HTTP/1.1 503")) refused = client.response;
    }
    CHECK(refused.find("Retry-After:") != std::string::npos);
    CHECK(running.server.statistics().over_connection_rate > 0);
    CHECK(running.server.statistics().turned_away == 0);
    options.connections_per_second = 0;
    running.server.reconfigure(options);
    for (int i = 0; i < 20; ++i) CHECK(BlockingClient{running.url, ""}.response.starts_with("HTTP/1.1 101"));
}

TEST_CASE("an accepted client is reported with its request before its handler is called", "[server]") {
    std::mutex mutex;
    std::vector<std::string> events;
    const auto note = [&](std::string event) {
        const std::lock_guard lock(mutex);
        events.push_back(std::move(event));
    };
    struct Opens {
        std::function<void(std::string)> note;
        void on_open(AnyConnection& connection) { note("open " + to_string(connection.id())); }
    };
    ServerOptions options = two_threads();
    options.hosts = {"server.example.com"};
    Server server{options};
    server.handle("chat", Opens{note});
    server.on_accept([note](const ConnectionStart& start) {
        note(to_string(start.connection.id()) + " " + start.request.target + " " +
             std::string{start.request.find("Origin")} + " " + std::string{start.subprotocol} + " " +
             std::string{start.handler} + (start.connection.peer().starts_with("127.0.0.1:") ? "" : " no peer"));
    });
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{url};
    client.write(upgrade_request("Origin: http://server.example.com\r\nSec-WebSocket-Protocol: news, chat\r\n"));
    CHECK(client.read_head().starts_with("HTTP/1.1 101"));
    client.hang_up();
    BlockingClient refused{url};
    refused.write(upgrade_request("Origin: http://evil.example\r\n"));
    CHECK(refused.read_head().starts_with("HTTP/1.1 403"));
    refused.hang_up();
    (void)server.stop(20s);
    REQUIRE(events.size() == 2);
    const auto id = events[0].substr(0, events[0].find(' '));
    CHECK(events[0] == id + " /chat http://server.example.com chat chat");
    CHECK(events[1] == "open " + id);
}

TEST_CASE("an exception of the program's callbacks affects one response only", "[server]") {
    Server server{two_threads()};
    server.handle(Echo{});
    std::atomic<int> complaints = 0;
    server.on_log([&](LogLevel, std::string_view text) {
        if (text.find("threw") != std::string_view::npos) ++complaints;
    });
    SECTION("exceptions") {
        server.on_http([](const HttpRequest&) -> std::optional<HttpResponse> { throw std::runtime_error("no page"); });
        server.on_end([](const ConnectionEnd&) { throw std::runtime_error("no log"); });
        server.on_accept([](const ConnectionStart&) { throw std::runtime_error("no log"); });
    }
    SECTION("anything else") {
        server.on_http([](const HttpRequest&) -> std::optional<HttpResponse> { throw 404; });
        server.on_end([](const ConnectionEnd&) { throw "no log"; });
        server.on_accept([](const ConnectionStart&) { throw "no log"; });
    }
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    BlockingClient page{url};
    page.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(page.read_head().starts_with("HTTP/1.1 500 "));
    page.hang_up();
    BlockingClient client{url, ""};
    client.send("alive");
    CHECK(client.next() == "text alive");
    client.hang_up();
    (void)server.stop(20s);
    CHECK(complaints == 4);
}

TEST_CASE("exceptions of the log function are ignored", "[server]") {
    Server server{two_threads()};
    server.handle(Echo{});
    server.on_log([](LogLevel, std::string_view) { throw std::runtime_error("the disk is full"); });
    server.on_end([](const ConnectionEnd&) { throw std::runtime_error("to be logged"); });
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    for (int i = 0; i < 3; ++i) {
        BlockingClient client{url, ""};
        client.send("alive");
        CHECK(client.next() == "text alive");
    }
    (void)server.stop(20s);
}

TEST_CASE("if io_uring is forbidden, asio is used and one log line says why", "[server]") {
    const TransportKind asked = GENERATE(TransportKind::automatic, TransportKind::uring, TransportKind::asio);
    std::vector<std::pair<LogLevel, std::string>> said;
    // The filter applies to this thread and the threads that it starts.
    std::thread([&] {
        forbid_uring();
        ServerOptions options = two_threads();
        options.transport = asked;
        Server server{options};
        server.handle(Echo{});
        server.on_log([&](LogLevel level, std::string_view text) { said.emplace_back(level, text); });
        const std::string url = *server.listen("127.0.0.1:0");
        server.start();
        server.start();  // a second call, as in run()
        BlockingClient client{url, ""};
        client.send("x");
        CHECK(client.next() == "text x");
    }).join();
    if (asked == TransportKind::asio) {
        CHECK(said.empty());
        return;
    }
    REQUIRE(said.size() == 1);
    CHECK(said[0].first == (asked == TransportKind::uring ? LogLevel::warning : LogLevel::info));
    const std::string why = WSSERVER_URING ? "io_uring is forbidden (sysctl kernel.io_uring_disabled, or a container's "
                                             "seccomp)"
                                           : "this build has no io_uring";
    CHECK(said[0].second == "io_uring is not used: " + why + "; using asio");
}

TEST_CASE("a server that is destroyed while it runs ends its threads", "[server][threads]") {
    /// Lives as long as its server, which lives as long as its last detached thread.
    struct Counted : Echo {
        std::shared_ptr<int> count;
    };
    const auto count = std::make_shared<int>();
    for (int i = 0; i < 20; ++i) {
        Server server{two_threads()};
        server.handle(Counted{{}, count});
        const std::string url = *server.listen("127.0.0.1:0");
        server.start();
        BlockingClient client{url, ""};
        client.send("x");
        CHECK(client.next() == "text x");
    }
    // On a busy machine a thread may not end within a second. It is detached then and ends later.
    const auto patience = std::chrono::steady_clock::now() + 30s;
    while (count.use_count() > 1 && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
    CHECK(count.use_count() == 1);
}
