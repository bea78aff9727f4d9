#include "wsserver/relay.hpp"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/strings.hpp"
#include "wsserver/client.hpp"
#include "wsserver/server.hpp"
#include "wsserver/transport/listener.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t piece_size = std::size_t{64} << 10;

std::string piece(std::size_t number) {
    std::string text = std::to_string(number) + ' ';
    text.resize(piece_size, 'x');
    return text;
}

/// An upstream server, a server that relays to it, and a client, on one loop.
struct Rig {
    boost::asio::io_context context{1};
    Strings upstream_events, events;
    std::optional<Server> upstream{std::in_place, context};
    std::optional<Server> server{std::in_place, context};
    std::optional<Client> client{};
    std::optional<ConnectionEnd> end{};
    std::string upstream_url = *upstream->listen("127.0.0.1:0");
    std::string url = *server->listen("127.0.0.1:0");
    std::size_t most_memory = 0;

    Rig() {
        upstream->start();
        server->start();
    }
    void connect(std::shared_ptr<AnyHandler> handler, ClientOptions options = {},
                 const std::string& target = "/room?a=b") {
        client.emplace(context, std::move(options));
        client->on_end([this](const ConnectionEnd& how, bool) { end = how; });
        client->connect(url + target, std::move(handler));
    }
    /// Runs the loop until `done`, for at most 60 s. Notes how much memory is in use.
    void run_until(const std::function<bool()>& done) {
        const auto patience = std::chrono::steady_clock::now() + 60s;
        while (!done() && std::chrono::steady_clock::now() < patience) {
            context.run_one_for(1s);
            most_memory = std::max(most_memory, bytes_in_use.load());
        }
        REQUIRE(done());
    }
    void run_until_end() {
        run_until([this] { return end.has_value(); });
    }
};

std::shared_ptr<AnyHandler> recorder(Strings& events) { return make_handler("recorder", Recorder{&events}); }

/// Takes one message in a turn of the loop, and sends it back if it echoes.
struct Slow {
    boost::asio::io_context* context;
    std::size_t* received;
    bool echoes = false;
    void on_message(AnyConnection& connection, const Text& message) {
        const bool right = message.text == piece(*received);
        ++*received;
        if (!right || (echoes && connection.send(message) != SendStatus::queued)) {
            return void(connection.close(CloseCode{4000}, "wrong"));
        }
        connection.pause_receiving();
        if (connection.has_space()) resume_later(connection.handle());
    }
    void on_drained(AnyConnection& connection) { resume_later(connection.handle()); }
    void resume_later(ConnectionHandle handle) const {
        boost::asio::post(*context, [handle] { handle.resume_receiving(); });
    }
};

/// Sends pieces, receives `to_receive` of them, and then closes.
struct Talker {
    std::size_t to_send;
    std::size_t to_receive;
    std::size_t* sent;
    std::size_t* received;
    void on_open(AnyConnection& connection) { on_drained(connection); }
    void on_drained(AnyConnection& connection) {
        while (*sent < to_send && connection.has_space()) connection.send(piece((*sent)++));
        if (*sent == to_send && to_receive == 0) connection.close(CloseCode::normal, "all sent");
    }
    void on_message(AnyConnection& connection, const Text& message) {
        if (message.text != piece((*received)++)) return void(connection.close(CloseCode{4000}, "wrong"));
        if (*received == to_receive) connection.close(CloseCode::normal, "all received");
    }
};

}  // namespace

TEST_CASE("a relay passes messages, target, subprotocol and close codes on", "[relay]") {
    struct Greets : Recorder {
        void on_open(AnyConnection& connection) {
            Recorder::on_open(connection);
            connection.send("welcome to " + std::string{connection.subprotocol()});
        }
        void on_message(AnyConnection& connection, const Text& message) {
            Recorder::on_message(connection, message);
            if (message.text == "end") return void(connection.close(CloseCode{4001}, "as you wish"));
            connection.send(message);
        }
        void on_message(AnyConnection& connection, const Binary& message) {
            Recorder::on_message(connection, message);
            connection.send(message);
        }
    };
    struct Says : Recorder {
        void on_open(AnyConnection& connection) {
            connection.send("hello");
            connection.send(std::vector<std::uint8_t>{1, 2});
        }
    };
    Rig rig;
    rig.upstream->handle("chat", Greets{{&rig.upstream_events}});
    rig.server->handle("chat", Relay{rig.context, rig.upstream_url});
    rig.connect(make_handler("says", Says{{&rig.events}}), {.subprotocols = {"chat"}});
    rig.run_until([&] { return rig.events.size() == 3; });
    CHECK(rig.events == Strings{"text welcome to chat", "text hello", "binary 01 02"});
    CHECK(rig.upstream_events == Strings{"open /room?a=b", "text hello", "binary 01 02"});
    SECTION("of the client") {
        rig.client->close(CloseCode{4002}, "enough");
        rig.run_until_end();
        rig.run_until([&] { return rig.upstream_events.size() == 4; });
        CHECK(rig.upstream_events.back() == "close 4002 enough");
    }
    SECTION("of the upstream server") {
        rig.client->send("end");
        rig.run_until_end();
        CHECK(rig.end->code == CloseCode{4001});
        CHECK(rig.end->reason == "as you wish");
    }
    SECTION("of a client that vanishes") {
        rig.client.reset();
        rig.run_until([&] { return rig.upstream_events.size() == 4; });
        CHECK(rig.upstream_events.back() == "close 1001 the client is gone");
    }
    SECTION("of an upstream server that vanishes") {
        rig.upstream.reset();
        rig.run_until_end();
        CHECK(rig.end->code == CloseCode::bad_gateway);
        CHECK(rig.end->reason == "the upstream server is gone");
    }
    SECTION("of a server that stops") {
        rig.server->request_stop(5s);
        rig.run_until_end();
        CHECK(rig.end->code == CloseCode::going_away);
        rig.run_until([&] { return rig.upstream_events.size() == 4; });
        CHECK(rig.upstream_events.back() == "close 1001");
    }
}

TEST_CASE("a relay closes with 1014 if the upstream server cannot be had", "[relay]") {
    Rig rig;
    SECTION("it refuses the connection") {
        std::string nowhere = "ws://127.0.0.1:1";
        rig.server->handle(Relay{rig.context, nowhere});
    }
    SECTION("it refuses the opening handshake") { rig.server->handle(Relay{rig.context, rig.upstream_url + "/x"}); }
    SECTION("it does not answer in time") {
        const auto silent = open_listeners({"127.0.0.1", 0, {}});
        REQUIRE(silent);
        rig.server->handle(
            Relay{rig.context, "ws://127.0.0.1:" + std::to_string(silent->endpoint.port), {.connect_timeout = 50ms}});
        rig.connect(recorder(rig.events));
        rig.run_until_end();
    }
    SECTION("it chooses another subprotocol") {
        rig.upstream->handle(Recorder{&rig.upstream_events});
        rig.server->handle("chat", Relay{rig.context, rig.upstream_url});
        rig.connect(recorder(rig.events), {.subprotocols = {"chat"}});
        rig.run_until_end();
    }
    if (!rig.client) rig.connect(recorder(rig.events));
    rig.run_until_end();
    CHECK(rig.end->code == CloseCode::bad_gateway);
}

TEST_CASE("a client waits for an upstream server that is slow to connect", "[relay]") {
    Rig rig;
    int asked = 0;
    std::optional<UpgradeReply> reply;
    rig.upstream->handle(Recorder{&rig.upstream_events});
    rig.upstream->on_upgrade([&](const UpgradeRequest&, UpgradeReply later) {
        ++asked;
        reply.emplace(std::move(later));
    });
    const auto relay_within = [&](std::chrono::milliseconds timeout) {
        ClientOptions options;
        options.connect_timeout = timeout;
        rig.server->handle(Relay{rig.context, rig.upstream_url, options});
    };
    struct Early : Recorder {
        void on_open(AnyConnection& connection) {
            for (std::size_t i = 0; i < 100; ++i) connection.send(piece(i));
        }
    };
    const auto early = make_handler("early", Early{{&rig.events}});
    SECTION("until it accepts") {
        relay_within(30s);
        rig.connect(early);
        rig.run_until([&] { return asked == 1; });
        for (int i = 0; i < 100; ++i) rig.context.poll_one();
        CHECK(rig.upstream_events.empty());
        (*reply)(Admission{});
        rig.run_until([&] { return rig.upstream_events.size() == 101; });
        for (std::size_t i = 0; i < 100; ++i) REQUIRE(rig.upstream_events[i + 1] == "text " + piece(i));
    }
    SECTION("or until the time to connect is over") {
        relay_within(100ms);
        rig.connect(early);
        rig.run_until([&] { return asked == 1; });
        rig.client->close();
        rig.run_until_end();
        rig.run_until([&] { return rig.server->statistics().open == 0; });
        rig.run_until([&] { return rig.upstream->statistics().open == 0; });
        CHECK(rig.upstream_events.empty());
    }
}

TEST_CASE("60 MiB to a slow upstream server need little memory", "[relay]") {
    constexpr std::size_t count = 960;
    std::size_t sent = 0, received = 0, at_upstream = 0;
    Rig rig;
    rig.upstream->handle(Slow{&rig.context, &at_upstream});
    rig.server->handle(Relay{rig.context, rig.upstream_url});
    const std::size_t before = bytes_in_use;
    rig.connect(make_handler("talker", Talker{count, 0, &sent, &received}));
    rig.run_until([&] { return at_upstream == count; });
    rig.run_until_end();
    CHECK(rig.end->code == CloseCode::normal);
    CHECK(rig.most_memory - before < (8 << 20));
    CHECK(rig.server->statistics().slow_consumers == 0);
}

TEST_CASE("60 MiB in both directions at once arrive whole through a relay", "[relay]") {
    constexpr std::size_t count = 960;
    std::size_t sent = 0, received = 0, at_upstream = 0;
    Rig rig;
    rig.upstream->handle(Slow{&rig.context, &at_upstream, true});
    rig.server->handle(Relay{rig.context, rig.upstream_url});
    const std::size_t before = bytes_in_use;
    rig.connect(make_handler("talker", Talker{count, count, &sent, &received}));
    rig.run_until_end();
    CHECK(rig.end->code == CloseCode::normal);
    CHECK(received == count);
    CHECK(rig.most_memory - before < (8 << 20));
}

TEST_CASE("a fast upstream server waits for a slow client", "[relay]") {
    constexpr std::size_t count = 960;
    std::size_t sent = 0, none = 0, received = 0;
    Rig rig;
    rig.upstream->handle(Talker{count, 0, &sent, &none});
    rig.server->handle(Relay{rig.context, rig.upstream_url});
    const std::size_t before = bytes_in_use;
    rig.connect(make_handler("slow", Slow{&rig.context, &received}));
    rig.run_until_end();
    CHECK(rig.end->code == CloseCode::normal);
    CHECK(rig.end->reason == "all sent");
    CHECK(received == count);
    CHECK(rig.most_memory - before < (8 << 20));
}

TEST_CASE("a relay may end with connections, and a URL that cannot be chosen closes them", "[relay]") {
    Rig rig;
    rig.upstream->handle(Recorder{&rig.upstream_events});
    SECTION("the server is destroyed") {
        rig.server->handle(Relay{rig.context, rig.upstream_url});
        rig.connect(recorder(rig.events));
        rig.run_until([&] { return rig.upstream_events.size() == 1; });
        rig.server.reset();
        rig.run_until_end();
        CHECK(rig.end->code == CloseCode::abnormal);
        rig.run_until([&] { return rig.upstream_events.size() == 2; });
        CHECK(rig.upstream_events.back().starts_with("close 1006"));
    }
    SECTION("the handler is removed") {
        rig.server->handle("chat", Relay{rig.context, [&](const AnyConnection&) { return rig.upstream_url; }});
        rig.upstream->handle("chat", Recorder{&rig.upstream_events});
        rig.connect(recorder(rig.events), {.subprotocols = {"chat"}});
        rig.run_until([&] { return rig.upstream_events.size() == 1; });
        rig.server->remove_handler("chat");
        rig.run_until_end();
        rig.run_until([&] { return rig.upstream_events.size() == 2; });
    }
    SECTION("a URL that cannot be chosen") {
        rig.server->handle(
            Relay{rig.context, [](const AnyConnection&) -> std::string { throw std::runtime_error{"no server"}; }});
        rig.connect(recorder(rig.events));
        rig.run_until_end();
        CHECK(rig.end->code == CloseCode::internal_error);
    }
}
