#include <atomic>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// Answers the name of a parameter with its own name and the value.
template <Runs where>
struct Says {
    static constexpr Runs runs = where;
    std::string name;

    void on_open(AnyConnection& connection) { answer(connection, "room"); }
    void on_message(AnyConnection& connection, const Text& message) { answer(connection, message.text); }
    void answer(AnyConnection& connection, std::string_view parameter) const {
        connection.send(Text{name + ": " + connection.parameter(parameter).value_or("nothing")});
    }
};

/// A started server without handlers.
struct PathServer {
    explicit PathServer(TransportKind transport = TransportKind::automatic) : server(options(transport)) {
        const auto bound = server.listen("127.0.0.1:0");
        if (!bound) throw std::runtime_error(bound.error());
        url = *bound;
        server.start();
    }
    static ServerOptions options(TransportKind transport) {
        ServerOptions chosen;
        chosen.io_threads = 2;
        chosen.workers = 2;
        chosen.transport = transport;
        return chosen;
    }
    /// Connects, with the response as `response`. `fields` are more fields of the request.
    BlockingClient open(std::string_view target, std::string_view subprotocols = {}) const {
        BlockingClient client{url};
        client.write(upgrade_request(
            subprotocols.empty() ? "" : "Sec-WebSocket-Protocol: " + std::string{subprotocols} + "\r\n", target));
        client.response = client.read_head();
        return client;
    }
    /// The status of the response to an opening handshake.
    std::string status(std::string_view target, std::string_view subprotocols = {}) const {
        return open(target, subprotocols).response.substr(9, 3);
    }

    Server server;
    std::string url;
};

template <Runs where>
void serve_rooms(Server& server) {
    server.handle_path("/chat/{room}", Says<where>{"chat"});
    server.handle_path("/chat/lobby", Says<where>{"lobby"});
    server.handle_path("/files/{path...}", "v1", Says<where>{"files"});
}

}  // namespace

TEST_CASE("the path selects the handler, which reads the parameters", "[server][paths]") {
    PathServer running{GENERATE(TransportKind::asio, TransportKind::automatic)};
    const bool pooled = GENERATE(false, true);
    CAPTURE(pooled);
    pooled ? serve_rooms<Runs::pooled>(running.server) : serve_rooms<Runs::inline_>(running.server);

    auto chat = running.open("/chat/caf%C3%A9?room=6");
    CHECK(chat.next() == "text chat: caf\xC3\xA9");
    chat.send("room");
    CHECK(chat.next() == "text chat: caf\xC3\xA9");
    chat.send("path");
    CHECK(chat.next() == "text chat: nothing");

    CHECK(running.open("/chat/lobby").next() == "text lobby: nothing");
    CHECK(running.open("http://localhost/chat/5").next() == "text chat: 5");
    auto files = running.open("/files/a/b%2F..", "v1");
    CHECK(files.response.find("Sec-WebSocket-Protocol: v1\r\n") != std::string::npos);
    CHECK(files.next() == "text files: nothing");
    files.send("path");
    CHECK(files.next() == "text files: a/b/..");
}

TEST_CASE("a path that no handler serves is refused with 404", "[server][paths]") {
    PathServer running;
    running.server.handle_path("/chat/{room}", Echo{});
    auto client = running.open("/char/5?token=secret");
    CHECK(client.response.starts_with("HTTP/1.1 404 Not Found\r\n"));
    CHECK(client.read_rest() == "no handler serves this path: the client asked for /char/5\n");
    for (const auto* target :
         {"/", "/chat", "/chat/", "/chat/5/", "/chat/%", "/chat/%FF", "/x/../chat/5", "//chat/5"}) {
        CAPTURE(target);
        CHECK(running.status(target) == "404");
    }
    running.server.handle("v1", Echo{});
    CHECK(running.status("/", "v1") == "101");
    CHECK(running.status("/") == "400");
    client.hang_up();
    (void)running.server.stop(10s);  // the ends of all connections are counted
    const auto counts = running.server.statistics();
    CHECK(counts.refused == 10);
    CHECK(counts.refusals == std::map<unsigned, std::uint64_t>{{400, 1}, {404, 9}});
}

TEST_CASE("a route decides alone about the subprotocol", "[server][paths]") {
    PathServer running;
    running.server.handle(Says<Runs::inline_>{"all"});
    running.server.handle("v2", Echo{});
    running.server.handle_path("/chat", "v1", Says<Runs::inline_>{"chat"});
    auto refused = running.open("/chat", "v2");
    CHECK(refused.response.starts_with("HTTP/1.1 400"));
    CHECK(refused.read_rest() ==
          "none of the offered subprotocols is supported: the client asked for v2; the path /chat has v1\n");
    CHECK(running.status("/chat") == "400");
    CHECK(running.open("/chat", "v2, v1").next() == "text chat: nothing");
    CHECK(running.open("/other").next() == "text all: nothing");
}

TEST_CASE("removing a route closes its connections only", "[server][paths]") {
    PathServer running;
    const auto shared =
        GENERATE(make_handler("one", Says<Runs::inline_>{"x"}), make_handler("one", Says<Runs::pooled>{"x"}));
    running.server.handle(shared);
    running.server.handle_path("/a/{room}", "", shared);
    running.server.handle_path("/a/{room}", "v1", shared);
    running.server.handle_path("/b/{room}", "", shared);
    auto all = running.open("/"), a = running.open("/a/1"), a_v1 = running.open("/a/1", "v1"), b = running.open("/b/1");
    for (auto* client : {&a, &a_v1, &b}) CHECK(client->next() == "text x: 1");
    CHECK(all.next() == "text x: nothing");

    CHECK_FALSE(running.server.remove_path("/c"));
    CHECK_FALSE(running.server.remove_path_handler("/a/{room}", "v2"));
    CHECK_FALSE(running.server.remove_path_handler("/c", ""));
    CHECK_FALSE(running.server.remove_path("no pattern"));
    CHECK(running.server.remove_path_handler("/a/{room}", "v1"));
    CHECK_FALSE(running.server.remove_path_handler("/a/{room}", "v1"));
    CHECK(a_v1.next() == "close 1001 the handler was removed");
    a.send("room");
    CHECK(a.next() == "text x: 1");

    CHECK(running.server.remove_path("/a/{room}", CloseCode::service_restart));
    CHECK_FALSE(running.server.remove_path("/a/{room}"));
    CHECK(a.next() == "close 1012 the handler was removed");
    CHECK(running.open("/a/1").next() == "text x: nothing");  // of the handler for all paths

    CHECK(running.server.remove_handler(""));
    CHECK(all.next() == "close 1001 the handler was removed");
    b.send("room");
    CHECK(b.next() == "text x: 1");
    CHECK(running.status("/a/1") == "404");
    CHECK(running.status("/b/1") == "101");
}

TEST_CASE("a new handler of a route serves new connections, and open ones keep the old one", "[server][paths]") {
    PathServer running;
    running.server.handle_path("/{room}", Says<Runs::inline_>{"old"});
    auto old = running.open("/1");
    CHECK(old.next() == "text old: 1");
    running.server.handle_path("/{room}", Says<Runs::inline_>{"new"});
    CHECK(running.open("/2").next() == "text new: 2");
    old.send("room");
    CHECK(old.next() == "text old: 1");
}

TEST_CASE("routes lists the patterns in the order in which they are tried", "[server][paths]") {
    Server server{PathServer::options(TransportKind::automatic)};
    server.handle(Echo{});
    server.handle_path("/{path...}", Echo{});
    server.handle_path("/chat/{room}", "v1", Echo{});
    server.handle_path("/chat/{room}", Echo{});
    server.handle_path("/chat/lobby", "", make_handler("lobby", Echo{}));
    std::vector<std::string> lines;
    for (const auto& route : server.routes()) {
        lines.push_back(route.pattern + "|" + route.subprotocol + "|" + std::string{route.handler->name()});
    }
    CHECK(lines == std::vector<std::string>{"/chat/lobby||lobby", "/chat/{room}||/chat/{room}",
                                            "/chat/{room}|v1|/chat/{room} v1", "/{path...}||/{path...}"});
    CHECK(server.handlers().size() == 1);
    CHECK_THROWS_AS(server.handle_path("chat", Echo{}), std::invalid_argument);
    CHECK_THROWS_AS(server.handle_path("/chat/{r}", Echo{}), std::invalid_argument);
    CHECK(server.routes().size() == 4);
}

TEST_CASE("a handler of a route may use the server in its destructor", "[server][paths]") {
    struct Leaving {
        Leaving(const Server& its_server, std::size_t& its_left) : server(its_server), left(its_left) {}
        Leaving(const Leaving&) = delete;
        ~Leaving() { left = server.routes().size(); }
        void on_open(AnyConnection&) {}
        const Server& server;
        std::size_t& left;
    };
    std::size_t left = 99;
    Server server{PathServer::options(TransportKind::automatic)};
    const auto leaving = [&] { return make_handler_in_place<Leaving>("leaving", server, left); };
    server.handle_path("/a", "", leaving());
    server.handle_path("/a", Echo{});
    CHECK(left == 1);
    CHECK_THROWS_AS(server.handle_path("/{", "", leaving()), std::invalid_argument);
    server.handle_path("/{x}", Echo{});
    CHECK_THROWS_AS(server.handle_path("/{y}", "", leaving()), std::invalid_argument);
    CHECK(left == 2);
}

TEST_CASE("routes are set and removed while clients connect", "[server][paths][threads]") {
    PathServer running;
    std::atomic<bool> done{false};
    std::string wrong;
    std::thread clients{[&] {
        try {
            for (int i = 0; i < 100; ++i) {
                auto client = running.open("/chat/5", i % 2 == 0 ? "" : "v1");
                const auto status = client.response.substr(9, 3);
                if (status == "404" || status == "400") continue;
                const auto event = status == "101" ? client.next() : status;
                if (event != "text chat: 5" && event != "close 1001 the handler was removed") wrong = event;
            }
        } catch (const std::exception& failure) {
            wrong = failure.what();
        }
        done = true;
    }};
    while (!done) {
        running.server.handle_path("/chat/{room}", Says<Runs::inline_>{"chat"});
        running.server.handle_path("/chat/{room}", "v1", Says<Runs::pooled>{"chat"});
        (void)running.server.routes();
        running.server.remove_path("/chat/{room}");
    }
    clients.join();
    CHECK(wrong.empty());
}
