#include "wsserver/handler/replaceable_handler.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/handler/shared_object.hpp"
#include "wsserver/server.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

std::string module_path(const std::string& name) { return std::string{WSSERVER_TEST_MODULES} + "/" + name + ".so"; }

/// Loads modules, whose log it keeps.
class Loader {
   public:
    /// Those that were replaced may still end.
    ~Loader() { wait_for_handler_ends(10s); }

    std::shared_ptr<AnyHandler> operator()(const std::string& name, std::string_view config = {}) {
        auto handler = load_handler(module_path(name), {}, config, [this](LogLevel, auto, std::string_view text) {
            const std::lock_guard lock{mutex_};
            entries_.emplace_back(text);
        });
        if (!handler) FAIL(handler.error());
        return *handler;
    }
    Strings take() {
        const std::lock_guard lock{mutex_};
        return std::exchange(entries_, {});
    }
    void await(const std::string& entry) {
        for (Strings all;;) {
            for (auto& one : take()) all.push_back(std::move(one));
            if (std::find(all.begin(), all.end(), entry) != all.end()) return;
            std::this_thread::yield();
        }
    }

   private:
    std::mutex mutex_;
    Strings entries_;
};

std::string error_of(const Result<void, std::string>& result) { return result ? std::string{} : result.error(); }

/// The versions, as "number: connections (of which stay)".
std::string described(const ReplaceableHandler& handler) {
    std::string text;
    for (const auto& version : handler.versions()) {
        text += (text.empty() ? "" : ", ") + std::to_string(version.number) + ": " +
                std::to_string(version.connections) + " (" + std::to_string(version.staying) + ")";
    }
    return text;
}

/// Waits in a reaction to `hang`.
struct Stuck {
    static constexpr Runs runs = Runs::pooled;
    void on_message(AnyConnection& connection, const Text& message) {
        if (message.text == "hang") {
            began->count_down();
            leave->wait();
        }
        connection.send(version);
    }
    std::string version;
    std::latch *began, *leave;
};

}  // namespace

TEST_CASE("new code takes over open connections with their state", "[replaceable_handler]") {
    Loader load;
    wsserver::MemoryServer server;
    const auto ledger = std::make_shared<ReplaceableHandler>(load("ledger_1"));
    server.handle({}, ledger);
    auto ann = server.connect(), bob = server.connect();
    ann.send("a");
    ann.expect("text 1 a 1 of 1");
    bob.send("b");
    bob.expect("text 1 b 1 of 2");
    ann.send("c");
    ann.expect("text 1 c 2 of 3");

    REQUIRE(error_of(ledger->replace(load("ledger_2"))).empty());
    CHECK(described(*ledger) == "1: 2 (0), 2: 0 (0)");
    ann.send("d");
    ann.expect("text 2 d 3 of 4");
    CHECK(described(*ledger) == "1: 1 (0), 2: 1 (0)");
    auto eve = server.connect();
    eve.send("e");
    eve.expect("text 2 e 1 of 5");

    SECTION("a silent connection moves, too") {
        hand_over_connections(server, ledger);
        CHECK(described(*ledger) == "2: 3 (0)");
        load.await("1 ends");
        bob.send("f");
        bob.expect("text 2 f 2 of 6");
    }
    SECTION("a connection may end before it moves") {
        bob.disconnect();
        load.await("1 ends");
        CHECK(described(*ledger) == "2: 2 (0)");
    }
}

TEST_CASE("each message is answered once and in order while code is replaced", "[replaceable_handler]") {
    // 1,000 reloads and 1,000 connections are tested with wsd.
    const bool is_pooled = GENERATE(false, true);
    CAPTURE(is_pooled);
    const std::string name = is_pooled ? "journal_" : "ledger_";
    Loader load;
    Server server{{.io_threads = 2}};
    const auto handler = std::make_shared<ReplaceableHandler>(load(name + "1"));
    server.handle({}, handler);
    const auto url = server.listen("127.0.0.1:0");
    REQUIRE(url);
    server.start();
    constexpr int clients = 4, messages = 2000;
    std::atomic<int> wrong{0}, done{0};
    std::vector<std::jthread> threads;
    for (int c = 0; c < clients; ++c) {
        threads.emplace_back([&] {
            BlockingClient client{*url, ""};
            for (int i = 1; i <= messages; ++i) {
                client.send("m");
                std::string reply = client.next();  // "text VERSION m NUMBER ..."
                while (reply.starts_with("ping")) reply = client.next();
                if (reply.substr(0, 5) != "text " || reply.find(" m " + std::to_string(i)) != 6) ++wrong;
            }
            ++done;
            while (done < clients) std::this_thread::yield();
        });
    }
    int reloads = 0;
    for (; done < clients || reloads < 200; ++reloads) {
        REQUIRE(error_of(handler->replace(load(name + (reloads % 2 == 0 ? "2" : "1")))).empty());
        hand_over_connections(server, handler);
        while (handler->versions().size() > 1 && done < clients) std::this_thread::yield();
    }
    threads.clear();
    CHECK(wrong == 0);
    CHECK(reloads >= 200);
    CHECK(server.stop().complete());
}

TEST_CASE("code that fails to hand over or to take over leaves the old one", "[replaceable_handler]") {
    Loader load;
    wsserver::MemoryServer server;
    const auto [old_fails, new_fails, error] = GENERATE(table<std::string, std::string, std::string>(
        {{"save_state", "", "the old code: ledger: save_state: on purpose"},
         {"", "restore_state", "the new code: ledger: restore_state: on purpose"},
         {"size", "", "the old code: ledger: save_state: it returned 3"}}));
    const auto ledger = std::make_shared<ReplaceableHandler>(load("ledger_1", old_fails));
    server.handle({}, ledger);
    auto client = server.connect();
    client.send("a");
    client.expect("text 1 a 1 of 1");
    CHECK(error_of(ledger->replace(load("ledger_2", new_fails))) == error);
    CHECK(described(*ledger) == "1: 1 (0)");
    client.send("b");
    client.expect("text 1 b 2 of 2");
}

TEST_CASE("a connection whose state cannot be saved stays with its code", "[replaceable_handler]") {
    Loader load;
    wsserver::MemoryServer server;
    const bool forgets = GENERATE(true, false);
    const auto ledger =
        std::make_shared<ReplaceableHandler>(forgets ? load("ledger_forgets") : load("ledger_1", "save_connection"));
    server.handle({}, ledger);
    auto with_state = server.connect(), without = server.connect();
    with_state.send("a");
    with_state.expect("text 1 a 1 of 1");
    REQUIRE(error_of(ledger->replace(load("ledger_2"))).empty());
    hand_over_connections(server, ledger);
    // A function that fails is asked for each connection.
    CHECK(described(*ledger) == (forgets ? "1: 1 (1), 2: 1 (0)" : "1: 2 (2), 2: 0 (0)"));
    with_state.send("b");
    with_state.expect("text 1 b 2 of 2");
    without.send("c");
    without.expect(forgets ? "text 2 c 1 of 1" : "text 1 c 1 of 3");
    if (!forgets) CHECK(load.take() == Strings(2, "ledger: save_connection: on purpose"));
    without.disconnect();
    with_state.disconnect();
    load.await("1 ends");
}

TEST_CASE("code that is replaced within its own reaction lives until that returns", "[replaceable_handler]") {
    struct Own {
        void on_message(AnyConnection& connection, const Text&) {
            if (during) during();
            connection.send(*text);
        }
        std::function<void()> during;
        std::shared_ptr<std::string> text;
    };
    wsserver::MemoryServer server;
    const auto own = std::make_shared<ReplaceableHandler>(make_handler("none", Own{{}, {}}));
    const auto replace = [&] {
        REQUIRE(error_of(own->serve_with(make_handler("new", Own{{}, std::make_shared<std::string>("new")}))).empty());
        hand_over_connections(server, own);
    };
    auto text = std::make_shared<std::string>("old");
    const std::weak_ptr<std::string> alive = text;
    REQUIRE(error_of(own->serve_with(make_handler("old", Own{replace, std::move(text)}))).empty());
    server.handle({}, own);
    auto client = server.connect();
    client.send("a");
    client.expect("text old");
    CHECK(alive.expired());
    client.send("b");
    client.expect("text new");
}

TEST_CASE("new code that restores nothing opens connections again, or leaves them", "[replaceable_handler]") {
    Loader load;
    wsserver::MemoryServer server;
    struct Opens {
        void on_open(AnyConnection& connection) { connection.send("opened"); }
        void on_message(AnyConnection& connection, const Text& text) {
            connection.send("opens " + std::string{text.text});
        }
    };
    const auto ledger = std::make_shared<ReplaceableHandler>(load("ledger_1"));
    server.handle({}, ledger);
    auto with_state = server.connect(), without = server.connect();
    with_state.send("a");
    with_state.expect("text 1 a 1 of 1");
    REQUIRE(error_of(ledger->replace(make_handler("opens", Opens{}))).empty());
    hand_over_connections(server, ledger);
    without.expect("text opened");
    without.send("b");
    without.expect("text opens b");
    with_state.send("c");
    with_state.expect("text 1 c 2 of 2");
    CHECK(described(*ledger) == "1: 1 (1), 2: 1 (0)");
}

TEST_CASE("a connection that new code does not take is closed alone", "[replaceable_handler]") {
    Loader load;
    wsserver::MemoryServer server;
    const auto ledger = std::make_shared<ReplaceableHandler>(load("ledger_1"));
    server.handle({}, ledger);
    auto client = server.connect();
    client.send("a");
    client.expect("text 1 a 1 of 1");
    REQUIRE(error_of(ledger->replace(load("ledger_2", "restore_connection"))).empty());
    client.send("b");
    client.expect("close 1011");
    auto other = server.connect();
    other.send("c");
    other.expect("text 2 c 1 of 2");
}

TEST_CASE("timers of old code are not called with the connections of new code", "[replaceable_handler]") {
    Loader load;
    wsserver::MemoryServer server;
    const auto ledger = std::make_shared<ReplaceableHandler>(load("ledger_1"));
    server.handle({}, ledger);
    auto client = server.connect();
    client.send("timer");
    SECTION("it comes before the new code") {
        server.advance(1100ms);
        client.expect("text late 1");
    }
    SECTION("it comes after it") {
        REQUIRE(error_of(ledger->replace(load("ledger_2"))).empty());
        hand_over_connections(server, ledger);
        CHECK(described(*ledger) == "1: 0 (0), 2: 1 (0)");  // the timer keeps the old code
        server.advance(1100ms);
        client.expect_nothing();
        load.await("1 ends");
    }
}

TEST_CASE("a call that hangs keeps its code, and others get the new one", "[replaceable_handler]") {
    std::latch began{1}, leave{1};
    Server server{{.io_threads = 1, .workers = 3}};
    const auto stuck = std::make_shared<ReplaceableHandler>(make_handler("stuck", Stuck{"old", &began, &leave}));
    server.handle({}, stuck);
    const auto url = server.listen("127.0.0.1:0");
    REQUIRE(url);
    server.start();
    BlockingClient hanging{*url, ""}, other{*url, ""};
    other.send("a");
    CHECK(other.next() == "text old");
    hanging.send("hang");
    hanging.send("b");
    began.wait();
    REQUIRE(error_of(stuck->replace(make_handler("stuck", Stuck{"new", &began, &leave}))).empty());
    hand_over_connections(server, stuck);
    other.send("c");
    CHECK(other.next() == "text new");
    CHECK(described(*stuck) == "1: 1 (0), 2: 1 (0)");
    leave.count_down();
    CHECK(hanging.next() == "text old");
    CHECK(hanging.next() == "text new");
    CHECK(described(*stuck) == "2: 2 (0)");
    hanging.hang_up();
    other.hang_up();
    CHECK(server.stop().complete());
}

#ifdef WSSERVER_TEST_RUST
TEST_CASE("the example in Rust hands its numbers over", "[replaceable_handler]") {
    Loader load;
    wsserver::MemoryServer server;
    const auto shout = std::make_shared<ReplaceableHandler>(load("handler_shout"));
    server.handle("shout", shout);
    auto ann = server.connect("/", {"shout"});
    auto bob = server.connect("/", {"shout"});
    ann.send("hello");
    bob.expect("text 1: HELLO");
    REQUIRE(error_of(shout->replace(load("handler_shout"))).empty());
    ann.send("again");
    bob.expect("text 2: AGAIN");
    bob.send("me, too");
    ann.expect("text 1: ME, TOO");
}
#endif

TEST_CASE("code that runs on workers cannot replace code that runs inline", "[replaceable_handler]") {
    Loader load;
    ReplaceableHandler ledger{load("ledger_1")};
    CHECK(error_of(ledger.replace(load("ledger_pooled"))).starts_with("the new code runs on workers"));
    ReplaceableHandler pooled{load("ledger_pooled")};
    CHECK(error_of(pooled.replace(load("ledger_1"))).empty());
    CHECK(pooled.runs() == Runs::pooled);
}

TEST_CASE("a class of a program can be a version unless it has data of its own", "[replaceable_handler]") {
    struct Greeter {
        void on_message(AnyConnection& connection, const Text&) { connection.send(greeting); }
        SavedState save_state() { return {7, greeting}; }
        void restore_state(const SavedState& state) { greeting += ", after " + state.bytes; }
        std::string greeting;
    };
    wsserver::MemoryServer server;
    const auto greeter = std::make_shared<ReplaceableHandler>(make_handler("greeter", Greeter{"hello"}));
    server.handle({}, greeter);
    auto client = server.connect();
    client.send("");
    client.expect("text hello");
    REQUIRE(error_of(greeter->replace(make_handler("other", Greeter{"bye"}))).empty());
    CHECK(greeter->name() == "other");
    client.send("");
    client.expect("text bye, after hello");
    REQUIRE(error_of(greeter->replace(make_echo("echo"))).empty());
    client.send("x");
    client.expect("text x");

    struct WithData {
        struct Data {};
        void on_message(AnyConnection&, const Text&) {}
    };
    CHECK_THROWS_AS(ReplaceableHandler{make_handler("data", WithData{})}, std::invalid_argument);
    CHECK(error_of(greeter->replace(make_handler("data", WithData{}))).starts_with("a class with Data"));
    struct InParts {
        void on_part(AnyConnection&, const Part&) {}
    };
    CHECK(error_of(greeter->replace(make_handler("parts", InParts{}))).starts_with("a handler with on_part()"));
}

TEST_CASE("a client that is judged while code is replaced is judged by the new code", "[replaceable_handler]") {
    struct Judge {
        Admission on_upgrade(const UpgradeRequest&) {
            if (during) during();
            return admits ? Admission{} : Admission::refuse({.status = 403});
        }
        void on_message(AnyConnection&, const Text&) {}
        bool admits;
        std::function<void()> during;
    };
    const auto judge = std::make_shared<ReplaceableHandler>(make_handler("none", Judge{true, {}}));
    const auto replace = [&] { REQUIRE(error_of(judge->replace(make_handler("new", Judge{false, {}}))).empty()); };
    REQUIRE(error_of(judge->replace(make_handler("old", Judge{true, replace}))).empty());
    wsserver::MemoryServer server;
    server.handle({}, judge);
    auto client = server.connect();
    CHECK(client.response().status == 403);
}
