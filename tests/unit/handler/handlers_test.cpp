#include "wsserver/handler/handlers.hpp"

#include <string>
#include <thread>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/server.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

std::string error_of(std::string_view what, std::string_view subprotocol = "chat") {
    const auto handler = make_handler_of(what, subprotocol);
    REQUIRE_FALSE(handler);
    return handler.error();
}

}  // namespace

TEST_CASE("echo sends each message back", "[handlers]") {
    const auto echo = make_echo();
    RecordingConnection connection;
    echo->on_open(connection);
    echo->on_message(connection, Text{"hi"});
    echo->on_message(connection, Binary{bytes_of("\x01\x02")});
    echo->on_ping(connection, Ping{});
    echo->on_close(connection, Close{});
    CHECK(connection.calls == Strings{"text hi", "binary 01 02"});
    CHECK(echo->name() == "echo");
    CHECK(echo->runs() == Runs::inline_);
}

TEST_CASE("broadcast reaches all other connections of the subprotocol", "[handlers]") {
    const auto chat = make_broadcast("lobby");
    const auto hub = std::make_shared<RecordingHub>();
    RecordingConnection connection{hub, {1, 2, 3}, "chat"}, without{hub, {1, 2, 4}};
    chat->on_message(connection, Text{"hi"});
    chat->on_message(without, Binary{bytes_of("\x01")});
    CHECK(hub->calls == Strings{"broadcast chat except 1-2-3 text hi", "broadcast  except 1-2-4 binary 01"});
    CHECK(connection.calls.empty());
    CHECK(without.calls.empty());
    CHECK(chat->name() == "lobby");
}

TEST_CASE("a fast sender closes no receiver of its broadcasts, on each transport", "[handlers][threads]") {
    ServerOptions options;
    options.io_threads = 2;
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    const bool one_is_deaf = GENERATE(false, true);
    options.connection.close_timeout = std::chrono::seconds{one_is_deaf ? 3 : 60};
    Server server{options};
    server.handle("chat", make_broadcast());
    const std::string url = *server.listen("127.0.0.1:0");
    server.start();

    constexpr int messages = 6, receivers = 4;
    const std::string large(std::size_t{4} << 20, 'm');
    std::vector<BlockingClient> clients;
    for (int i = 0; i < receivers; ++i) clients.emplace_back(url, "chat");
    BlockingClient deaf{url, one_is_deaf ? "chat" : "other"};
    BlockingClient sender{url, "chat"};
    std::vector<int> received(receivers, 0);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < receivers; ++i) {
        threads.emplace_back([&, i] {
            while (received[i] < messages && clients[i].next() == "text " + large) ++received[i];
        });
    }
    for (int i = 0; i < messages; ++i) sender.send(large);
    for (std::thread& thread : threads) thread.join();
    CHECK(received == std::vector<int>(receivers, messages));
    CHECK(server.statistics().slow_consumers == (one_is_deaf ? 1U : 0U));
    CHECK(server.statistics().publish_pauses > 0);
}

TEST_CASE("null ignores all messages", "[handlers]") {
    const auto null = make_null();
    RecordingConnection connection;
    null->on_open(connection);
    null->on_message(connection, Text{"hi"});
    null->on_message(connection, Binary{});
    CHECK(connection.calls.empty());
    CHECK_FALSE(null->on_command({}, {}).ok);
}

TEST_CASE("an operator names a handler", "[handlers]") {
    for (const char* what : {"echo", "broadcast", "null"}) {
        const auto handler = make_handler_of(what, "chat");
        REQUIRE(handler);
        CHECK((*handler)->name() == what);
    }
}

TEST_CASE("the error for an unknown name lists the handlers", "[handlers]") {
    CHECK(error_of("ehco") ==
          "no handler 'ehco' for the subprotocol chat; did you mean echo? (use echo, broadcast, null or a path: "
          "of a shared object, such as ./rooms.so, or of a program)");
    CHECK(error_of("", "").starts_with("no handler ''"));
    CHECK(error_of(".so").starts_with("no handler '.so'"));
    CHECK(error_of("a\nb").find('\n') == std::string::npos);
    CHECK(error_of("something else").find("did you mean") == std::string::npos);
}

TEST_CASE("a name with a slash or .so is a path", "[handlers]") {
    for (const char* path : {"./none", "/none/at/all.so", "none.so", "x/"}) {
        CAPTURE(path);
        CHECK(error_of(path).find(path) != std::string::npos);
        CHECK(error_of(path).find("use echo") == std::string::npos);
    }
}
