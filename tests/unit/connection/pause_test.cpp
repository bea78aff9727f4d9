// Connections that a program does not read for a while.
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/connection/default_owner.hpp"
#include "wsserver/testing.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using wsserver::test::Recorder;
using wsserver::test::RecordingShared;
using wsserver::test::Strings;
using wsserver::test::WireClient;

namespace {

/// Pauses after each message.
struct OneByOne {
    Strings* events;
    void on_message(AnyConnection& connection, const Text& message) {
        events->push_back(std::string{message.text});
        connection.pause_receiving();
    }
    void on_ping(AnyConnection&, const Ping&) { events->push_back("ping"); }
    void on_close(AnyConnection&, const Close& close) {
        events->push_back("close " + std::to_string(static_cast<int>(close.code)));
    }
};

}  // namespace

TEST_CASE("a paused connection delivers nothing more, also of what was received before", "[pause]") {
    Strings events;
    test::MemoryServer server;
    server.handle("", OneByOne{&events});
    WireClient client = server.open();
    const ConnectionHandle handle{server.shared.any_hub, server.reactor().list().at(0).id};
    for (const char* text : {"one", "two", "three"}) client.send(text);
    client.ping("hi");
    server.run();
    CHECK(events == Strings{"one"});
    CHECK(handle.resume_receiving() == SendStatus::queued);
    server.run();
    CHECK(events == Strings{"one", "two"});
    CHECK(client.read().empty());  // the Ping waits, too
    CHECK(handle.resume_receiving() == SendStatus::queued);
    CHECK(handle.resume_receiving() == SendStatus::queued);
    server.run();
    CHECK(events == Strings{"one", "two", "three"});
    CHECK(handle.resume_receiving() == SendStatus::queued);
    server.run();
    CHECK(events == Strings{"one", "two", "three", "ping"});
    CHECK(client.read() == Strings{"pong hi"});
}

TEST_CASE("any thread pauses a connection by its handle", "[pause]") {
    Strings events;
    test::MemoryServer server;
    server.handle("", Recorder{&events});
    WireClient client = server.open();
    const ConnectionHandle handle{server.shared.any_hub, server.reactor().list().at(0).id};
    CHECK(handle.pause_receiving() == SendStatus::queued);
    server.run();
    client.send("hello");
    server.run();
    CHECK(events == Strings{"open /chat"});
    CHECK(handle.resume_receiving() == SendStatus::queued);
    server.run();
    CHECK(events.back() == "text hello");
    client.wire().reset();
    server.run();
    CHECK(handle.pause_receiving() == SendStatus::closed);
    CHECK(handle.resume_receiving() == SendStatus::closed);
    CHECK(ConnectionHandle{}.pause_receiving() == SendStatus::closed);
    CHECK(ConnectionHandle{}.resume_receiving() == SendStatus::closed);
}

TEST_CASE("a message that is cut by a pause is delivered whole", "[pause]") {
    Strings events;
    test::MemoryServer server;
    server.handle("", OneByOne{&events});
    WireClient client = server.open();
    const ConnectionHandle handle{server.shared.any_hub, server.reactor().list().at(0).id};
    const std::string large(1'000'000, 'x');
    client.send("first");
    client.send(large);
    client.send("last");
    server.run();
    CHECK(events == Strings{"first"});
    (void)handle.resume_receiving();
    server.run();
    CHECK(events == Strings{"first", large});
    (void)handle.resume_receiving();
    server.run();
    CHECK(events.back() == "last");
}

TEST_CASE("a paused peer is neither silent nor late", "[pause][rfc6455-5.5.2]") {
    ConnectionOptions options;
    options.ping_interval = 10s;
    options.pong_timeout = 5s;
    options.message_timeout = 3s;
    Strings events;
    test::MemoryServer server{options};
    server.handle("", OneByOne{&events});
    WireClient client = server.open();
    const ConnectionHandle handle{server.shared.any_hub, server.reactor().list().at(0).id};
    client.send("pause");
    const std::string half("\x01\x83\0\0\0\0one", 9);  // a message that has begun
    client.wire().write(half);
    server.run();
    server.advance(60s);
    CHECK(server.shared.ends.empty());
    CHECK(client.read().empty());
    (void)handle.resume_receiving();
    server.advance(2s);  // the message has its whole time again
    client.wire().write(std::string("\x80\x84\0\0\0\0 two", 10));
    server.run();
    CHECK(events == Strings{"pause", "one two"});
    (void)handle.resume_receiving();
    server.run();
    server.advance(20s);  // from now on, it is silent
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends.front().cause == "no answer to a ping in time");
}

TEST_CASE("closing ends a pause, so that the peer's Close frame is read", "[pause][rfc6455-7.1.2]") {
    Strings events;
    test::MemoryServer server;
    server.handle("", OneByOne{&events});
    WireClient client = server.open();
    const ConnectionHandle handle{server.shared.any_hub, server.reactor().list().at(0).id};
    client.send("one");
    client.send("two");
    server.run();
    CHECK(events == Strings{"one"});
    SECTION("by the handler") {
        CHECK(handle.close(CloseCode::normal, "bye") == SendStatus::queued);
        server.run();
        CHECK(client.read() == Strings{"close 1000 bye"});
        server.run();
        CHECK(events == Strings{"one", "two", "close 1000"});
        CHECK(server.shared.ends.size() == 0);  // it awaits the end of the stream
        client.wire().close();
    }
    SECTION("by the stop of the server") {
        server.reactor().stop(server.network.now() + 5s);
        server.run();
        CHECK(client.read() == Strings{"close 1001 the server stops"});
        server.run();
        CHECK(events == Strings{"one", "two", "close 1001"});
        client.wire().close();
    }
    SECTION("not the peer's Close frame, which waits") {
        client.close(CloseCode::going_away);
        server.run();
        CHECK(events == Strings{"one"});
        (void)handle.resume_receiving();
        server.run();
        (void)handle.resume_receiving();
        server.run();
        CHECK(events == Strings{"one", "two", "close 1001"});
        client.wire().close();
    }
    server.run();
    CHECK(server.shared.ends.size() == 1);
}

TEST_CASE("a connection may be paused in on_open(), before the frames in the same bytes", "[pause]") {
    struct Waits {
        Strings* events;
        void on_open(AnyConnection& connection) { connection.pause_receiving(); }
        void on_message(AnyConnection&, const Text& message) { events->push_back(std::string{message.text}); }
    };
    Strings events;
    test::MemoryServer server;
    server.handle("", Waits{&events});
    WireClient client = server.connect();
    client.wire().write(test::upgrade_request());
    client.send("early");
    server.run();
    CHECK(events.empty());
    const ConnectionHandle handle{server.shared.any_hub, server.reactor().list().at(0).id};
    (void)handle.resume_receiving();
    server.run();
    CHECK(events == Strings{"early"});
}

TEST_CASE("connections of ServerOn and ClientOn can be paused by handles", "[pause]") {
    Strings at_server, at_client;
    const Endpoint place{"server.example", 80, {}};
    MemoryNetwork network;
    ServerOn<MemoryTransport> server{network};
    server.handle(Recorder{&at_server});
    server.listen(std::move(network.open_listeners(place).front()));
    ClientOn<MemoryTransport> client{network};
    const auto id = client.connect(*network.connect(place), {.host = place.host}, Recorder{&at_client})->id();
    network.run_until_idle();
    const ConnectionHandle near{client.hub(), id}, far{server.hub(), server.list().at(0).id};
    CHECK(near.pause_receiving() == SendStatus::queued);
    CHECK(far.pause_receiving() == SendStatus::queued);
    network.run_until_idle();
    CHECK(near.send("to server") == SendStatus::queued);
    CHECK(far.send("to client") == SendStatus::queued);
    network.run_until_idle();
    CHECK(at_server.size() == 1);
    CHECK(at_client.size() == 1);
    CHECK(near.resume_receiving() == SendStatus::queued);
    CHECK(far.resume_receiving() == SendStatus::queued);
    network.run_until_idle();
    CHECK(at_server.back() == "text to server");
    CHECK(at_client.back() == "text to client");
    CHECK(near.queued() == 0);
}

TEST_CASE("a recording connection records pauses, and has the space that a test gives it", "[pause]") {
    RecordingConnection connection;
    connection.pause_receiving();
    connection.resume_receiving();
    connection.send_waiting("hi");
    CHECK(connection.calls == Strings{"pause", "resume", "text hi"});
    CHECK(connection.has_space());
    connection.with_space = false;
    connection.queued_bytes = 7;
    CHECK_FALSE(connection.has_space());
    CHECK(connection.queued() == 7);
    const auto handle = connection.handle();
    handle.pause_receiving();
    handle.resume_receiving();
    CHECK(connection.recording_hub().calls == Strings{"pause 0-1-1", "resume 0-1-1"});
}
