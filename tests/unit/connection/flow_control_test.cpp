// How a handler that has much to send keeps to what its peer takes.
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/connection/default_owner.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t piece_size = std::size_t{64} << 10;

/// Sends `left` pieces as long as there is space, and continues in on_drained(). Each begins with its number.
struct Sending {
    std::size_t left = 640;  // 40 MiB
    std::size_t most_queued = 0;
    int drained = 0;
    bool within = false;

    void go_on(AnyConnection& connection) {
        REQUIRE_FALSE(std::exchange(within, true));
        while (left > 0 && connection.has_space()) {
            std::string piece = std::to_string(left) + ' ';
            piece.resize(piece_size, 'x');
            REQUIRE(connection.send(piece) == SendStatus::queued);
            --left;
            most_queued = std::max(most_queued, connection.queued());
        }
        within = false;
    }
};

struct Sender {
    Sending* sending;
    void on_open(AnyConnection& connection) { sending->go_on(connection); }
    void on_drained(AnyConnection& connection) {
        ++sending->drained;
        sending->go_on(connection);
    }
};

/// Counts the pieces of a Sending and checks their order.
struct Pieces {
    std::size_t expected;
    std::size_t received = 0;
    void take(std::string_view text) {
        REQUIRE(text.size() == piece_size);
        REQUIRE(text.starts_with(std::to_string(expected - received) + ' '));
        ++received;
    }
};

ConnectionOptions with_high_mark(std::size_t bytes) {
    ConnectionOptions options;
    options.send_queue.high_mark = bytes;
    return options;
}

}  // namespace

TEST_CASE("40 MiB that continue in on_drained() arrive whole at a slow reader", "[flow_control]") {
    Sending sending;
    MemoryServer server;
    server.handle("", Sender{&sending});
    WireClient client = server.connect();
    client.wire().set_window(100'000);
    client.wire().write(upgrade_request());
    server.run();
    (void)client.read_response();
    CHECK(sending.left > 600);
    CHECK(sending.drained == 0);
    Pieces pieces{640};
    while (pieces.received < 640) {
        const std::size_t before = pieces.received;
        for (const std::string& event : client.read()) pieces.take(event.substr(5));
        server.run();
        if (pieces.received == before) REQUIRE_FALSE(client.wire().unread().empty());
    }
    CHECK(sending.left == 0);
    CHECK(sending.drained > 10);
    CHECK(sending.most_queued < (2 << 20));
    CHECK(server.reactor().list().at(0).queued == 0);
}

TEST_CASE("40 MiB that continue in on_drained() arrive whole at a fast reader, and others are served meanwhile",
          "[flow_control]") {
    Sending sending;
    MemoryServer server{with_high_mark(10'000)};
    server.handle("", Sender{&sending});
    server.handle("echo", Echo{});
    WireClient other = server.open("echo");
    WireClient client = server.connect();
    client.wire().write(upgrade_request());
    std::size_t left_at_reply = 0;
    other.send("hello");
    while (left_at_reply == 0 && server.transport().run_turns(1) > 0) {
        if (!other.wire().unread().empty()) left_at_reply = sending.left;
    }
    CHECK(left_at_reply > 600);
    server.run();
    (void)client.read_response();
    CHECK(client.read().size() == 640);
    CHECK(sending.drained > 1);
}

TEST_CASE("a client continues in on_drained(), too", "[flow_control]") {
    struct Receiver {
        Pieces* pieces;
        void on_message(AnyConnection&, const Text& message) { pieces->take(message.text); }
    };
    Sending sending;
    Pieces pieces{640};
    const Endpoint place{"server.example", 80, {}};
    MemoryNetwork network;
    ServerOn<MemoryTransport> server{network};
    server.transport().receive_window(100'000);
    server.handle(Receiver{&pieces});
    server.listen(std::move(network.open_listeners(place).front()));
    ClientOn<MemoryTransport> client{network};
    client.connect(*network.connect(place), {.host = place.host}, Sender{&sending});
    network.run_until_idle();
    CHECK(pieces.received == 640);
    CHECK(sending.drained > 10);
    CHECK(sending.most_queued < (2 << 20));
}

TEST_CASE("queued() counts what was sent in this turn and what waits", "[flow_control]") {
    std::vector<std::size_t> queued;
    struct Asks {
        std::vector<std::size_t>* queued;
        void on_message(AnyConnection& connection, const Text& message) {
            queued->push_back(connection.queued());
            connection.send(message);
            queued->push_back(connection.queued());
            connection.send(message);
            queued->push_back(connection.queued());
        }
    };
    MemoryServer server;
    server.handle("", Asks{&queued});
    WireClient client = server.open();
    const ConnectionId id = server.reactor().list().at(0).id;
    const ConnectionHandle handle{server.shared.any_hub, id};
    client.send(std::string(100, 'x'));
    server.run();
    CHECK(queued == std::vector<std::size_t>{0, 102, 204});
    CHECK(handle.queued() == 0);
    client.wire().set_window(0);
    client.send(std::string(100, 'x'));
    server.run();
    CHECK(handle.queued() == 1024);  // in steps
    client.send(std::string(100'000, 'x'));
    server.run();
    CHECK(queued.at(6) >= 204);
    CHECK(queued.at(8) >= 200'204);
    CHECK(server.reactor().list().at(0).queued == queued.at(8));
    CHECK(handle.queued() == (queued.at(8) + 1023) / 1024 * 1024);
    client.wire().set_window(1 << 20);
    server.run();
    (void)client.read();
    server.run();
    CHECK(handle.queued() == 0);
    client.wire().reset();
    server.run();
    CHECK(handle.queued() == 0);
    CHECK(ConnectionHandle{}.queued() == 0);
    CHECK(ConnectionHandle(server.shared.any_hub, ConnectionId{7, 1, 1}).queued() == 0);
}

TEST_CASE("on_drained() is called once for each time that the queue was over the mark", "[flow_control]") {
    int drained = 0;
    struct Counts {
        int* drained;
        void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
        void on_drained(AnyConnection&) { ++*drained; }
    };
    ConnectionOptions options = with_high_mark(10'000);
    options.ping_interval = 0ms;
    MemoryServer server{options};
    server.handle("", Counts{&drained});
    WireClient client = server.open();
    client.wire().set_window(0);
    SECTION("not if it was only near the mark") {
        client.send(std::string(9'000, 'x'));
        server.run();
        client.wire().set_window(1 << 20);
        server.run();
        CHECK(client.read().size() == 1);
        CHECK(drained == 0);
    }
    SECTION("at half of the mark, not before") {
        for (int i = 0; i < 12; ++i) {
            client.send(std::string(996, 'x'));
            server.run();
        }
        client.wire().set_window(4'000);
        server.run();
        CHECK(drained == 0);
        for (int i = 0; i < 12; ++i) {
            const bool is_low = server.reactor().list().at(0).queued <= 5'000 - 100;  // with its bookkeeping
            if (!is_low) CHECK(drained == 0);
            (void)client.wire().read(1'000);
            server.run();
        }
        CHECK(drained == 1);
    }
    SECTION("not while the connection closes") {
        client.send(std::string(20'000, 'x'));
        server.run();
        server.hub().close_all(CloseCode::normal, "bye");
        server.run();
        client.wire().set_window(1 << 20);
        server.run();
        CHECK(client.read() == Strings{"text " + std::string(20'000, 'x'), "close 1000 bye"});
        server.run();
        CHECK(drained == 0);
    }
}

TEST_CASE("a policy that empties the queue leads to on_drained(), too", "[flow_control]") {
    int drained = 0;
    struct Counts {
        int* drained;
        void on_message(AnyConnection& connection, const Text&) {
            while (connection.has_space()) connection.send(std::string(1'000, 'x'));
            connection.hub()->send(connection.id(), "the latest");  // drops all that wait
        }
        void on_drained(AnyConnection&) { ++*drained; }
    };
    ConnectionOptions options = with_high_mark(10'000);
    options.send_queue.policy = SlowConsumer::keep_latest;
    MemoryServer server{options};
    server.handle("", Counts{&drained});
    WireClient client = server.open();
    client.send("begin");
    server.run();
    while (!client.read().empty()) server.run();
    CHECK(server.reactor().counters().messages_dropped.read() > 5);
    CHECK(drained == 1);
}

TEST_CASE("an exception of on_drained() closes the connection with 1011", "[flow_control]") {
    struct Throws {
        void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
        void on_drained(AnyConnection&) { throw std::runtime_error{"drained"}; }
    };
    MemoryServer server{with_high_mark(1'000)};
    server.handle("", Throws{});
    WireClient client = server.open();
    client.wire().set_window(100);
    client.send(std::string(2'000, 'x'));
    server.run();
    client.wire().set_window(1 << 20);
    server.run();
    CHECK(client.read().back() == "close 1011 the handler failed");
    server.run();
    client.wire().close();
    server.run();
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends.front().cause == "the handler threw: drained");
}

TEST_CASE("without space after the end of a connection, a loop of has_space() ends", "[flow_control]") {
    bool had_room = true;
    struct Ends {
        bool* had_room;
        void on_message(AnyConnection& connection, const Text&) {
            connection.close();
            *had_room = connection.has_space();
        }
    };
    MemoryServer server;
    server.handle("", Ends{&had_room});
    WireClient client = server.open();
    client.send("end");
    server.run();
    CHECK_FALSE(had_room);
}

TEST_CASE("two ends that send much to each other do not wait for each other", "[flow_control]") {
    struct Both : Sender {
        Pieces* pieces;
        void on_message(AnyConnection&, const Text& message) { pieces->take(message.text); }
    };
    Sending from_server, from_client;
    Pieces at_server{640}, at_client{640};
    const Endpoint place{"server.example", 80, {}};
    MemoryNetwork network;
    ServerOn<MemoryTransport> server{network};
    ClientOn<MemoryTransport> client{network};
    server.transport().receive_window(100'000);
    client.transport().receive_window(100'000);
    server.handle(Both{{&from_server}, &at_server});
    server.listen(std::move(network.open_listeners(place).front()));
    client.connect(*network.connect(place), {.host = place.host}, Both{{&from_client}, &at_client});
    network.run_until_idle();
    CHECK(at_server.received == 640);
    CHECK(at_client.received == 640);
    CHECK(from_server.most_queued < (2 << 20));
    CHECK(from_client.most_queued < (2 << 20));
}
