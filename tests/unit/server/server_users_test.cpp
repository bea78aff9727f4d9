// Users of a server: reactors in memory, and threads with real sockets.
#include <algorithm>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

/// Says whose connection it is: at the start, and after it was told to be another user's.
template <Runs where>
struct Named {
    static constexpr Runs runs = where;
    void on_open(AnyConnection& connection) { connection.send("I am " + std::string{connection.user()}); }
    void on_message(AnyConnection& connection, const Text& message) {
        const SendStatus status = connection.set_user(message.text);
        connection.send(std::string{to_string(status)} + " " + std::string{connection.user()});
    }
    void on_close(AnyConnection& connection, const Close&) {
        connection.hub()->broadcast({}, "left " + std::string{connection.user()});
    }
};
using Inline = Named<Runs::inline_>;
using Pooled = Named<Runs::pooled>;

/// Clients on two reactors in memory, in turn.
struct Rig : MemoryServer {
    Rig() : MemoryServer(ConnectionOptions{}, 2) {
        for (const auto* name : {"", "chat"}) handle(name, Inline{});
    }
    ConnectionId open_one(std::string_view subprotocol = {}) {
        const auto before = ids();
        clients.push_back(open(subprotocol));
        CHECK(clients.back().read() == Strings{"text I am "});
        for (const ConnectionId id : ids()) {
            if (std::find(before.begin(), before.end(), id) == before.end()) return id;
        }
        return {};
    }
    std::vector<ConnectionId> ids() {
        std::vector<ConnectionId> all;
        for (std::size_t i = 0; i < 2; ++i) {
            for (const auto& info : reactor(i).list()) all.push_back(info.id);
        }
        return all;
    }
    std::size_t users() const { return shared.user_directory()->size(); }
    Strings read(std::size_t client) { return clients[client].read(); }

    std::vector<WireClient> clients;
};

/// A server on real sockets that asks for the user in the query.
struct Door {
    explicit Door(const ServerOptions& options = {}) : server(options) {
        server.handle(Inline{});
        server.handle("pooled", Pooled{});
        server.on_upgrade([](const UpgradeRequest& request) {
            Admission admission;
            admission.user = request.query("user").value_or("");
            return admission;
        });
        server.on_accept([this](const ConnectionStart& start) {
            const std::lock_guard lock(mutex);
            accepted.emplace_back(start.user);
        });
        server.on_log([this](LogLevel, std::string_view text) {
            const std::lock_guard lock(mutex);
            lines.emplace_back(text);
        });
        url = *server.listen("127.0.0.1:0");
        server.start();
    }
    BlockingClient ask(std::string_view user, std::string_view subprotocol = {}) const {
        BlockingClient client{url};
        const std::string field =
            subprotocol.empty() ? "" : "Sec-WebSocket-Protocol: " + std::string{subprotocol} + "\r\n";
        client.write(upgrade_request(field, "/?user=" + std::string{user}));
        client.response = client.read_head();
        return client;
    }

    std::mutex mutex;
    std::vector<std::string> accepted;
    std::vector<std::string> lines;
    Server server;
    std::string url;
};

ServerOptions one_connection_per_user() {
    ServerOptions options;
    options.io_threads = 2;
    options.per_user.connections = 1;
    return options;
}

}  // namespace

TEST_CASE("a program says at the upgrade whose connection it is", "[users][threads]") {
    Door f;
    auto first = f.ask("ann"), second = f.ask("ann", "pooled"), other = f.ask("bob"), none = f.ask("");
    for (BlockingClient* client : {&first, &second}) CHECK(client->next() == "text I am ann");
    CHECK(other.next() == "text I am bob");
    CHECK(none.next() == "text I am ");
    CHECK(f.server.statistics().users == 2);
    CHECK(f.server.hub()->send_to_user("ann", "for ann") == SendStatus::queued);
    CHECK(f.server.hub()->send_to_user("bob", "for bob") == SendStatus::queued);
    CHECK(f.server.hub()->send_to_user("no such user", "?") == SendStatus::queued);
    for (BlockingClient* client : {&first, &second}) CHECK(client->next() == "text for ann");
    CHECK(other.next() == "text for bob");
    std::vector<std::string> users;
    for (const ConnectionInfo& info : f.server.list()) users.push_back(info.user);
    std::sort(users.begin(), users.end());
    CHECK(users == Strings{"", "ann", "ann", "bob"});
    const std::lock_guard lock(f.mutex);
    CHECK(f.accepted == Strings{"ann", "ann", "bob", ""});
}

TEST_CASE("an id that is not one is a fault of the program", "[users][threads]") {
    Door f;
    CHECK(f.ask("%FF").response.starts_with("HTTP/1.1 500 "));
    CHECK(f.ask(std::string(255, 'a')).response.starts_with("HTTP/1.1 101 "));
    CHECK(f.ask(std::string(256, 'a')).response.starts_with("HTTP/1.1 500 "));
    const std::lock_guard lock(f.mutex);
    CHECK(std::ranges::count_if(f.lines, [](const std::string& line) {
              return line.ends_with("it gave a user id that is not 1 to 255 bytes of UTF-8");
          }) == 2);
}

TEST_CASE("a client says after the upgrade who it is", "[users][threads]") {
    Door f;
    for (const auto* subprotocol : {"", "pooled"}) {
        CAPTURE(subprotocol);
        auto client = f.ask("", subprotocol);
        CHECK(client.next() == "text I am ");
        client.send("ann");
        CHECK(client.next() == "text queued ann");
        client.send("ann");
        CHECK(client.next() == "text queued ann");
        client.send("bob");
        CHECK(client.next() == "text queued bob");
        f.server.hub()->send_to_user("ann", "for ann");
        f.server.hub()->send_to_user("bob", "for bob");
        CHECK(client.next() == "text for bob");
        client.send(std::string(256, 'a'));
        CHECK(client.next() == "text refused bob");
        client.send("");
        CHECK(client.next() == "text queued ");
        f.server.hub()->send_to_user("bob", "for bob");
        client.send("eve");
        CHECK(client.next() == "text queued eve");
        client.close(CloseCode::normal);
        CHECK(client.next() == "close 1000");
    }
}

TEST_CASE("a broadcast selects by user, room and exception", "[users]") {
    Rig server;
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 6; ++i) ids.push_back(server.open_one(i % 2 == 0 ? "chat" : ""));
    for (std::size_t i = 0; i < 5; ++i) CHECK(server.hub().set_user(ids[i], "ann") == SendStatus::queued);
    CHECK(server.hub().set_user(ids[5], "bob") == SendStatus::queued);
    for (const std::size_t i : {0U, 1U, 5U}) CHECK(server.hub().join(ids[i], "a") == SendStatus::queued);
    std::vector<std::size_t> counts;
    const auto tell = [&](std::size_t receivers) { counts.push_back(receivers); };
    server.hub().broadcast({.user = "ann"}, "1", tell);
    server.hub().broadcast({.room = "a", .user = "ann"}, "2", tell);
    server.hub().broadcast({.room = "a"}, "3", tell);
    server.hub().broadcast({.user = "ann", .subprotocol = "chat", .except = ids[0]}, "4", tell);
    server.hub().broadcast({}, "5", tell);
    server.run();
    std::sort(counts.begin(), counts.end());
    CHECK(counts == std::vector<std::size_t>{2, 2, 3, 5, 6});
    CHECK(server.read(0) == Strings{"text 1", "text 2", "text 3", "text 5"});
    CHECK(server.read(1) == Strings{"text 1", "text 2", "text 3", "text 5"});
    CHECK(server.read(2) == Strings{"text 1", "text 4", "text 5"});
    CHECK(server.read(3) == Strings{"text 1", "text 5"});
    CHECK(server.read(5) == Strings{"text 3", "text 5"});
    CHECK(server.users() == 2);
}

TEST_CASE("ended connections have no user", "[users]") {
    Rig server;
    const auto id = server.open_one();
    server.open_one();
    for (WireClient& client : server.clients) client.send("ann");
    server.run();
    CHECK(server.users() == 1);
    server.clients[0].wire().reset();
    server.run();
    CHECK(server.read(1) == Strings{"text queued ann", "text left ann"});
    CHECK(server.users() == 1);
    CHECK(server.hub().set_user(id, "eve") == SendStatus::closed);
    server.clients[1].close(CloseCode::normal);
    server.run();
    CHECK(server.users() == 0);
    CHECK(server.reactor(0).memberships().users.memberships() == 0);
}

TEST_CASE("a thread that makes a connection a user's reaches it by the user", "[users][threads]") {
    Door f;
    auto client = f.ask("");
    CHECK(client.next() == "text I am ");
    const auto id = f.server.list().at(0).id;
    for (int i = 0; i < 50; ++i) {
        const std::string user = "user " + std::to_string(i);
        CHECK(f.server.hub()->set_user(id, user) == SendStatus::queued);
        CHECK(f.server.hub()->send_to_user(user, user) == SendStatus::queued);
        CHECK(client.next() == "text " + user);
    }
    CHECK(f.server.hub()->set_user(id, "\xFF") == SendStatus::refused);
    CHECK(ConnectionHandle{f.server.hub(), id}.set_user("") == SendStatus::queued);
    while (f.server.statistics().users != 0) std::this_thread::yield();
}

TEST_CASE("a user has a limit of connections", "[users][threads]") {
    Door f{one_connection_per_user()};
    auto first = f.ask("ann");
    CHECK(first.next() == "text I am ann");
    CHECK(f.ask("ann").response.starts_with("HTTP/1.1 429 "));
    auto other = f.ask("bob");
    CHECK(other.next() == "text I am bob");
    other.send("ann");
    CHECK(other.next() == "text dropped bob");
    CHECK(f.ask("bob").response.starts_with("HTTP/1.1 429 "));
    CHECK(f.server.statistics().over_user_connections == 3);
    first.send("eve");
    CHECK(first.next() == "text queued eve");
    other.send("ann");
    CHECK(other.next() == "text queued ann");
    CHECK(f.ask("ann").response.starts_with("HTTP/1.1 429 "));
    auto back = f.ask("bob");
    CHECK(back.next() == "text I am bob");
    back.send("");
    CHECK(back.next() == "text queued ");
    CHECK(f.ask("bob").response.starts_with("HTTP/1.1 101 "));
}

TEST_CASE("limits of a user that were off meanwhile count who it is now", "[users][threads]") {
    Door f{one_connection_per_user()};
    const auto set = [&](const ServerOptions& options) {
        f.server.reconfigure(options);
        (void)f.server.list();  // the reactors have the new options
    };
    auto client = f.ask("ann");
    CHECK(client.next() == "text I am ann");
    ServerOptions off = one_connection_per_user();
    off.per_user = {};
    set(off);
    client.send("bob");
    CHECK(client.next() == "text queued bob");
    set(one_connection_per_user());
    CHECK(f.ask("bob").response.starts_with("HTTP/1.1 429 "));
    CHECK(f.ask("ann").response.starts_with("HTTP/1.1 101 "));
}

TEST_CASE("limits of a user that are set later count the connections that it has", "[users][threads]") {
    Door f;
    auto client = f.ask("ann");
    CHECK(client.next() == "text I am ann");
    f.server.reconfigure(one_connection_per_user());
    (void)f.server.list();  // the reactors have the new options
    CHECK(f.ask("ann").response.starts_with("HTTP/1.1 429 "));
}
