#include "wsserver/server.hpp"

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/blocker.hpp"
#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/transport/uring_available.hpp"

#if WSSERVER_URING
#include "wsserver/transport/detail/uring/calls.hpp"
#include "wsserver/transport/uring.hpp"
#endif

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// Blocks its reactor.
struct BlocksReactor {
    std::shared_ptr<Blocker> blocker;
    void on_message(AnyConnection&, const Text&) { blocker->wait(); }
};

/// A server of which one reactor is blocked.
struct StalledServer {
    StalledServer(std::size_t io_threads, TransportKind transport) : server(options(io_threads, transport)) {
        server.handle(Echo{});
        server.handle("blocks", BlocksReactor{blocker});
        server.on_http([](const HttpRequest&) { return HttpResponse{.fields = {{"Health", "ok"}}}; });
        server.answer_while_stalled("/healthz", HttpResponse{.fields = {{"Health", "degraded"}}});
        server.on_log([this](LogLevel, std::string_view text) {
            if (text.find("does not answer") != std::string_view::npos) ++stalls_logged;
            if (text.find("answers again") != std::string_view::npos) ++recoveries_logged;
        });
        url = *server.listen("127.0.0.1:0");
        server.start();
        stuck.emplace_back(url, "blocks");
        stuck_id = server.list().at(0).id;
        stuck[0].send("x");
        blocker->wait_until_blocked(1);
    }
    static ServerOptions options(std::size_t io_threads, TransportKind transport) {
        ServerOptions options;
        options.io_threads = io_threads;
        options.transport = transport;
        options.reactor_deadline = 500ms;
        return options;
    }
    void wait_until_stalled() {
        while (server.stalled_reactors().empty()) std::this_thread::yield();
    }
    void release() {
        blocker->release();
        while (recoveries_logged == 0) std::this_thread::yield();
    }
    BlockingClient connect() const {
        BlockingClient client{url};
        client.write(upgrade_request());
        return client;
    }
    std::string head_of(std::string_view target) const {
        BlockingClient client{url};
        client.write("GET " + std::string{target} + " HTTP/1.1\r\nHost: x\r\n\r\n");
        return client.read_head();
    }

    std::shared_ptr<Blocker> blocker = std::make_shared<Blocker>();
    std::atomic<int> stalls_logged = 0, recoveries_logged = 0;
    Server server;
    std::string url;
    ConnectionId stuck_id;
    std::vector<BlockingClient> stuck;
};

/// Connects clients to the reactor that a test needs.
class ClientsOnReactors {
   public:
    ClientsOnReactors(const Server& server, std::string url) : server_(server), url_(std::move(url)) {}

    BlockingClient connect(std::uint16_t reactor, std::string_view subprotocol = "") {
        for (;;) {
            BlockingClient client{url_, subprotocol};
            for (const auto& info : server_.list()) {
                if (known_.insert(info.id).second && info.id.reactor == reactor) return client;
            }
        }
    }

   private:
    const Server& server_;
    const std::string url_;
    std::set<ConnectionId> known_;
};

#if WSSERVER_URING
/// The kernel's calls, for all rings that are made while it lives.
class StuckCalls final : public detail::UringCalls {
   public:
    StuckCalls() { in_place_of_kernel = this; }
    ~StuckCalls() override { in_place_of_kernel = nullptr; }

    /// The next ring that waits loses a completion, and the kernel does not end its requests until release().
    void stick() { is_next_ = true; }
    void release() { stuck_ = nullptr; }

   private:
    int submit_and_wait(io_uring& ring, __kernel_timespec* time) noexcept override {
        const int result = UringCalls::submit_and_wait(ring, time);
        if (is_next_.exchange(false)) {
            stuck_ = &ring;
            ++*ring.cq.koverflow;
        }
        return result;
    }
    int cancel(io_uring& ring, io_uring_sync_cancel_reg& which) noexcept override {
        return stuck_ == &ring ? 1 : UringCalls::cancel(ring, which);
    }

    std::atomic<bool> is_next_{false};
    std::atomic<io_uring*> stuck_{nullptr};
};
#endif

constexpr std::size_t mib = std::size_t{1} << 20;

/// Sends a binary message of that many bytes without its last byte. RFC 6455 §5.2, with a masking key of zeros.
void send_part(BlockingClient& client, std::size_t size) {
    std::string frame{"\x82\xFF"};
    for (int shift = 56; shift >= 0; shift -= 8) frame.push_back(static_cast<char>(size >> shift));
    client.write(frame.append(4, '\0').append(size - 1, 'm'));
}

}  // namespace

TEST_CASE("another reactor serves the new clients of one that has stalled", "[reactor_watch][threads]") {
    StalledServer stalled{2, GENERATE(TransportKind::uring, TransportKind::asio)};
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(stalled.connect());  // some wait until the watch finds the reactor
    stalled.wait_until_stalled();
    for (int i = 0; i < 20; ++i) clients.push_back(stalled.connect());
    for (BlockingClient& client : clients) {
        REQUIRE(client.read_head().starts_with("HTTP/1.1 101"));
        client.send("x");
        CHECK(client.next() == "text x");
    }
    CHECK(stalled.server.stalled_reactors() == std::vector{stalled.stuck_id.reactor});
    const auto listed = stalled.server.list();
    CHECK(listed.size() == 40);
    for (const auto& info : listed) CHECK(info.id.reactor != stalled.stuck_id.reactor);
    CHECK(stalled.server.statistics().taken_over > 0);
    CHECK(stalled.server.statistics().reactor_stalls == 1);
    CHECK(stalled.head_of("/healthz").find("Health: ok") != std::string::npos);

    stalled.release();
    CHECK(stalled.stalls_logged == 1);
    CHECK(stalled.server.stalled_reactors().empty());
    CHECK(stalled.server.info(stalled.stuck_id));
    // The reactor accepts again.
    while (stalled.server.info({stalled.stuck_id.reactor, 1, 1}) == std::nullopt) {
        clients.push_back(stalled.connect());
        REQUIRE(clients.back().read_head().starts_with("HTTP/1.1 101"));
    }
}

#if WSSERVER_URING
TEST_CASE("another reactor serves the new clients of one whose requests do not end", "[reactor_watch][threads]") {
    if (!UringTransport::probe()) return;
    StuckCalls calls;
    std::atomic<int> reasons_logged = 0;
    Server server{StalledServer::options(2, TransportKind::uring)};
    server.handle(Echo{});
    server.on_log([&](LogLevel, std::string_view text) {
        if (text.find("does not answer: the kernel") != std::string_view::npos) ++reasons_logged;
    });
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    calls.stick();
    while (server.stalled_reactors().empty()) std::this_thread::yield();
    const std::uint16_t stuck = server.stalled_reactors().at(0);
    for (int i = 0; i < 20; ++i) {
        BlockingClient client{url, ""};
        client.send("x");
        CHECK(client.next() == "text x");
    }
    const auto stalled = server.stalled_reactors();
    CHECK(std::ranges::count(stalled, stuck) == 1);
    CHECK(server.statistics().taken_over > 0);
    SECTION("and it goes on") {
        calls.release();
        while (!server.stalled_reactors().empty()) std::this_thread::yield();
        const BlockingClient client = ClientsOnReactors{server, url}.connect(stuck);
        CHECK(reasons_logged >= 1);
        CHECK(server.statistics().reactor_stalls >= 1);
    }
    SECTION("and the server stops") { CHECK(server.stop(0ms).complete()); }
}
#endif

TEST_CASE("the memory limit holds while the reactor of the largest client has stalled", "[reactor_watch][threads]") {
    const auto blocker = std::make_shared<Blocker>();
    auto options = StalledServer::options(2, GENERATE(TransportKind::uring, TransportKind::asio));
    options.memory_limit = 64 * mib;
    Server server{options};
    server.handle(Echo{});
    server.handle("blocks", BlocksReactor{blocker});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    ClientsOnReactors clients{server, url};
    BlockingClient large = clients.connect(0), small = clients.connect(1), other = clients.connect(1);
    BlockingClient blocks = clients.connect(0, "blocks");
    send_part(large, 3 * mib);
    send_part(small, mib);
    send_part(other, mib);
    while (server.statistics().memory < 5 * mib - 3) std::this_thread::yield();
    server.reconfigure(options);  // the reactors look at what is held
    blocks.send("x");
    blocker->wait_until_blocked(1);
    while (server.stalled_reactors().empty()) std::this_thread::yield();
    CHECK(server.statistics().closed_for_memory == 0);
    options.memory_limit = 9 * mib / 2;
    server.reconfigure(options);
    const auto end = Clock::now() + 30s;
    while (server.statistics().closed_for_memory == 0 && Clock::now() < end) std::this_thread::yield();
    CHECK(server.statistics().closed_for_memory > 0);
    blocker->release();
}

TEST_CASE("clients are refused while the only reactor has stalled", "[reactor_watch][threads]") {
    StalledServer stalled{1, GENERATE(TransportKind::uring, TransportKind::asio)};
    BlockingClient early = stalled.connect();
    stalled.wait_until_stalled();
    for (int i = 0; i < 5; ++i) {
        const std::string head = stalled.connect().read_head();
        CHECK(head.starts_with("HTTP/1.1 503"));
        CHECK(head.find("Retry-After: ") != std::string::npos);
    }
    CHECK(early.read_head().starts_with("HTTP/1.1 503"));
    const std::string health = stalled.head_of("/healthz?from=lb");
    CHECK(health.starts_with("HTTP/1.1 200"));
    CHECK(health.find("Health: degraded") != std::string::npos);
    CHECK(stalled.head_of("/another").starts_with("HTTP/1.1 503"));
    CHECK(stalled.server.statistics().taken_over == 8);

    stalled.release();
    CHECK(stalled.connect().read_head().starts_with("HTTP/1.1 101"));
    CHECK(stalled.head_of("/healthz").find("Health: ok") != std::string::npos);
}

TEST_CASE("a server stops in time while its reactors have stalled", "[reactor_watch][threads]") {
    StalledServer stalled{1, TransportKind::asio};
    stalled.wait_until_stalled();
    BlockingClient refused = stalled.connect();
    CHECK(refused.read_head().starts_with("HTTP/1.1 503"));
    BlockingClient silent{stalled.url};  // the substitute waits for its request
    while (stalled.server.statistics().taken_over < 2) std::this_thread::yield();
    CHECK_FALSE(stalled.server.stop(0ms).complete());
    CHECK(silent.read_head().empty());
    stalled.blocker->release();
}
