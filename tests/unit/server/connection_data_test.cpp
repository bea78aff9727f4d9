// What a connection owns for its handler, and the header fields that it keeps.
#include "wsserver/connection/connection_data.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/server.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using test::BlockingClient;
using test::Strings;
using test::upgrade_request;

namespace {

/// Counts the objects of a test that exist.
class Counted {
   public:
    explicit Counted(std::atomic<int>& count) noexcept : count_(&count) { ++*count_; }
    Counted(Counted&& other) noexcept : Counted(*other.count_) {}
    Counted& operator=(Counted&&) = delete;
    ~Counted() { --*count_; }

   private:
    std::atomic<int>* count_;
};

/// What the program knows about a client.
struct User {
    std::string name;
    Counted counted;
    int messages = 0;
};

/// Greets a user by the name that the upgrade gave, and counts the messages.
template <Runs where>
struct Greeter {
    using Data = User;
    static constexpr Runs runs = where;

    void on_open(AnyConnection& connection) { connection.send("hello " + connection.data<User>().name); }
    void on_message(AnyConnection& connection, const Text&) {
        connection.send(std::to_string(++connection.data<User>().messages));
    }
    void on_close(AnyConnection& connection, const Close&) { left->push_back(connection.data<User>().name); }

    Strings* left;
};

/// Gives each client a User; a client without a name gets none.
auto asks(std::atomic<int>& count) {
    return [&count](const UpgradeRequest& request) {
        const auto name = request.query("name");
        return name ? Admission::accept(User{*name, Counted{count}}) : Admission{};
    };
}

/// Made from its connection.
struct Place {
    explicit Place(AnyConnection& connection) : room(connection.parameter("room").value_or("none")) {
        if (room == "bad") throw std::runtime_error{"no such room"};
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    std::string room;
};
struct Rooms {
    using Data = Place;
    void on_open(AnyConnection& connection) { connection.send(connection.data<Place>().room); }
    void on_message(AnyConnection& connection, const Text&) { connection.send("never for a bad room"); }
    void on_close(AnyConnection& connection, const Close&) { closed->push_back(connection.data<Place>().room); }

    Strings* closed;
};

/// Uses its own data, and the pointer of the connection.
struct Both {
    using Data = int;
    void on_open(AnyConnection& connection) {
        connection.data<int>() = 7;
        connection.set_user_data(number);
    }
    void on_message(AnyConnection& connection, const Text&) {
        connection.send(std::to_string(connection.data<int>()) + (connection.user_data() == number ? " same" : ""));
    }
    void on_close(AnyConnection& connection, const Close&) { *number = connection.user_data() == number; }
    int* number;
};

/// Says the value of the header field that a message names.
template <Runs where>
struct Teller {
    static constexpr Runs runs = where;
    void on_message(AnyConnection& connection, const Text& name) {
        const auto value = connection.request_field(name.text);
        connection.send(value ? "is " + std::string{*value} : std::string{"none"});
    }
};

}  // namespace

TEST_CASE("data of a connection is found by its exact type", "[data]") {
    const auto data = ConnectionData::of(std::string{"text"});
    REQUIRE(data->get<std::string>() != nullptr);
    CHECK(*data->get<std::string>() == "text");
    CHECK(data->get<std::string_view>() == nullptr);
    CHECK(data->get<int>() == nullptr);
}

TEST_CASE("a handler has the data that the upgrade gave, until the connection has ended", "[data]") {
    std::atomic<int> count = 0;
    Strings left;
    {
        MemoryServer server{Greeter<Runs::inline_>{&left}};
        server.on_upgrade(asks(count));
        auto ann = server.connect("/?name=ann"), bob = server.connect("/?name=bob");
        CHECK(count == 2);
        for (const char* number : {"1", "2"}) {
            ann.send("x");
            if (number[0] == '1') ann.expect("text hello ann");
            ann.expect("text " + std::string{number});
        }
        bob.send("x");
        CHECK(bob.received() == Strings{"text hello bob", "text 1"});
        ann.close();
        CHECK(left == Strings{"ann"});
        CHECK(count == 1);
    }
    CHECK(left == Strings{"ann", "bob"});
    CHECK(count == 0);
}

TEST_CASE("a handler closes a connection to which the upgrade gave no data", "[data]") {
    std::atomic<int> count = 0;
    Strings left;
    MemoryServer server{Greeter<Runs::inline_>{&left}};
    server.on_upgrade(asks(count));
    auto client = server.connect("/");
    client.expect("close 1011");
    CHECK(left.empty());
    REQUIRE(server.ends().size() == 1);
    CHECK(server.ends()[0].cause == "the handler threw: on_upgrade() gave the connection no Data of its handler");
}

TEST_CASE("a client that is refused leaves no data", "[data]") {
    std::atomic<int> count = 0;
    Strings left;
    MemoryServer server{Greeter<Runs::inline_>{&left}};
    server.on_upgrade([&](const UpgradeRequest&) {
        Admission admission = Admission::accept(User{"?", Counted{count}});
        admission.refusal = HttpResponse{.status = 403};
        return admission;
    });
    CHECK(server.connect().response().status == 403);
    CHECK(count == 0);
}

TEST_CASE("a decision that comes later brings data, too", "[data]") {
    std::atomic<int> count = 0;
    Strings left;
    std::vector<UpgradeReply> replies;
    MemoryServer server{Greeter<Runs::inline_>{&left}};
    server.on_upgrade([&](const UpgradeRequest&, UpgradeReply reply) { replies.push_back(std::move(reply)); });
    auto client = server.connect(), gone = server.connect();
    CHECK(replies.at(0)(Admission::accept(User{"ann", Counted{count}})) == SendStatus::queued);
    server.run();
    client.expect("text hello ann");
    gone.disconnect();
    (void)replies.at(1)(Admission::accept(User{"bob", Counted{count}}));
    server.run();
    CHECK(count == 1);
    client.disconnect();
    CHECK(count == 0);
    CHECK(left == Strings{"ann"});
}

TEST_CASE("a handler's data may be made from the connection", "[data]") {
    Strings closed;
    MemoryServer server;
    server.handle_path("/rooms/{room}", Rooms{&closed});
    auto lobby = server.connect("/rooms/lobby");
    lobby.expect("text lobby");
    auto bad = server.connect("/rooms/bad");
    bad.send("x");
    bad.expect("close 1011");
    bad.expect_nothing();
    lobby.close();
    CHECK(closed == Strings{"lobby"});
    CHECK(server.ends().at(0).cause == "the handler threw: no such room");
}

TEST_CASE("data is kept in addition to the pointer of the program", "[data]") {
    RecordingConnection recording;
    CHECK(recording.find_data<int>() == nullptr);
    CHECK_THROWS_WITH(recording.data<int>(), "the connection has no data of this type");
    recording.set_data(5);
    CHECK(recording.data<int>() == 5);
    CHECK(recording.find_data<long>() == nullptr);

    int number = 0;
    MemoryServer server{Both{&number}};
    auto client = server.connect();
    client.send("x");
    client.expect("text 7 same");
    client.close();
    CHECK(number == 1);
}

TEST_CASE("a handler without data of its own uses what the upgrade gave", "[data]") {
    struct Plain {
        void on_open(AnyConnection& connection) { connection.send(connection.data<std::string>()); }
    };
    MemoryServer server{Plain{}};
    server.on_upgrade([](const UpgradeRequest&) { return Admission::accept(std::string{"given"}); });
    auto client = server.connect();
    client.expect("text given");
}

TEST_CASE("a pooled handler has its data on the workers, and it ends with the connection", "[data][threads]") {
    std::atomic<int> count = 0;
    Strings left;  // one connection at a time is closed
    {
        Server server;
        server.handle("pooled", Greeter<Runs::pooled>{&left});
        server.on_upgrade(asks(count), Runs::pooled);
        const std::string url = *server.listen("127.0.0.1:0");
        server.start();
        BlockingClient client{url};
        client.write(upgrade_request("Sec-WebSocket-Protocol: pooled\r\n", "/?name=ann"));
        client.response = client.read_head();
        CHECK(client.next() == "text hello ann");
        for (const char* answer : {"text 1", "text 2", "text 3"}) {
            client.send("x");
            CHECK(client.next() == answer);
        }
        CHECK(count == 1);
        CHECK(server.stop().complete());
        CHECK(count == 0);
    }
    CHECK(left == Strings{"ann"});
}

TEST_CASE("a connection keeps the header fields that were asked for", "[kept_fields][threads]") {
    ServerOptions options;
    options.kept_fields = {"cookie", "X-Twice", "X-Absent"};
    Server server{options};
    server.handle("inline", Teller<Runs::inline_>{});
    server.handle("pooled", Teller<Runs::pooled>{});
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();
    for (const std::string where : {"inline", "pooled"}) {
        BlockingClient client{url};
        client.write(upgrade_request("Cookie: sid=" + where +
                                     "\r\nX-Twice: first\r\nx-twice: second\r\nX-Other: 1\r\n" +
                                     "Sec-WebSocket-Protocol: " + where + "\r\n"));
        client.response = client.read_head();
        const auto ask = [&](std::string_view name) {
            client.send(name);
            return client.next();
        };
        CHECK(ask("Cookie") == "text is sid=" + where);
        CHECK(ask("X-TWICE") == "text is first");
        CHECK(ask("X-Absent") == "text none");
        CHECK(ask("X-Other") == "text none");
        CHECK(ask("Host") == "text none");
    }
    CHECK(server.stop().complete());
}
