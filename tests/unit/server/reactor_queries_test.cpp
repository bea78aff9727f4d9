#include "wsserver/server/detail/reactor_queries.hpp"

#include <memory>
#include <optional>
#include <thread>

#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// A reactor and those who ask it.
struct Rig {
    explicit Rig(ReactorQueries::Patience patience) : queries(reactors, callbacks, patience) {
        ServerOptions options;
        options.io_threads = 1;
        options.transport = TransportKind::asio;
        reactors.make({shared, options, nullptr, [](std::error_code) {}, [] {}, [] {}});
        queries.begin();
    }
    std::optional<int> ask() {
        return queries.ask_one<int>(0, [](AnyReactor&) { return 42; });
    }
    /// Runs the reactor until all that was posted before has run.
    void run() {
        reactors[0].post([this] { reactors[0].stop(Clock::now()); });
        reactors[0].run();
    }

    RecordingShared shared;
    ProgramCallbacks callbacks{std::make_shared<CallbackGate>()};
    Reactors reactors;
    ReactorQueries queries;
};

}  // namespace

TEST_CASE("an answer that is late because the process was stopped is awaited", "[reactor_queries]") {
    Rig rig{{.within = -1'000ms, .late = 60'000ms}};  // the time to answer has passed while the process was stopped
    std::jthread reactor{[&] { rig.reactors[0].run(); }};
    CHECK(rig.ask() == 42);
    rig.reactors[0].post([&] { rig.reactors[0].stop(Clock::now()); });
    reactor.join();
    CHECK(rig.queries.stalled().empty());
    CHECK(rig.queries.stalls() == 0);
}

TEST_CASE("a reactor that does not answer has stalled", "[reactor_queries]") {
    Rig rig{{.within = 0ms, .late = 0ms}};
    CHECK_FALSE(rig.ask());
    CHECK(rig.queries.stalled() == std::vector<std::uint16_t>{0});
    rig.run();  // answers the question
    CHECK(rig.queries.stalled().empty());
    CHECK(rig.queries.stalls() == 1);
}
