// Each allocation of a scenario fails in turn. The thread goes on, others are served, and each connection ends once.
#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "support/allocations.hpp"
#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/connection/handler_chooser.hpp"
#include "wsserver/connection/http/routes.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/pooled_handler.hpp"
#include "wsserver/transport/uring_available.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// How often on_open() and on_close() were called.
struct Calls {
    struct Pair {
        int opens = 0, closes = 0;
    };
    void opened(ConnectionId id) {
        const AllocationsSucceed records;
        const std::lock_guard lock(mutex);
        ++of[id].opens;
    }
    void closed(ConnectionId id) {
        const AllocationsSucceed records;
        const std::lock_guard lock(mutex);
        ++of[id].closes;
    }
    /// True if each on_open() was followed by exactly one on_close().
    bool match() {
        const std::lock_guard lock(mutex);
        return std::all_of(of.begin(), of.end(),
                           [](const auto& one) { return one.second.opens == 1 && one.second.closes == 1; });
    }

    std::mutex mutex;
    std::map<ConnectionId, Pair> of;
};

struct Echo {
    Calls* calls;
    void on_open(AnyConnection& connection) { calls->opened(connection.id()); }
    void on_message(AnyConnection& connection, Text message) {
        if (message.text.starts_with("join ")) return void(connection.join(message.text.substr(5)));
        if (message.text.starts_with("leave ")) return void(connection.leave(message.text.substr(6)));
        if (message.text.starts_with("room ")) {
            return void(connection.hub()->broadcast({.room = std::string{message.text.substr(5)}}, message));
        }
        if (message.text.starts_with("user ")) return void(connection.set_user(message.text.substr(5)));
        if (message.text.starts_with("to ")) {
            return void(connection.hub()->send_to_user(message.text.substr(3), message));
        }
        if (message.text == "throw") throw std::runtime_error("thrown");
        if (message.text == "much") {
            connection.set_user_data(reinterpret_cast<void*>(std::uintptr_t{8}));
            return on_drained(connection);
        }
        if (message.text == "pause") {
            connection.pause_receiving();
            if (connection.handle().resume_receiving() != SendStatus::queued) connection.close();
            return;
        }
        if (message.text.starts_with("all ")) return void(connection.hub()->broadcast({}, std::move(message)));
        connection.send(std::move(message));
    }
    void on_drained(AnyConnection& connection) {
        for (auto left = reinterpret_cast<std::uintptr_t>(connection.user_data()); left > 0; --left) {
            if (!connection.has_space()) return;
            connection.set_user_data(reinterpret_cast<void*>(left - 1));
            connection.send(std::string(300'000, 'x'));
        }
    }
    void on_close(AnyConnection& connection, const Close&) { calls->closed(connection.id()); }
};

struct QuietWorker final : Worker {
    void failed(TaskName, std::exception_ptr) noexcept override {}
};

/// A reactor in memory, with an inline handler and a pooled one, whose worker is a thread that runs to its end in each
/// step. Allocations may fail within settle() only.
class Rig final : public ReactorShared {
   public:
    explicit Rig(const ReactorOptions& options = {}) : reactors_(*this, *server_hub_, options, network, place) {}
    /// From now on, it has routes for plain requests.
    void add_routes() {
        const auto echo = [](const RoutedRequest& request) {
            return HttpResponse{.body = std::string{request.body()}};
        };
        routes_.add("POST", "/echo/{name}", std::make_shared<const HttpRoutes::Answer>(echo), {});
        const auto later = [this](const RoutedRequest&, HttpReply reply) { replies.push_back(std::move(reply)); };
        routes_.add("GET", "/later", HttpRoutes::AnswerLater{later}, {});
        const auto upload = [this](const RoutedRequest&, HttpUpload body, HttpReply reply) {
            (void)body.read([](HttpPiece&&) {});
            replies.push_back(std::move(reply));
        };
        routes_.add("PUT", "/upload", HttpRoutes::AnswerUpload{upload}, {});
    }
    ~Rig() {
        replies.clear();
        while (queue_.try_pop()) {
        }
    }

    // ReactorShared
    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub_; }
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override {
        Acceptance acceptance{echo_, {}};
        acceptance.kept = {{"Cookie", std::string(100, 'c')}};
        acceptance.data = ConnectionData::of(std::string(100, 'd'));
        if (offer.subprotocols.empty()) return acceptance;
        acceptance.subprotocol = "pool";
        acceptance.handler = make_pooled(acceptance, connection, offer.request.target, server_hub_, ready_);
        return acceptance;
    }
    std::optional<HttpResponse> answer(const HttpRequest&) override {
        return HttpResponse{.status = 200, .body = "up"};
    }
    const HttpRoutes* http_routes() const noexcept override { return routes_.empty() ? nullptr : &routes_; }
    void on_ended(const ConnectionEnd& end) override {
        const AllocationsSucceed records;
        ended.push_back(end.info.id);
    }
    StreamAdmission admit() noexcept override {
        ++admitted;
        return StreamAdmission::welcome;
    }
    void released() noexcept override { --admitted; }
    void on_stopped(std::uint16_t) override { ++stopped; }

    Reactor<MemoryTransport>& reactor() noexcept { return reactors_[0]; }
    WireClient connect() { return WireClient{network.wire(place)}; }
    WireClient open(std::string_view subprotocol = {}) {
        WireClient client = connect();
        client.wire().write(
            upgrade_request(subprotocol.empty() ? "" : "Sec-WebSocket-Protocol: " + std::string{subprotocol} + "\r\n"));
        settle();
        (void)client.read_response();
        return client;
    }

    /// Runs the reactor and the worker until they have nothing left to do.
    void settle() {
        do {
            const AllocationsMayFail within;
            network.advance(100ms);
        } while (run_worker() > 0);
    }

    const Endpoint place{"server", 80, {}};
    MemoryNetwork network;
    Calls calls;
    std::vector<ConnectionId> ended;
    int admitted = 0;
    int stopped = 0;
    std::vector<HttpReply> replies;

   private:
    std::size_t run_worker() {
        std::size_t count = 0;
        if (queue_.size() == 0) return count;
        std::thread{[&] {
            QuietWorker worker;
            const AllocationsMayFail within;
            while (TaskPtr task = queue_.try_pop()) {
                Task& current = *task;
                if (TaskPtr again = current.run(std::move(task), worker)) queue_.push(std::move(again));
                ++count;
            }
        }}.join();
        return count;
    }

    std::shared_ptr<ServerHub> server_hub_ = std::make_shared<ServerHub>(std::size_t{64} << 10);
    std::shared_ptr<Hub> any_hub_ = server_hub_;
    HttpRoutes routes_{server_hub_, std::make_shared<ChooserServer>()};
    std::shared_ptr<AnyHandler> echo_ = make_handler("echo", Echo{&calls});
    PriorityTaskQueue queue_;
    MemoryAccount memory_;
    ReadyMailboxes ready_{queue_, memory_, [this] { reactor().post([this] { ready_.push(); }); }};
    MemoryReactors reactors_;
};

using Scenario = std::function<void(Rig&)>;

const auto& scenarios() {
    static const std::map<std::string, Scenario> all{
        {"accept", [](Rig& rig) { rig.connect(), rig.settle(); }},
        {"opening handshake", [](Rig& rig) { rig.open(); }},
        {"opening handshake in parts",
         [](Rig& rig) {
             WireClient client = rig.connect();
             const std::string request = upgrade_request("X-Long: " + std::string(2000, 'x') + "\r\n");
             client.wire().write(request.substr(0, 100));
             rig.settle();
             client.wire().write(request.substr(100));
             rig.settle();
         }},
        {"plain HTTP",
         [](Rig& rig) {
             WireClient client = rig.connect();
             client.wire().write("GET / HTTP/1.1\r\nHost: server.example.com\r\n\r\n");
             rig.settle();
         }},
        {"routes for plain HTTP",
         [](Rig& rig) {
             rig.add_routes();
             WireClient client = rig.connect();
             for (const auto size : std::initializer_list<std::size_t>{5, 300, 70'000}) {
                 client.wire().write("POST /echo/a HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) +
                                     "\r\n\r\n" + std::string(size, 'x') + "GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
                 rig.settle();
             }
             client.wire().write("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx");
             rig.settle();
         }},
        {"answers that come later",
         [](Rig& rig) {
             rig.add_routes();
             WireClient client = rig.connect(), streaming = rig.connect(), uploading = rig.connect();
             const std::string later = "GET /later HTTP/1.1\r\nHost: h\r\n\r\n";
             client.wire().write(later + later);
             rig.settle();
             if (!rig.replies.empty()) (void)rig.replies.back()({.body = std::string(100, 'x')});
             rig.settle();
             streaming.wire().write(later);
             rig.settle();
             if (!rig.replies.empty()) {
                 HttpStream stream = rig.replies.back().stream({});
                 (void)stream.write(std::string(40'000, 'x'));
                 rig.settle();
                 (void)stream.end();
             }
             uploading.wire().write("PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
             rig.settle();
             client.wire().reset();
             rig.replies.clear();
             rig.settle();
         }},
        {"echo",
         [](Rig& rig) {
             WireClient client = rig.open();
             for (const auto size : std::initializer_list<std::size_t>{5, 300, 70'000}) {
                 client.send(std::string(size, 'x'));
                 rig.settle();
                 (void)client.read();
             }
         }},
        {"a peer that does not read",
         [](Rig& rig) {
             WireClient client = rig.open();
             client.wire().set_window(1000);
             for (const auto size : std::initializer_list<std::size_t>{500, 5'000, 50'000, 10})
                 client.send(std::string(size, 'x'));
             client.ping("hi");
             rig.settle();
             client.wire().set_window(1'000'000);
             rig.settle();
             (void)client.read();
             client.send("more");
             rig.settle();
         }},
        {"fragments in pieces",
         [](Rig& rig) {
             WireClient client = rig.open();
             std::string frames("\x01\x83\0\0\0\0one\x80\x84\0\0\0\0 two", 19);
             for (const char byte : frames) {
                 client.wire().write({&byte, 1});
                 rig.settle();
             }
             std::string large("\x02\xff\0\0\0\0\0\x02\0\0\0\0\0\0", 14);
             client.wire().write(large);
             for (int part = 0; part < 2; ++part) {
                 client.wire().write(std::string(65'536, 'x'));
                 rig.settle();
             }
         }},
        {"more than a turn takes",
         [](Rig& rig) {
             WireClient client = rig.open();
             for (int i = 0; i < 2000; ++i) client.send("x");
             rig.settle();
             rig.settle();
         }},
        {"broadcast to 20",
         [](Rig& rig) {
             std::vector<WireClient> clients;
             for (int i = 0; i < 20; ++i) clients.push_back(rig.open());
             clients.front().wire().set_window(10);
             clients.front().send("all short");
             clients.front().send("all " + std::string(500, 'x'));
             rig.settle();
             clients.back().send("all again");
             rig.settle();
         }},
        {"broadcast of a long message",
         [](Rig& rig) {
             std::vector<WireClient> clients;
             for (int i = 0; i < 3; ++i) clients.push_back(rig.open());
             clients.front().wire().set_window(10);
             clients.front().send("all " + std::string(70'000, 'x'));
             rig.settle();
             clients[1].wire().reset();
             rig.settle();
         }},
        {"rooms",
         [](Rig& rig) {
             std::vector<WireClient> clients;
             for (int i = 0; i < 4; ++i) clients.push_back(rig.open(i == 3 ? "pool" : ""));
             for (WireClient& client : clients) {
                 client.send("join a"), client.send("join a room with a longer name");
                 rig.settle();
             }
             clients.front().wire().set_window(10);
             clients.front().send("room a"), clients.back().send("room a room with a longer name");
             clients[1].send("leave a");
             rig.settle();
             clients[2].wire().reset();
             rig.settle();
             clients.back().send("room a");
             rig.settle();
         }},
        {"users",
         [](Rig& rig) {
             std::vector<WireClient> clients;
             for (int i = 0; i < 3; ++i) clients.push_back(rig.open(i == 2 ? "pool" : ""));
             for (WireClient& client : clients) {
                 client.send("user ann"), client.send("user a user with a longer name");
                 rig.settle();
             }
             clients[1].send("user ");
             clients.front().send("to a user with a longer name"), clients.back().send("to ann");
             rig.settle();
             clients.front().wire().reset();
             rig.settle();
             clients.back().send("to a user with a longer name");
             rig.settle();
         }},
        {"pooled",
         [](Rig& rig) {
             WireClient client = rig.open("pool");
             for (const auto size : std::initializer_list<std::size_t>{5, 3000}) {
                 client.send(std::string(size, 'x'));
                 rig.settle();
                 (void)client.read();
             }
             client.send("all to all");
             client.close(CloseCode::normal, "bye");
             rig.settle();
         }},
        {"a pooled handler that throws",
         [](Rig& rig) {
             WireClient client = rig.open("pool");
             client.send("throw");
             rig.settle();
             CHECK((!client.read().empty() || client.wire().at_end()));
             client.wire().close();
             rig.settle();
         }},
        {"a pooled mailbox that is full",
         [](Rig& rig) {
             WireClient client = rig.open("pool");
             for (int i = 0; i < 1500; ++i) client.send("x");
             rig.settle();
             rig.settle();
         }},
        {"much to send",
         [](Rig& rig) {
             WireClient inline_one = rig.open(), pooled = rig.open("pool");
             for (WireClient* client : {&inline_one, &pooled}) {
                 client->wire().set_window(500'000);
                 client->send("much");
             }
             for (int i = 0; i < 12; ++i) {
                 rig.settle();
                 (void)inline_one.read(), (void)pooled.read();
             }
         }},
        {"pauses",
         [](Rig& rig) {
             WireClient inline_one = rig.open(), pooled = rig.open("pool");
             for (WireClient* client : {&inline_one, &pooled}) client->send("pause"), client->send("hello");
             rig.settle();
             (void)inline_one.read(), (void)pooled.read();
         }},
        {"closing handshakes",
         [](Rig& rig) {
             WireClient client = rig.open(), server = rig.open();
             client.close(CloseCode::normal, "bye");
             server.send("throw");
             rig.settle();
             (void)client.read(), (void)server.read();
             rig.settle();
         }},
        {"the peer goes away",
         [](Rig& rig) {
             WireClient client = rig.open(), pooled = rig.open("pool");
             client.wire().reset(), pooled.wire().close();
             rig.settle();
         }},
        {"silence",
         [](Rig& rig) {
             WireClient client = rig.open();
             const AllocationsMayFail within;
             rig.network.advance(60s);
         }},
        {"stop",
         [](Rig& rig) {
             std::vector<WireClient> clients;
             for (int i = 0; i < 3; ++i) clients.push_back(rig.open(i == 2 ? "pool" : ""));
             {
                 const AllocationsMayFail within;
                 rig.reactor().stop(rig.network.now() + 1s);
                 rig.network.advance(10ms);
             }
             (void)clients.front().read();
             {
                 const AllocationsMayFail within;
                 rig.network.advance(2s);
             }
             rig.settle();
         }},
    };
    return all;
}

/// What went wrong in a run; empty: nothing.
struct Outcome {
    bool failed_one = false;  ///< an allocation has failed
    std::string fault{};
};

std::string fault_of(Rig& rig, WireClient& bystander, bool bystander_lives) {
    AllocationFailures::none();
    if (rig.stopped == 0) {
        if (bystander_lives) {
            bystander.send("still here");
            rig.settle();
            const Strings heard = bystander.read();
            if (heard.empty() || heard.back() != "text still here") return "another connection is not served";
        }
        WireClient next = rig.open();
        next.send("new");
        rig.settle();
        if (next.read() != Strings{"text new"}) return "a new connection is not served";
    }
    bystander.wire().close();
    rig.settle();
    rig.network.advance(60s);
    rig.settle();
    const Memberships& memberships = rig.reactor().memberships();
    if (memberships.rooms.memberships() != 0) return "an ended connection is in a room";
    if (memberships.users.memberships() != 0) return "an ended connection has a user";
    if (rig.room_directory()->size() != 0) return "a room without members is in the directory";
    if (rig.user_directory()->size() != 0) return "a user without connections is in the directory";
    if (rig.admitted != 0) return std::to_string(rig.admitted) + " connections were not released";
    if (!rig.calls.match()) return "on_open() and on_close() do not match";
    auto ids = rig.ended;
    std::sort(ids.begin(), ids.end());
    if (std::unique(ids.begin(), ids.end()) != ids.end()) return "an end was reported twice";
    for (const auto& [id, calls] : rig.calls.of) {
        if (!std::binary_search(ids.begin(), ids.end(), id)) return "an end was not reported";
    }
    return {};
}

/// Runs a scenario on a thread of its own, whose kept buffers are freed at its end. The allocations from the `first`
/// on, `count` in a row, fail.
Outcome run(const Scenario& scenario, bool bystander_lives, std::size_t first, std::size_t count) {
    Outcome outcome;
    const std::size_t before = bytes_in_use;
    std::thread{[&] {
        Rig rig;
        WireClient bystander = rig.open();
        AllocationFailures::from(first, count);
        scenario(rig);
        outcome.failed_one = AllocationFailures::happened() > 0;
        outcome.fault = fault_of(rig, bystander, bystander_lives);
    }}.join();
    if (outcome.fault.empty() && bytes_in_use != before)
        outcome.fault = std::to_string(bytes_in_use - before) + " bytes leak";
    return outcome;
}

}  // namespace

TEST_CASE("each allocation in turn may fail, or several in a row", "[out_of_memory]") {
    const auto in_a_row = GENERATE(std::size_t{1}, std::size_t{3}, std::size_t{50});
    for (const auto& [name, scenario] : scenarios()) {
        // In the others it takes part.
        const bool bystander_lives = !name.starts_with("broadcast") && name != "pooled" && name != "silence";
        CAPTURE(name, in_a_row);
        (void)run(scenario, bystander_lives, 0, 0);  // stores the names of tasks, which are kept
        REQUIRE(run(scenario, bystander_lives, 0, 0).fault == "");
        std::size_t first = 1;
        for (Outcome outcome{true}; outcome.failed_one; ++first) {
            outcome = run(scenario, bystander_lives, first, in_a_row);
            CAPTURE(first);
            REQUIRE(outcome.fault == "");
        }
        CHECK(first > 2);
    }
}

// --- On sockets ---

namespace {

struct PooledEcho : Echo {
    static constexpr Runs runs = Runs::pooled;
};

/// Waits for an event or for the end of the connection.
void wait_for(BlockingClient& client, const std::string& wanted) {
    for (std::string event; event != wanted && event != "end" && !event.starts_with("close");) event = client.next();
}

/// A client that talks until its connection ends.
void talk(const std::string& url, std::string_view subprotocol) {
    try {
        BlockingClient client(url, subprotocol);
        if (!client.response.starts_with("HTTP/1.1 101")) return;
        for (const auto size : std::initializer_list<std::size_t>{5, 300, 70'000}) {
            const std::string text(size, 'x');
            client.send(text);
            wait_for(client, "text " + text);
        }
        client.send("all to all");
        client.send("last");
        wait_for(client, "text last");
        client.close(CloseCode::normal);
        wait_for(client, "end");
    } catch (const std::runtime_error& ended) {
        REQUIRE(std::string{ended.what()}.find("seconds") == std::string::npos);
    }
}

std::vector<TransportKind> transports() {
#if WSSERVER_URING
    return {TransportKind::asio, TransportKind::uring};
#else
    return {TransportKind::asio};
#endif
}

}  // namespace

TEST_CASE("each of the first allocations of a server's threads may fail", "[out_of_memory]") {
    const AllocationsSucceed here;
    AllocationFailures::on_all_threads(true);
    for (const TransportKind transport : transports()) {
        for (std::size_t first = 1; first <= 200; ++first) {
            CAPTURE(static_cast<int>(transport), first);
            Calls calls;
            ServerOptions options;
            options.io_threads = 1;
            options.workers = 1;
            options.transport = transport;
            Server server{options};
            server.handle(Echo{&calls});
            server.handle("pool", PooledEcho{{&calls}});
            const auto url = server.listen("127.0.0.1:0");
            REQUIRE(url);
            server.start();
            talk(*url, "pool");  // starts the worker
            AllocationFailures::from(first, first % 3 + 1);
            talk(*url, "");
            talk(*url, "pool");
            if (first % 2 == 0) AllocationFailures::none();
            if (first % 2 == 0) {
                BlockingClient next(*url, "");
                next.send("new");
                REQUIRE(next.next() == "text new");
            }
            const StopReport report = server.stop(5s);
            AllocationFailures::none();
            CHECK(report.handlers.empty());
            CHECK(report.connections.empty());
            CHECK(calls.match());
        }
    }
    AllocationFailures::on_all_threads(false);
}
