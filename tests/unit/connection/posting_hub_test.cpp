#include "wsserver/connection/posting_hub.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;

namespace {

using MemoryConnection = Connection<Role::server, MemoryTransport>;

/// Connections that may be sent to, and that have ended when they are looked for.
struct EndedConnections {
    std::function<void()> visited{};

    bool is_open(ConnectionId) const noexcept { return true; }
    std::size_t queued(ConnectionId) const noexcept { return 0; }
    MemoryConnection* find(ConnectionId) noexcept { return nullptr; }
    MemoryConnection* in_slot(std::uint32_t) noexcept { return nullptr; }
    template <class F>
    void for_each(F&&) {
        if (visited) visited();
    }
};

struct BusyThread {
    static constexpr std::size_t limit = 10'000;
    using TestedHub = PostingHub<MemoryTransport, Role::server, EndedConnections>;

    MemoryNetwork network{};
    MemoryTransport transport{network};
    EndedConnections connections{};
    std::shared_ptr<TestedHub> hub = std::make_shared<TestedHub>(transport, connections, limit);
    std::vector<std::size_t> reports{};

    ~BusyThread() { hub->detach(); }
    Completion report() {
        return [this](std::size_t receivers) { reports.push_back(receivers); };
    }
};

constexpr ConnectionId anyone{0, 0, 1};

}  // namespace

TEST_CASE("a posting hub drops and counts what a busy thread does not take", "[posting_hub]") {
    BusyThread busy;
    std::function<SendStatus()> request;
    SECTION("empty messages") {
        request = [&] { return busy.hub->send(anyone, Text{}); };
    }
    SECTION("long messages") {
        request = [&] { return busy.hub->send(anyone, Binary{bytes_of(std::string(1'000, 'x'))}); };
    }
    SECTION("pings") {
        request = [&] { return busy.hub->ping(anyone, {}); };
    }
    SECTION("closes") {
        request = [&] { return busy.hub->close(anyone, CloseCode::normal, "bye"); };
    }
    std::size_t queued = 0;
    while (queued <= busy.limit / sizeof(InboxItem) && request() == SendStatus::queued) ++queued;
    CHECK(queued > 0);
    CHECK(queued <= busy.limit / sizeof(InboxItem));
    CHECK(request() == SendStatus::dropped);
    CHECK(busy.hub->dropped_requests() == 2);
    busy.network.run_until_idle();
    CHECK(busy.hub->dropped_requests() == 2 + queued);  // their connection has ended
    CHECK(request() == SendStatus::queued);
}

TEST_CASE("a broadcast that a posting hub drops is reported at once", "[posting_hub]") {
    BusyThread busy;
    const std::string half(busy.limit / 2, 'x');
    busy.hub->broadcast({}, Text{half}, busy.report());
    CHECK(busy.reports.empty());
    bool used = false;
    busy.hub->broadcast({}, Binary{bytes_of(half)}, [&](std::size_t receivers) {
        CHECK(receivers == 0);
        used = busy.hub->send(anyone, Text{"a Count may use the hub"}) == SendStatus::queued;
    });
    CHECK(used);
    busy.network.run_until_idle();
    CHECK(busy.reports == std::vector<std::size_t>{0});
}

TEST_CASE("detaching a posting hub reports all that waits before it returns", "[posting_hub]") {
    BusyThread busy;
    std::size_t inside = 0;
    SECTION("on its own") {
        busy.hub->ping_all(busy.report());
        busy.hub->close_all(CloseCode::going_away, "", busy.report());
        busy.hub->detach();
        inside = busy.reports.size();
    }
    SECTION("by a Count") {
        busy.hub->ping_all([&](std::size_t) {
            busy.hub->detach();
            inside = busy.reports.size();
        });
        busy.hub->broadcast({}, Text{"x"}, busy.report());
        busy.hub->ping_all(busy.report());
        busy.network.run_until_idle();
    }
    SECTION("by a reaction") {
        busy.connections.visited = [&] {
            busy.hub->detach();
            inside = busy.reports.size();
        };
        busy.hub->broadcast({}, Text{"x"}, busy.report());
        busy.hub->ping_all(busy.report());
        busy.network.run_until_idle();
    }
    CHECK(inside == 2);
    busy.network.run_until_idle();
    CHECK(busy.reports == std::vector<std::size_t>{0, 0});
    CHECK(busy.hub->send(anyone, Text{"x"}) == SendStatus::closed);
    busy.hub->ping_all(busy.report());
    CHECK(busy.reports.size() == 3);
}

TEST_CASE("a Count of a posting hub may run the loop", "[posting_hub]") {
    BusyThread busy;
    busy.hub->ping_all([&](std::size_t) {
        busy.hub->ping_all(busy.report());
        busy.network.run_until_idle();
        busy.hub->ping_all(busy.report());
        busy.hub->detach();
        CHECK(busy.reports.size() == 3);
    });
    busy.hub->ping_all(busy.report());
    busy.network.run_until_idle();
    CHECK(busy.reports == std::vector<std::size_t>{0, 0, 0});
}
