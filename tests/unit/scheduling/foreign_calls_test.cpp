#include "wsserver/scheduling/foreign_calls.hpp"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "wsserver/scheduling/awaited.hpp"

using namespace wsserver;
using Kind = ForeignCalls::Kind;
using Start = ForeignCalls::Start;

namespace {

constexpr std::chrono::hours long_time{1};

/// Calls that hang until the object is destroyed, which waits for them.
class Hanging {
   public:
    explicit Hanging(ForeignCalls& calls) : calls_(calls) {}
    ~Hanging() {
        let_go_.set_value();
        for (const auto kind : {Kind::load, Kind::command, Kind::end}) calls_.wait_for_all(kind, long_time);
    }
    Start start(Kind kind, const std::string& name) {
        return calls_.start(kind, name, [end = end_] { end.wait(); });
    }

   private:
    ForeignCalls& calls_;
    std::promise<void> let_go_{};
    std::shared_future<void> end_ = let_go_.get_future().share();
};

std::vector<std::string> names_of(const ForeignCalls& calls) {
    std::vector<std::string> names;
    for (const auto& call : calls.states()) names.push_back(call.name);
    return names;
}

}  // namespace

TEST_CASE("a call runs on a thread of its own, to which no signal is delivered", "[foreign_calls]") {
    ForeignCalls calls;
    const Awaited<std::thread::id> thread;
    std::atomic<bool> blocked = false;
    REQUIRE(calls.start(Kind::load, "create() of x", [&, deliver = thread.deliver()] {
        sigset_t mask;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
        blocked = sigismember(&mask, SIGTERM) == 1;
        deliver(std::this_thread::get_id());
    }) == Start::started);
    const auto id = thread.wait({}, long_time);
    REQUIRE(id);
    CHECK(*id != std::this_thread::get_id());
    CHECK(blocked);
    CHECK(calls.wait_for_all(Kind::load, long_time));
    CHECK(calls.states().empty());
}

TEST_CASE("calls that have not returned are named, in the order in which they began", "[foreign_calls]") {
    ForeignCalls calls;
    Hanging hanging{calls};
    REQUIRE(hanging.start(Kind::load, "create() of a") == Start::started);
    REQUIRE(hanging.start(Kind::end, "destroy() of b") == Start::started);
    CHECK(names_of(calls) == std::vector<std::string>{"create() of a", "destroy() of b"});
    CHECK_FALSE(calls.wait_for_all(Kind::load, std::chrono::milliseconds{0}));
    CHECK(calls.wait_for_all(Kind::command, std::chrono::milliseconds{0}));
}

TEST_CASE("calls that hang prevent only more calls of their kind", "[foreign_calls]") {
    ForeignCalls calls;
    Hanging hanging{calls};
    for (std::size_t i = 0; i < ForeignCalls::most; ++i) REQUIRE(hanging.start(Kind::command, "x") == Start::started);
    CHECK(hanging.start(Kind::command, "one more") == Start::busy);
    CHECK(hanging.start(Kind::end, "another") == Start::started);
    CHECK(calls.states().size() == ForeignCalls::most + 1);
}

TEST_CASE("a queued call begins when another one of its kind returns", "[foreign_calls]") {
    ForeignCalls calls;
    std::promise<void> queued_ran;
    {
        Hanging hanging{calls};
        for (std::size_t i = 0; i < ForeignCalls::most; ++i) REQUIRE(hanging.start(Kind::end, "x") == Start::started);
        CHECK(calls.start_or_queue(Kind::end, "waits", [&] { queued_ran.set_value(); }) == Start::started);
        CHECK(calls.states().back().name == "waits");
        CHECK(calls.states().back().kind == Kind::end);
        CHECK(calls.states().back().since == std::chrono::milliseconds{0});
        CHECK_FALSE(calls.wait_for_all(Kind::end, std::chrono::milliseconds{0}));
    }
    queued_ran.get_future().wait();
    CHECK(calls.wait_for_all(Kind::end, long_time));
}

TEST_CASE("without a thread nothing is called, and nothing counts as hanging", "[foreign_calls]") {
    ForeignCalls calls;
    pthread_attr_t before, huge;
    REQUIRE(::pthread_getattr_default_np(&before) == 0);
    REQUIRE(::pthread_attr_init(&huge) == 0);
    REQUIRE(::pthread_attr_setstacksize(&huge, std::size_t{1} << 60) == 0);  // more than the address space
    REQUIRE(::pthread_setattr_default_np(&huge) == 0);
    bool called = false;
    const auto result = calls.start(Kind::load, "x", [&] { called = true; });
    REQUIRE(::pthread_setattr_default_np(&before) == 0);
    CHECK(result == Start::no_thread);
    CHECK_FALSE(called);
    CHECK(calls.states().empty());
}

TEST_CASE("a call that counts as returned has released all that it captured", "[foreign_calls]") {
    ForeignCalls calls;
    const auto captured = std::make_shared<int>(1);
    REQUIRE(calls.start(Kind::load, "x", [captured] {}) == Start::started);
    REQUIRE(calls.wait_for_all(Kind::load, long_time));
    CHECK(captured.use_count() == 1);
}

TEST_CASE("an awaited value arrives even after the wait was given up", "[awaited]") {
    auto value = std::make_unique<Awaited<int>>();
    const auto deliver = value->deliver();
    CHECK_FALSE(value->wait({}, std::chrono::milliseconds{0}));
    std::stop_source stop;
    stop.request_stop();
    CHECK_FALSE(value->wait(stop.get_token(), long_time));
    deliver(7);
    CHECK(value->wait({}, long_time) == 7);
    CHECK_FALSE(value->wait({}, std::chrono::milliseconds{0}));
    value.reset();
    deliver(8);
}
