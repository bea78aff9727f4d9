// Senders that are faster than the receivers of their broadcasts. Receipts is tested by what its reactors do.
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/server/detail/receipts.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kib = 1024;

struct Publisher {
    void on_message(AnyConnection& connection, const Text& message) { connection.publish(message); }
    void on_message(AnyConnection& connection, const Binary& message) { connection.publish(message); }
};

ConnectionOptions small_queues(SlowConsumer policy = SlowConsumer::close) {
    ConnectionOptions options;
    options.send_queue = {16 * kib, 128 * kib, policy};
    options.ping_interval = 0s;
    return options;
}

/// The receivers are on both reactors.
struct Rig : MemoryServer {
    explicit Rig(const ConnectionOptions& options, std::size_t count)
        : MemoryServer(options, 2), sender(open_publisher()) {
        transport(0).receive_at_most(8 * kib);
        transport(1).receive_at_most(8 * kib);
        for (std::size_t i = 0; i < count; ++i) receivers.push_back(open());
        for (WireClient& receiver : receivers) receiver.wire().set_window(4 * kib);
        run();
    }
    std::uint64_t sum(Counter ConnectionCounters::*counter) {
        return (reactor(0).counters().*counter).read() + (reactor(1).counters().*counter).read();
    }
    std::size_t connections() { return reactor(0).list().size() + reactor(1).list().size(); }
    std::size_t longest_queue() {
        std::size_t longest = 0;
        for (std::size_t i = 0; i < 2; ++i) {
            for (const auto& info : reactor(i).list()) longest = std::max(longest, info.queued);
        }
        return longest;
    }

    WireClient open_publisher() {
        handle("", Publisher{});
        return open();
    }

    WireClient sender;
    std::vector<WireClient> receivers;
};

/// The text of message `number`, with `size` bytes.
std::string message(int number, std::size_t size) {
    std::string text = std::to_string(number);
    return text.append(size - text.size(), '.');
}

/// What a receiver has received so far.
struct Reader {
    explicit Reader(WireClient& its_client) : client(&its_client) {}
    void read() {
        for (auto& event : client->read()) events.push_back(std::move(event));
    }
    bool has(int count, std::size_t size) const {
        if (events.size() != static_cast<std::size_t>(count)) return false;
        for (int i = 0; i < count; ++i) {
            if (events[static_cast<std::size_t>(i)] != "text " + message(i, size)) return false;
        }
        return true;
    }
    WireClient* client;
    Strings events;
};

std::vector<Reader> readers_of(Rig& server) {
    std::vector<Reader> readers;
    for (WireClient& receiver : server.receivers) readers.emplace_back(receiver);
    return readers;
}

}  // namespace

TEST_CASE("a sender waits for slow receivers, and no one is closed", "[publish]") {
    const auto size = GENERATE(std::size_t{100}, std::size_t{1000}, 5 * kib, 40 * kib);
    const int count = static_cast<int>(1000 * kib / size);
    Rig server{small_queues(), 4};
    auto readers = readers_of(server);
    for (int i = 0; i < count; ++i) server.sender.send(message(i, size));
    std::size_t longest = 0;
    for (int turn = 0; turn < 1000; ++turn) {
        server.advance(20ms);
        longest = std::max(longest, server.longest_queue());
        for (Reader& reader : readers) reader.read();  // each a window of 4 KiB
    }
    for (const Reader& reader : readers) CHECK(reader.has(count, size));
    CHECK(server.shared.ends.empty());
    CHECK(server.sum(&ConnectionCounters::publish_pauses) > 0);
    CHECK(server.sum(&ConnectionCounters::slow_consumers) == 0);
    CHECK(server.sum(&ConnectionCounters::messages_dropped) == 0);
    CHECK(longest <= 16 * kib + 16 * kib + 2 * size);
}

TEST_CASE("a sender whose receivers keep up never waits for a timer", "[publish]") {
    Rig server{small_queues(), 4};
    for (WireClient& receiver : server.receivers) receiver.wire().set_window(100'000 * kib);
    auto readers = readers_of(server);
    const auto size = GENERATE(std::size_t{1000}, 40 * kib);
    for (int i = 0; i < 100; ++i) server.sender.send(message(i, size));
    server.run();
    for (Reader& reader : readers) {
        reader.read();
        CHECK(reader.has(100, size));
    }
}

TEST_CASE("a receiver that takes nothing is closed, and the others get every message", "[publish]") {
    Rig server{small_queues(), 4};
    auto readers = readers_of(server);
    server.receivers[1].wire().set_window(0);
    for (int i = 0; i < 200; ++i) server.sender.send(message(i, kib));
    const auto advance = [&](int turns) {
        for (int turn = 0; turn < turns; ++turn) {
            server.advance(20ms);
            for (std::size_t i = 0; i < readers.size(); ++i) {
                if (i != 1) readers[i].read();
            }
        }
    };
    advance(200);  // 4 s
    CHECK(server.sum(&ConnectionCounters::slow_consumers) == 0);
    CHECK(readers[0].events.size() < 100);
    advance(1000);
    CHECK(server.sum(&ConnectionCounters::slow_consumers) == 1);
    for (std::size_t i = 0; i < readers.size(); ++i) {
        if (i != 1) CHECK(readers[i].has(200, kib));
    }
    REQUIRE(server.shared.ends.size() == 1);
    CHECK(server.shared.ends[0].cause == "slow consumer: its send queue was full");
    CHECK(server.connections() == 4);
}

TEST_CASE("a receiver that takes very little does not hold the sender for long", "[publish]") {
    Rig server{small_queues(), 2};
    Reader good{server.receivers[0]};
    server.receivers[1].wire().set_window(1);
    for (int i = 0; i < 100; ++i) server.sender.send(message(i, kib));
    for (int turn = 0; turn < 1000; ++turn) {
        server.advance(20ms);
        good.read();
        (void)server.receivers[1].wire().read(1);
    }
    CHECK(good.has(100, kib));
    CHECK(server.sum(&ConnectionCounters::slow_consumers) == 1);
}

TEST_CASE("if the policy is to drop messages, a sender does not wait", "[publish]") {
    const auto policy = GENERATE(SlowConsumer::drop_newest, SlowConsumer::drop_oldest, SlowConsumer::keep_latest);
    Rig server{small_queues(policy), 2};
    auto readers = readers_of(server);
    server.receivers[0].wire().set_window(10'000 * kib);
    server.receivers[1].wire().set_window(0);
    for (int i = 0; i < 400; ++i) server.sender.send(message(i, kib));
    server.run();
    readers[0].read();
    CHECK(readers[0].has(400, kib));
    CHECK(server.sum(&ConnectionCounters::publish_pauses) == 0);
    CHECK(server.sum(&ConnectionCounters::messages_dropped) > 300);
    CHECK(server.longest_queue() < 40 * kib);
    CHECK(server.shared.ends.empty());
}

TEST_CASE("a sender that waits is not silent, and is read again when it is closed", "[publish]") {
    ConnectionOptions options = small_queues();
    options.ping_interval = options.pong_timeout = 1s;
    options.message_timeout = 1s;
    options.close_timeout = 10s;
    Rig server{options, 1};
    Reader reader{server.receivers[0]};
    for (int i = 0; i < 2000; ++i) server.sender.send(message(i, kib));
    const auto advance = [&](int turns) {
        for (int turn = 0; turn < turns; ++turn) {
            server.advance(100ms);
            for (auto& event : server.receivers[0].read()) {
                if (event.starts_with("text ")) reader.events.push_back(std::move(event));
            }
            for (const auto& event : server.sender.read()) CHECK_FALSE(event.starts_with("close"));
        }
    };
    advance(300);  // 40 KiB a second
    CHECK(server.shared.ends.empty());
    CHECK(server.sum(&ConnectionCounters::pong_timeouts) == 0);
    CHECK(server.sum(&ConnectionCounters::message_timeouts) == 0);
    SECTION("by its peer") {
        server.sender.close(CloseCode::normal);
        server.receivers[0].wire().set_window(10'000 * kib);
        server.run();
        for (int turn = 0; turn < 10; ++turn) {
            server.advance(100ms);
            for (auto& event : server.receivers[0].read()) {
                if (event.starts_with("text ")) reader.events.push_back(std::move(event));
            }
        }
        CHECK(reader.has(2000, kib));
        CHECK(server.sender.read().back() == "close 1000");
    }
    SECTION("by the end of its stream") {
        server.sender.wire().reset();
        server.receivers[0].wire().reset();
        server.advance(1s);
        CHECK(server.shared.ends.size() == 2);
    }
}

TEST_CASE("receivers that end do not hold a sender", "[publish]") {
    Rig server{small_queues(), 3};
    for (WireClient& receiver : server.receivers) receiver.wire().set_window(0);
    for (int i = 0; i < 200; ++i) server.sender.send(message(i, kib));
    server.run();
    CHECK(server.sum(&ConnectionCounters::messages_in) < 100);
    SECTION("by a reset") {
        for (WireClient& receiver : server.receivers) receiver.wire().reset();
    }
    SECTION("by a command") {
        for (const auto& info : server.reactor(0).list()) {
            if (info.messages_in == 0) server.hub().close(info.id, CloseCode::normal, {});
        }
        for (const auto& info : server.reactor(1).list()) {
            if (info.messages_in == 0) server.hub().close(info.id, CloseCode::normal, {});
        }
    }
    server.advance(100ms);
    CHECK(server.sum(&ConnectionCounters::messages_in) == 200);
    CHECK(server.sum(&ConnectionCounters::slow_consumers) == 0);
}

TEST_CASE("a broadcast that waits is reported when its receivers have caught up", "[publish]") {
    Rig server{small_queues(), 2};
    std::size_t receivers = 0;
    const auto tell = [&](std::size_t count) { receivers = count; };
    server.hub().broadcast({.waits = true}, Text{message(0, 40 * kib)}, tell);
    server.run();
    CHECK(receivers == 0);
    SECTION("or the server has stopped") {
        server.reactor(0).stop(server.network.now());
        server.reactor(1).stop(server.network.now());
        server.advance(1s);
        CHECK(server.shared.stopped == 2);
    }
    SECTION("by reading") {
        server.sender.wire().set_window(1000 * kib);
        for (WireClient& receiver : server.receivers) receiver.wire().set_window(1000 * kib);
        server.advance(10ms);
    }
    CHECK(receivers == 3);
}

TEST_CASE("a sender does not wait forever for receivers on a blocked reactor", "[publish]") {
    constexpr int count = 200;
    Rig server{small_queues(), 2};
    auto readers = readers_of(server);
    const auto received = [&] { return readers[0].events.size() + readers[1].events.size(); };
    const auto run_one_reactor = [&](std::chrono::milliseconds by, int times) {
        for (int i = 0; i < times; ++i) {
            server.network.stand_still(by);
            server.transport(0).run_turns(1000);
            for (Reader& reader : readers) reader.read();
        }
    };
    for (int i = 0; i < count; ++i) server.sender.send(message(i, 1000));
    run_one_reactor(20ms, 100);
    const auto before = received();
    CHECK(before < count);
    CHECK(server.sum(&ConnectionCounters::publish_pauses) == 1);
    run_one_reactor(1s, 90);
    CHECK(received() > before);
    server.run();  // the other reactor goes on
    for (int turn = 0; turn < 1000; ++turn) {
        server.advance(20ms);
        for (Reader& reader : readers) reader.read();
    }
    for (const Reader& reader : readers) CHECK(reader.has(count, 1000));
    CHECK(server.shared.ends.empty());
}

TEST_CASE("after a pause of the reactor receivers have their time once more", "[publish]") {
    Rig server{small_queues(), 2};
    for (int i = 0; i < 100; ++i) server.sender.send(message(i, 1000));
    server.run();
    REQUIRE(server.sum(&ConnectionCounters::publish_pauses) > 0);
    server.network.stand_still(10s);
    server.run();
    CHECK(server.sum(&ConnectionCounters::slow_consumers) == 0);
    server.advance(6s);  // they still take nothing
    CHECK(server.sum(&ConnectionCounters::slow_consumers) == 2);
}

TEST_CASE("broadcasts that wait are within the memory budget", "[publish]") {
    ReactorOptions options;
    options.memory_limit = 512 * kib;
    MemoryServer server{options, 2};
    server.handle("", Publisher{});
    WireClient deaf = server.open();
    WireClient good = server.open();
    deaf.wire().set_window(1);
    std::string part(10 * kib, 'x');  // of a message, so that it holds more than the other one, without the broadcasts
    good.wire().write(std::string{"\x82\xfe\xff\xff\0\0\0\0", 8} + part);
    std::size_t most = 0;
    for (int i = 0; i < 100; ++i) {
        server.hub().broadcast({}, Text{message(i, 10 * kib)}, {});
        server.run();
        most = std::max(most, server.shared.memory_use().total);
        CHECK(good.read() == Strings{"text " + message(i, 10 * kib)});
    }
    CHECK(most <= options.memory_limit + 64 * kib);
    server.advance(20ms);
    CHECK(server.shared.memory_use().total <= options.memory_limit);
    REQUIRE(server.shared.ends.size() == 1);  // that of the deaf one
    CHECK(server.shared.ends[0].code == CloseCode::try_again_later);
    CHECK(server.shared.ends[0].cause == "out of memory budget");
}
