#include "wsserver/control/server_control.hpp"

#include <cstring>
#include <future>
#include <set>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsserver/client.hpp"
#include "wsserver/control/observer.hpp"
#include "wsserver/handler/handler_trial.hpp"
#include "wsserver/handler/handlers.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

std::string output_of(ControlTarget& target, std::string_view line) {
    const auto answer = execute_line(target, line);
    CAPTURE(line, answer.text);
    REQUIRE_FALSE(answer.error);
    return answer.text;
}

struct WordCounter {
    CommandAnswer on_command(std::span<const std::string> words, Bytes) {
        return {true, std::to_string(words.size()) + " words"};
    }
};

/// A server and a client with the subprotocol `chat`. The client's loop runs only in until().
struct House {
    Server server{[] {
        ServerOptions options;
        options.io_threads = 1;
        return options;
    }()};
    ServerControl control{server, {"house", "1.2", std::chrono::seconds{1}}};
    std::string url;
    boost::asio::io_context context;
    Client client{context, [] {
                      ClientOptions options;
                      options.subprotocols = {"chat"};
                      return options;
                  }()};
    std::vector<std::string> heard{};
    bool open = false;
    std::optional<CloseCode> closed{};

    struct Listener {
        House* house;
        void on_open(AnyConnection&) { house->open = true; }
        void on_message(AnyConnection&, const Text& message) { house->heard.emplace_back(message.text); }
    };

    House() {
        server.handle("", make_echo());
        server.handle("chat", make_broadcast());
        server.handle("count", WordCounter{});
        server.handle_http("GET", "/page", [](const RoutedRequest&) { return HttpResponse{}; });
        const auto listening = server.listen("127.0.0.1:0");
        if (!listening) FAIL(listening.error());
        url = *listening;
        server.start();
        client.on_end([this](const ConnectionEnd& end, bool) { closed = end.code; });
    }
    /// Runs the client until `done` returns true. Fails after a minute.
    template <class Done>
    void until(Done done) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::minutes{1};
        while (!done()) {
            REQUIRE(std::chrono::steady_clock::now() < end);
            context.restart();
            context.run_one_for(std::chrono::seconds{1});
        }
    }
    void connect() {
        client.connect(url, Listener{this});
        until([this] { return open; });
    }
};

}  // namespace

TEST_CASE("a call of a handler hangs when its caller no longer waits", "[server_control]") {
    using Kind = ForeignCalls::Kind;
    const auto hangs = [](Kind kind, std::chrono::milliseconds since) { return report_of({kind, "x", since}).overdue; };
    CHECK_FALSE(hangs(Kind::load, handler_load_deadline));
    CHECK(hangs(Kind::load, handler_load_deadline + std::chrono::milliseconds{1}));
    for (const Kind kind : {Kind::command, Kind::end}) {
        CHECK_FALSE(hangs(kind, handler_end_deadline));
        CHECK(hangs(kind, handler_end_deadline + std::chrono::milliseconds{1}));
    }
    CHECK(HandlerTrial{}.deadline < handler_load_deadline);  // the error of a trial that hangs is more precise
    CHECK(report_of({Kind::load, "create() of x", std::chrono::seconds{3}}).call == "create() of x");
}

TEST_CASE("status, list and handler list report on the server", "[server_control]") {
    House house;
    house.connect();
    const auto connections = house.control.list();
    REQUIRE(connections.size() == 1);
    const auto id = to_string(connections[0].id);
    CHECK(has(output_of(house.control, "list"), id));
    CHECK(has(output_of(house.control, "show " + id), "subprotocol   chat\n"));
    const auto status = output_of(house.control, "status");
    CHECK(status.starts_with("house 1.2, process " + std::to_string(::getpid()) + ", up "));
    CHECK(has(status, "listening    " + house.url + '\n'));
    CHECK(has(status, "connections  1\n"));
    const auto report = house.control.status();
    REQUIRE(report.handlers.size() == 3);
    CHECK(report.handlers[0].subprotocol.empty());
    CHECK(report.handlers[0].connections == 0);
    CHECK(report.handlers[1].subprotocol == "chat");
    CHECK(report.handlers[1].connections == 1);
    CHECK(output_of(house.control, "version") == "house 1.2\n");
}

// All members of ServerStatistics but the maps at its end are numbers of 8 bytes. Each gets a value of its own, also
// one that is added later.
TEST_CASE("status has each number of the statistics once", "[server_control]") {
    ServerStatistics statistics;
    auto* const begin = reinterpret_cast<unsigned char*>(&statistics);
    const auto* const end = reinterpret_cast<unsigned char*>(&statistics.closes);
    std::multiset<std::uint64_t> wanted;
    for (auto* place = begin; place != end; place += sizeof(std::uint64_t)) {
        const std::uint64_t value = 1000 + wanted.size();
        std::memcpy(place, &value, sizeof value);
        wanted.insert(value);
    }
    REQUIRE(wanted.contains(statistics.users));
    REQUIRE(wanted.contains(statistics.bytes_out));

    std::multiset<std::uint64_t> shown{
        statistics.open,  statistics.memory,      statistics.memory_limit, statistics.paused_for_memory,
        statistics.rooms, statistics.memberships, statistics.users};  // members of StatusReport
    std::set<std::string> names;
    for (const auto& [name, value] : counters_of(statistics)) {
        shown.insert(value);
        names.insert(name);
    }
    CHECK(shown == wanted);
    CHECK(names.size() == wanted.size() - 7);
    CHECK(names.contains("http_unrouted"));
}

TEST_CASE("status counts plain HTTP requests, users and rooms", "[server_control]") {
    House house;
    house.connect();
    const auto id = house.control.list().at(0).id;
    CHECK(house.server.hub()->join(id, "lobby") == SendStatus::queued);
    CHECK(house.server.hub()->set_user(id, "ann") == SendStatus::queued);
    BlockingClient plain{house.url};
    for (const auto& [path, status] : {std::pair{"/page", "200 OK"}, std::pair{"/elsewhere", "404 Not Found"}}) {
        plain.write(std::string{"GET "} + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
        const std::string head = plain.read_head();
        CHECK(has(head, status));
        const auto length = head.find("Content-Length: ") + 16;
        (void)plain.read_bytes(std::stoul(head.substr(length)));
    }
    (void)house.control.list();  // after what the hub was asked
    const auto status = output_of(house.control, "status");
    CHECK(has(status, "users        1\n"));
    CHECK(has(status, "rooms        1, 1 memberships\n"));
    CHECK(has(status, "http answered"));
    CHECK(has(status, "http unrouted"));
}

TEST_CASE("commands reach the connections of a server", "[server_control]") {
    House house;
    house.connect();
    const auto id = to_string(house.control.list().at(0).id);
    CHECK(output_of(house.control, "broadcast hello") == "1 receiver\n");
    CHECK(output_of(house.control, "broadcast --subprotocol other hello") == "0 receivers\n");
    CHECK(output_of(house.control, "send " + id + " you") == "queued\n");
    house.until([&] { return house.heard.size() == 2; });
    CHECK(house.heard == std::vector<std::string>{"hello", "you"});
    CHECK(output_of(house.control, "ping --all") == "1 ping\n");
    CHECK(output_of(house.control, "close " + id + " --code 4001") == "queued\n");
    house.until([&] { return house.closed.has_value(); });
    CHECK(static_cast<int>(*house.closed) == 4001);
    // The server forgets the connection when its own side has ended, too.
    while (!house.control.list().empty()) std::this_thread::yield();
    const auto gone = execute_line(house.control, "send " + id + " you");
    REQUIRE(gone.error);
    CHECK(*gone.error == CommandErrc::gone);
}

TEST_CASE("commands load and unload handlers", "[server_control]") {
    House house;
    house.connect();
    CHECK(output_of(house.control, "call count a b") == "2 words\n");
    CHECK(house.control.find_handler("broadcast") == house.control.find_handler("chat"));
    CHECK(house.control.find_handler("unknown") == nullptr);
    output_of(house.control, "handler load chat null");
    CHECK(house.control.find_handler("chat")->name() == "null");
    // The previous handler keeps its connection.
    CHECK(house.control.handlers().at(1).subprotocol == "chat");
    CHECK(house.control.handlers().at(1).connections == 0);
    output_of(house.control, "handler load default broadcast");
    CHECK(house.control.find_handler("")->name() == "broadcast");
    const auto missing = execute_line(house.control, "handler load chat /no/such.so");
    REQUIRE(missing.error);
    CHECK(has(missing.text, "/no/such.so"));
    CHECK(house.control.find_handler("chat")->name() == "null");
    output_of(house.control, "handler unload chat");
    CHECK(house.control.find_handler("chat") == nullptr);
}

TEST_CASE("a server has no log level and no configuration", "[server_control]") {
    House house;
    for (const char* line : {"reload", "log-level debug"}) {
        const auto answer = execute_line(house.control, line);
        REQUIRE(answer.error);
        CHECK(has(answer.text, "house has no "));
    }
}

TEST_CASE("undrain takes a drain back", "[server_control]") {
    House house;
    CHECK(output_of(house.control, "undrain") == "the server does not drain\n");
    output_of(house.control, "drain");
    CHECK(output_of(house.control, "undrain") == "new connections are accepted again\n");
    CHECK_FALSE(house.control.status().draining);
    CHECK(has(output_of(house.control, "status"), "listening    " + house.url + '\n'));
    house.connect();
}

TEST_CASE("a server that cannot listen again drains on", "[server_control]") {
    House house;
    output_of(house.control, "drain");
    Server other;
    REQUIRE(other.listen(house.url.substr(std::string_view{"ws://"}.size())));
    const auto answer = execute_line(house.control, "undrain");
    REQUIRE(answer.error);
    CHECK(*answer.error == CommandErrc::failed);
    CHECK(has(answer.text, "another program listens there"));
    CHECK(house.control.status().draining);
}

TEST_CASE("commands drain and stop a server", "[server_control]") {
    House house;
    house.connect();
    output_of(house.control, "drain");
    const auto status = output_of(house.control, "status");
    CHECK(has(status, ", draining\n"));
    CHECK(has(status, "listening    on nothing\n"));
    CHECK(has(status, "connections  1\n"));
    auto stopped = std::async(std::launch::async, [&] { house.server.run(); });
    output_of(house.control, "stop");
    house.until([&] { return house.closed.has_value(); });
    CHECK(*house.closed == CloseCode::going_away);
    stopped.get();
}

TEST_CASE("a server that is stopping reports that it drains", "[server_control]") {
    House house;
    house.connect();
    CHECK_FALSE(house.control.status().draining);
    CHECK(house.control.stop());
    CHECK(house.control.status().draining);
    CHECK_FALSE(house.control.undrain());
    CHECK(house.control.status().draining);
}

TEST_CASE("an observer works with a server in any program", "[server_control]") {
    House house;
    house.connect();
    TemporaryFolder folder;
    ObserverOptions options;
    options.spool.path = folder / "spool";
    auto observer = Observer::create(house.control, options);
    REQUIRE(observer);
    (*observer)->start();
    write_to(folder / "spool/tmp/a", "broadcast\nfrom a file");
    std::filesystem::rename(folder / "spool/tmp/a", folder / "spool/new/a");
    house.until([&] { return !house.heard.empty(); });
    CHECK(house.heard == std::vector<std::string>{"from a file"});
}
