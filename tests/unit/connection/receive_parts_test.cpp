// Handlers that take messages in pieces, as they arrive.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/frames.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/connection/default_owner.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// A frame of a client whose masking key is zero. `first` is the first byte.
std::string frame(unsigned char first, std::string_view payload) {
    std::string bytes{static_cast<char>(first), static_cast<char>(0x80 | payload.size())};
    return bytes.append(4, '\0').append(payload);
}

constexpr unsigned char first_text = 0x01;
constexpr unsigned char more = 0x00;
constexpr unsigned char last = 0x80;

/// Records parts and the other reactions as to_string() writes them.
struct PartRecorder {
    Strings* events;
    bool pauses = false;
    std::string_view throws_at{};  ///< at a part that ends in this

    void on_part(AnyConnection& connection, const Part& part) {
        events->push_back(to_string(Event{part}));
        if (pauses) connection.pause_receiving();
        if (!throws_at.empty() && events->back().ends_with(throws_at)) throw std::runtime_error{"thrown"};
    }
    void on_ping(AnyConnection&, const Ping& ping) { events->push_back(to_string(Event{ping})); }
    void on_close(AnyConnection&, const Close& close) { events->push_back(to_string(Event{close})); }
};

/// Counts what arrives, and notes the most memory that its connections hold meanwhile.
struct PartCounter {
    struct Counts {
        std::uint64_t bytes = 0;
        std::size_t messages = 0;
        std::size_t most_held = 0;
        const MemoryAccount* memory = nullptr;
    };
    Counts* counts;
    void on_part(AnyConnection&, const Part& part) {
        counts->bytes += part.bytes.size();
        counts->messages += part.last ? 1 : 0;
        if (counts->memory != nullptr) counts->most_held = std::max(counts->most_held, counts->memory->read());
    }
};

}  // namespace

TEST_CASE("a handler gets the pieces of a message as they arrive", "[receive_parts][rfc6455-5.4]") {
    Strings events;
    MemoryServer server;
    server.handle("", PartRecorder{&events});
    WireClient client = server.open();
    client.wire().write(frame(first_text, "Hel"));
    server.run();
    CHECK(events == Strings{"part first Hel"});
    CHECK(server.reactor().list().at(0).messages_in == 0);
    client.ping("between");
    client.wire().write(frame(last, "lo!").substr(0, 7));
    server.run();
    client.wire().write("o!" + frame(0x82, "x"));
    server.run();
    CHECK(events == Strings{"part first Hel", "ping between", "part l", "part last o!", "part first and last x"});
    CHECK(server.reactor().list().at(0).messages_in == 2);
    CHECK(client.read() == Strings{"pong between"});
}

TEST_CASE("a client's handler gets the pieces, too", "[receive_parts]") {
    struct Talker {
        void on_open(AnyConnection& connection) { connection.send(std::string(100'000, 'x')); }
    };
    const Endpoint place{"server.example", 80, {}};
    MemoryNetwork network;
    ServerOn<MemoryTransport> server{network};
    server.handle(Talker{});
    server.listen(std::move(network.open_listeners(place).front()));
    ClientOn<MemoryTransport> client{network};
    PartCounter::Counts counts;
    client.connect(*network.connect(place), {.host = place.host}, PartCounter{&counts});
    network.run_until_idle();
    CHECK(counts.bytes == 100'000);
    CHECK(counts.messages == 1);
}

TEST_CASE("256 MiB in one message need no memory of the connection", "[receive_parts]") {
    constexpr std::size_t size = std::size_t{256} << 20;
    ConnectionOptions options;
    options.max_message = size;
    MemoryServer server{options};
    PartCounter::Counts counts;
    counts.memory = &server.reactor().memory();
    server.handle("", PartCounter{&counts});
    WireClient client = server.open();
    std::string header{"\x82\xFF", 2};
    for (int shift = 56; shift >= 0; shift -= 8) header += static_cast<char>((size >> shift) & 0xFF);
    client.wire().write(header.append(4, '\0'));
    const std::string chunk(std::size_t{1} << 20, 'x');
    for (std::size_t sent = 0; sent < size; sent += chunk.size()) {
        client.wire().write(chunk);
        server.run();
    }
    CHECK(counts.bytes == size);
    CHECK(counts.messages == 1);
    CHECK(counts.most_held == 0);
    CHECK(server.reactor().list().at(0).state == "open");
}

TEST_CASE("receiving pauses between two pieces", "[receive_parts]") {
    Strings events;
    MemoryServer server;
    server.handle("", PartRecorder{&events, true});
    WireClient client = server.open();
    const ConnectionHandle handle{server.shared.any_hub, server.reactor().list().at(0).id};
    client.wire().write(frame(first_text, "one") + frame(more, "two") + frame(last, "three"));
    server.run();
    CHECK(events == Strings{"part first one"});
    (void)handle.resume_receiving();
    server.run();
    CHECK(events.size() == 2);
    (void)handle.resume_receiving();
    server.run();
    CHECK(events == Strings{"part first one", "part two", "part last three"});
}

TEST_CASE("nothing of a message follows a part at which the handler threw", "[receive_parts]") {
    Strings events;
    MemoryServer server;
    server.handle("", PartRecorder{&events, false, "two"});
    WireClient client = server.open();
    client.wire().write(frame(first_text, "one") + frame(more, "two") + frame(more, "three"));
    server.run();
    client.wire().write(frame(last, "four") + frame(0x82, "next"));
    server.run();
    CHECK(events == Strings{"part first one", "part two", "part first and last next"});
    CHECK(client.read() == Strings{"close 1011 the handler failed"});
    server.run();
    CHECK(events.back().starts_with("close"));
}

TEST_CASE("a text in pieces that is not UTF-8 closes with 1007 at once", "[receive_parts][rfc6455-8.1]") {
    Strings events;
    MemoryServer server;
    server.handle("", PartRecorder{&events});
    WireClient client = server.open();
    client.wire().write(frame(first_text, "good \xe2\x82") + frame(more, "\xff"));
    server.run();
    CHECK(events == Strings{"part first good \xe2\x82", "close 1007 a text message is not valid UTF-8"});
    CHECK(client.read() == Strings{"close 1007 a text message is not valid UTF-8"});
}

TEST_CASE("the limits and the time of a message are those of whole messages", "[receive_parts]") {
    Strings events;
    ConnectionOptions options;
    options.max_message = 6;
    options.message_timeout = 10s;
    options.ping_interval = 0s;
    MemoryServer server{options};
    server.handle("", PartRecorder{&events});
    WireClient client = server.open();
    client.wire().write(frame(first_text, "abc"));
    SECTION("size") {
        client.wire().write(frame(last, "defg"));
        server.run();
        CHECK(events.size() == 2);
        CHECK(events.back().starts_with("close 1009"));
    }
    SECTION("time") {
        for (int i = 0; i < 3; ++i) {
            server.advance(4s);
            client.wire().write(frame(more, "x"));
        }
        server.run();
        CHECK(events.back() == "close 1008 the message did not end in time");
    }
    SECTION("the end of the stream") {
        server.run();
        client.wire().reset();
        server.run();
        CHECK(events.back().starts_with("close 1006"));
    }
}

TEST_CASE("many small pieces do not keep the turn from other connections, and do not count in the rate",
          "[receive_parts]") {
    Strings events;
    ConnectionOptions options;
    options.receive_rates.messages = 100;
    MemoryServer server{options};
    server.handle("", PartRecorder{&events});
    WireClient client = server.open();
    std::string frames = frame(first_text, "a");
    for (int i = 0; i < 2'000; ++i) frames += frame(more, "b");
    client.wire().write(frames + frame(last, "c"));
    std::size_t most_in_a_turn = 0;
    for (std::size_t before = 0; server.transport().run_turns(1) > 0; before = events.size()) {
        most_in_a_turn = std::max(most_in_a_turn, events.size() - before);
    }
    server.run();
    CHECK(events.size() == 2'002);
    CHECK(most_in_a_turn < 1'000);
    CHECK(server.reactor().counters().rate_pauses.read() == 0);
}

TEST_CASE("memory that runs out within parts ends only that connection", "[receive_parts]") {
    std::size_t failing = 1;
    for (bool failed = true; failed; ++failing) {
        Strings events;
        events.reserve(100);
        MemoryServer server;
        server.handle("", PartRecorder{&events});
        WireClient client = server.open();
        client.wire().write(frame(first_text, "abc") + frame(0x89, "p") + frame(last, "def"));
        {
            const AllocationsMayFail here;
            AllocationFailures::from(failing, 1);
            server.run();
            failed = AllocationFailures::happened() > 0;
            AllocationFailures::none();
        }
        server.run();
        CAPTURE(failing);
        const bool closed = server.reactor().list().empty();
        if (!failed) CHECK(events == Strings{"part first abc", "ping p", "part last def"});
        CHECK((closed || events.back() == "part last def"));
        WireClient other = server.open();
        other.send("hello");
        server.run();
        REQUIRE(events.back() == "part first and last hello");
    }
    CHECK(failing > 2);
}
