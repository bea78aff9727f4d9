#include "wsserver/server/detail/callback_gate.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/blocker.hpp"
#include "support/catch.hpp"
#include "support/test_worker.hpp"
#include "support/transport_rigs.hpp"
#include "wsserver/server/detail/pooled_handler.hpp"
#include "wsserver/server/detail/program_callbacks.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr auto never = Clock::time_point::max();

/// Closes a gate on another thread.
class Closing {
   public:
    explicit Closing(CallbackGate& gate, Clock::time_point deadline = Clock::now() + patience)
        : thread_([this, &gate, deadline] {
              gate.close(deadline);
              closed_ = true;
          }) {
        while (CallbackGate::Call{gate}) std::this_thread::yield();  // until it has begun
    }
    bool is_done() const noexcept { return closed_; }
    void wait() { thread_.join(); }

   private:
    std::atomic<bool> closed_{false};
    std::jthread thread_;
};

/// A connection of a pooled handler, without a transport.
class FakeConnection final : public OwnedConnection {
   public:
    explicit FakeConnection(std::shared_ptr<Hub> hub) : hub_(std::move(hub)) {}
    SendStatus send(const AnyMessage&) override { return SendStatus::queued; }
    SendStatus ping(Bytes) override { return SendStatus::queued; }
    SendStatus close(CloseCode, std::string_view) override { return SendStatus::queued; }
    ConnectionId id() const noexcept override { return {0, 7, 1}; }
    std::string_view subprotocol() const noexcept override { return {}; }
    std::string peer() const override { return {}; }
    std::string_view target() const noexcept override { return "/"; }
    const std::shared_ptr<Hub>& hub() const noexcept override { return hub_; }
    void* user_data() const noexcept override { return nullptr; }
    void set_user_data(void*) noexcept override {}
    void hold_receiving() override {}
    void note_memory() noexcept override {}
    void on_timer() override {}

   private:
    const std::shared_ptr<Hub> hub_;
};

/// Counts its reactions, and blocks in on_message().
struct Blocks {
    static constexpr Runs runs = Runs::pooled;
    std::shared_ptr<Blocker> blocker;
    std::shared_ptr<std::atomic<int>> closed;
    void on_message(AnyConnection&, const Text&) { blocker->wait(); }
    void on_close(AnyConnection&, const Close&) { ++*closed; }
};

/// A connection whose reactions a test runs.
struct PooledRig {
    PooledRig() {
        Acceptance acceptance{make_handler("blocks", Blocks{blocker, closed}), ""};
        pooled = make_pooled(acceptance, connection, "/", hub, ready);
        pooled->on_open(connection);
        run();
    }
    /// Runs what the handler is to do, on the calling thread.
    void run() {
        ready.push();
        TestWorker worker;
        for (TaskPtr task = queue.try_pop(); task;) {
            TaskPtr again = test::run(std::move(task), worker);
            task = again ? std::move(again) : queue.try_pop();
        }
    }

    const std::shared_ptr<Blocker> blocker = std::make_shared<Blocker>();
    const std::shared_ptr<std::atomic<int>> closed = std::make_shared<std::atomic<int>>(0);
    const std::shared_ptr<ServerHub> hub = std::make_shared<ServerHub>(1024);
    FakeConnection connection{hub};
    PriorityTaskQueue queue;
    MemoryAccount memory;
    ReadyMailboxes ready{queue, memory, [] {}};
    std::shared_ptr<AnyHandler> pooled;
};

}  // namespace

TEST_CASE("closing waits for the calls that have begun, and no other one begins", "[callback_gate]") {
    CallbackGate gate;
    std::optional<CallbackGate::Call> call{std::in_place, gate};
    CHECK(*call);
    Closing closing{gate};
    CHECK_FALSE(CallbackGate::Call{gate});
    CHECK_FALSE(closing.is_done());
    call.reset();
    closing.wait();
    CHECK(closing.is_done());
    CHECK_FALSE(CallbackGate::Call{gate});
}

TEST_CASE("closing does not wait for the calls of its own thread", "[callback_gate]") {
    CallbackGate gate, another;
    {
        const CallbackGate::Call outer{gate}, of_another{another}, inner{gate};
        CHECK(inner);
        gate.close(never);
        CHECK_FALSE(CallbackGate::Call{gate});
        CHECK(CallbackGate::Call{another});
    }
    another.close(never);
}

TEST_CASE("closing waits no longer than its deadline", "[callback_gate]") {
    CallbackGate gate;
    const CallbackGate::Call call{gate};
    std::jthread{[&] { gate.close(Clock::now()); }}.join();
    CHECK_FALSE(CallbackGate::Call{gate});
}

TEST_CASE("an on_close() that was reported as due is not called", "[callback_gate]") {
    CallbackGate gate;
    const ConnectionId first{0, 1, 1}, second{0, 2, 1}, third{0, 3, 1};
    CHECK(gate.open_called(first));
    CHECK(gate.open_called(second));
    CHECK(gate.close_called(first));
    CHECK(gate.take_close_due() == std::set<ConnectionId>{second});
    CHECK_FALSE(gate.close_called(second));
    CHECK_FALSE(gate.open_called(third));
}

TEST_CASE("closing waits for each function of the program", "[callback_gate][program_callbacks]") {
    const auto gate = std::make_shared<CallbackGate>();
    ProgramCallbacks callbacks{gate};
    Blocker blocker;
    std::atomic<int> calls{0};
    const auto wait = [&] {
        ++calls;
        blocker.wait();
    };
    callbacks.on_http([&](const HttpRequest&) {
        wait();
        return HttpResponse{.status = 200};
    });
    callbacks.on_end([&](const ConnectionEnd&) { wait(); });
    callbacks.on_event([&](const ConnectionEvent&) { wait(); });
    callbacks.on_log([&](LogLevel, std::string_view) { wait(); });
    const int which = GENERATE(0, 1, 2, 3);
    const auto call = [&] {
        if (which == 0) return callbacks.answer(HttpRequest{}).has_value();
        if (which == 1) callbacks.ended(ConnectionEnd{});
        if (which == 2) callbacks.event(ConnectionEvent{});
        if (which == 3) callbacks.log(LogLevel::info, "x");
        return false;
    };
    std::jthread caller{[&] { (void)call(); }};
    blocker.wait_until_blocked(1);
    Closing closing{*gate};
    CHECK_FALSE(call());
    CHECK(calls == 1);
    CHECK_FALSE(closing.is_done());
    blocker.release();
    closing.wait();
    CHECK_FALSE(call());
    CHECK(calls == 1);
}

TEST_CASE("closing waits for the reaction of a pooled handler", "[callback_gate][pooled_handler]") {
    PooledRig rig;
    rig.pooled->on_message(rig.connection, Text{"x"});
    rig.pooled->on_close(rig.connection, Close{CloseCode::normal, {}});
    std::jthread worker{[&] { rig.run(); }};
    rig.blocker->wait_until_blocked(1);
    CallbackGate& gate = *rig.hub->gate();
    Closing closing{gate};
    CHECK_FALSE(closing.is_done());
    rig.blocker->release();
    closing.wait();
    CHECK(gate.take_close_due() == std::set<ConnectionId>{rig.connection.id()});
    worker.join();
    CHECK(*rig.closed == 0);
}

TEST_CASE("a Completion is not called after the gate was closed", "[callback_gate]") {
    const auto hub = std::make_shared<ServerHub>(1024);
    int calls = 0;
    hub->broadcast({}, Text{"x"}, [&](std::size_t) { ++calls; });
    CHECK(calls == 1);
    hub->gate()->close(never);
    hub->broadcast({}, Text{"x"}, [&](std::size_t) { ++calls; });
    CHECK(calls == 1);
}
