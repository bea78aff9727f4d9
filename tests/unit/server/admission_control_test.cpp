#include "wsserver/server/detail/admission_control.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/server.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

using StreamAdmission = ReactorShared::StreamAdmission;

/// An AdmissionControl with what it needs.
struct Rig {
    explicit Rig(const ServerOptions& options)
        : callbacks(hub->gate()),
          workers(options, reactors, callbacks, hub),
          control(options, hub, workers, callbacks) {}

    const std::shared_ptr<ServerHub> hub = std::make_shared<ServerHub>(1024);
    ProgramCallbacks callbacks;
    Reactors reactors;
    HandlerWorkers workers;
    AdmissionControl control;
};

/// A Rig of a process that may have `limit` descriptors.
std::unique_ptr<Rig> with_descriptors(rlim_t limit, const ServerOptions& options) {
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit changed{std::min(limit, before.rlim_max), before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &changed) == 0);
    auto rig = std::make_unique<Rig>(options);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    return rig;
}

ServerOptions at_most(std::size_t connections) {
    ServerOptions options;
    options.io_threads = 2;
    options.max_connections = connections;
    return options;
}

/// A started server for `connections`, which answers each plain request with 200.
struct SmallServer {
    explicit SmallServer(std::size_t connections) : server(at_most(connections)) {
        server.handle(Echo{});
        server.on_http([](const HttpRequest&) { return HttpResponse{200, {}, "text/plain", "ok\n"}; });
        url = *server.listen("127.0.0.1:0");
        server.start();
    }
    void wait_until_open(std::size_t count) const {
        while (server.statistics().open != count) std::this_thread::yield();
    }
    Server server;
    std::string url;
};

/// A client that has sent `request`, received a response with `status`, and does not hang up.
BlockingClient answered(const std::string& url, const std::string& request, const std::string& status) {
    BlockingClient client{url};
    client.write(request);
    CHECK(client.read_head().starts_with("HTTP/1.1 " + status));
    return client;
}

}  // namespace

TEST_CASE("with very few descriptors at least one connection is allowed", "[admission_control]") {
    const auto rig = with_descriptors(9, {});
    CHECK(rig->control.admit() == StreamAdmission::welcome);
    CHECK(rig->control.admit() == StreamAdmission::answer_503);
    CHECK(rig->control.admit() == StreamAdmission::close_at_once);
}

TEST_CASE("connections and refused clients leave descriptors for other things", "[admission_control]") {
    const auto [limit, places, refused] =
        GENERATE(table<rlim_t, std::size_t, std::size_t>({{20, 18, 1}, {1024, 918, 51}, {8192, 7371, 256}}));
    const auto rig = with_descriptors(limit, {});
    std::size_t welcome = 0, over = 0;
    SECTION("if there are too many connections") {
        while (rig->control.admit() == StreamAdmission::welcome) ++welcome;
        for (over = 1; rig->control.admit() == StreamAdmission::answer_503;) ++over;
    }
    SECTION("if clients are refused and do not hang up") {
        while (rig->control.admit() == StreamAdmission::welcome && rig->control.give_up_place()) ++over;
        for (welcome = 1; rig->control.admit() == StreamAdmission::welcome;) ++welcome;
    }
    CHECK(welcome == places);
    CHECK(over == refused);
    CHECK(welcome + over <= limit * 19 / 20);
}

TEST_CASE("a stream that is refused gives its place to the next one", "[admission_control]") {
    Rig rig{at_most(1)};
    CHECK(rig.control.admit() == StreamAdmission::welcome);
    CHECK(rig.control.admit() == StreamAdmission::answer_503);
    CHECK(rig.control.open() == 1);
    CHECK(rig.control.give_up_place());
    CHECK(rig.control.open() == 0);
    CHECK(rig.control.admit() == StreamAdmission::welcome);
    rig.control.released_without_place();
    rig.control.released_without_place();
    CHECK(rig.control.open() == 1);
    rig.control.released();
    CHECK(rig.control.open() == 0);
}

TEST_CASE("256 streams are refused at a time, besides those that have a place", "[admission_control]") {
    const auto rig = with_descriptors(8192, at_most(1));
    AdmissionControl& control = rig->control;
    for (int i = 0; i < 256; ++i) {
        REQUIRE(control.admit() == StreamAdmission::welcome);
        REQUIRE(control.give_up_place());
    }
    CHECK(control.admit() == StreamAdmission::welcome);
    CHECK(control.admit() == StreamAdmission::close_at_once);
    CHECK_FALSE(control.give_up_place());  // it keeps its place
    CHECK(control.open() == 1);
    control.released_without_place();
    CHECK(control.admit() == StreamAdmission::answer_503);
    CHECK(control.admit() == StreamAdmission::close_at_once);
}

TEST_CASE("a client over the rate does not take a place", "[admission_control]") {
    ServerOptions options = at_most(2);
    options.connections_per_second = 1;
    Rig rig{options};
    std::vector<StreamAdmission> admissions;
    while (admissions.empty() || admissions.back() != StreamAdmission::answer_503_for_rate) {
        admissions.push_back(rig.control.admit());
        if (admissions.back() == StreamAdmission::welcome) rig.control.released();
    }
    CHECK(rig.control.open() == 0);
    rig.control.released_without_place();
    CHECK(rig.control.open() == 0);
}

TEST_CASE("refused clients that do not hang up take no places", "[admission_control]") {
    SmallServer small{2};
    BlockingClient first{small.url, ""};
    std::vector<BlockingClient> staying;
    for (int round = 0; round < 3; ++round) {
        staying.push_back(answered(small.url, upgrade_request("Origin: http://elsewhere.example\r\n"), "403"));
        staying.push_back(answered(small.url, "nonsense\r\n\r\n", "400"));
        staying.push_back(answered(small.url, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "200"));
    }
    CHECK(small.server.statistics().open == 1);
    BlockingClient second{small.url, ""};
    REQUIRE(second.response.starts_with("HTTP/1.1 101"));
    staying.push_back(answered(small.url, upgrade_request(), "503"));
    staying.push_back(answered(small.url, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "200"));
    CHECK(small.server.statistics().open == 2);
    first.close(CloseCode::normal);
    CHECK(first.read_rest() != "");
    first.hang_up();
    small.wait_until_open(1);
    CHECK(BlockingClient(small.url, "").response.starts_with("HTTP/1.1 101"));
    second.send("x");
    CHECK(second.next() == "text x");
}

TEST_CASE("a refused client takes no place of a MemoryServer", "[admission_control][testing]") {
    ServerOptions options;
    options.max_connections = 1;
    wsserver::MemoryServer server{Echo{}, options};
    ClientRequest foreign;
    foreign.origin = "http://elsewhere.example";
    MemoryClient refused = server.connect(foreign);
    CHECK(refused.response().status == 403);
    MemoryClient first = server.connect();
    CHECK(first.is_open());
    MemoryClient over = server.connect();
    CHECK(over.response().status == 503);
    first.close();
    CHECK(server.connect().is_open());
}
