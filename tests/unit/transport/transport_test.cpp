// The contract of every transport (transport.hpp), tested for each model.
#include "wsserver/transport/transport.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "support/transport_rigs.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

#define EVERY_TRANSPORT AsioTcpRig, AsioUnixRig, AsioGuestRig AND_URING(UringTcpRig, UringUnixRig), MemoryRig

namespace {

/// Both ends of a connection.
template <class Rig>
struct StreamPair {
    using T = typename Rig::T;

    explicit StreamPair(Rig& rig) : StreamPair(rig, rig.pair()) {}
    template <class Sockets>
    StreamPair(Rig& rig, Sockets sockets)
        : one(rig.transport, std::move(sockets.first)), other(rig.transport, std::move(sockets.second)) {}

    RecordingUser<T> one, other;
};

/// Waits for round trips of other streams. Bytes that were sent before have arrived by then.
template <class Rig>
void let_things_arrive(Rig& rig) {
    for (int i = 0; i < 3; ++i) {
        StreamPair<Rig> marker{rig};
        marker.other.at_bytes = [&] { marker.other.send("back"); };
        marker.one.send("forth");
        rig.until([&] { return marker.one.received == "back"; });
    }
}

/// Sends until a batch stays in flight.
template <class W>
void fill(W& from) {
    while (from.send(pattern(100'000))) {
    }
}

}  // namespace

TEMPLATE_TEST_CASE("bytes are sent in both directions", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    int rounds = 0;
    two.other.at_bytes = [&] { CHECK(two.other.send(std::exchange(two.other.received, {}))); };
    two.one.at_bytes = [&] {
        if (++rounds < 1000) CHECK(two.one.send("again"));
    };
    CHECK(two.one.send("again"));
    rig.until([&] { return rounds == 1000; });
    CHECK(two.one.received.size() == 5000);
    CHECK(two.one.sent == 0);
}

TEMPLATE_TEST_CASE("a send of nothing is complete at once", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    CHECK(two.one.send(std::span<const SendPiece>{}));
    CHECK(two.one.send(""));
    const std::array<SendPiece, 3> pieces{SendPiece{}, SendPiece{bytes_of("x"), {}}, SendPiece{}};
    CHECK(two.one.send(pieces));
    rig.until([&] { return two.other.received == "x"; });
}

TEMPLATE_TEST_CASE("many pieces, with and without owners, arrive in order", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig, rig.narrow_pair()};
    const auto shared = std::make_shared<const std::string>(pattern(200'000, 7));
    OutputBuffer& arena = rig.transport.output();
    arena.append(bytes_of(pattern(150'000, 3)));

    std::vector<SendPiece> pieces;
    std::string expected;
    for (std::size_t i = 0; i < 1500; ++i) {  // more pieces than one system call takes
        const std::size_t size = i % 17 == 0 ? 0 : 10 + i % 80;
        if (i % 3 == 0) {
            pieces.push_back({bytes_of(std::string_view{*shared}.substr(i * 100, size)), shared});
        } else {
            pieces.push_back({std::as_const(arena).bytes().subspan(i * 100, size), {}});
        }
        expected += text_of(pieces.back().bytes);
    }
    const bool all = two.one.send(pieces);
    pieces.clear();
    std::memset(arena.bytes().data(), '?', arena.size());  // the test may overwrite it after send()
    arena.clear();
    CHECK(all == (shared.use_count() == 1));
    rig.until([&] { return two.other.received.size() == expected.size(); });
    CHECK(two.other.received == expected);
    rig.until([&] { return two.one.sent == (all ? 0 : 1); });
    CHECK(shared.use_count() == 1);
}

TEMPLATE_TEST_CASE("bytes that a peer does not read stay in flight and are kept alive", "[transport]",
                   EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig, rig.narrow_pair()};
    two.other.stream().pause_receiving();
    auto owner = std::make_shared<const std::string>(pattern(3'000'000));
    const std::string expected = *owner;
    const std::weak_ptr<const std::string> watched = owner;
    const SendPiece piece{bytes_of(*owner), owner};
    CHECK_FALSE(two.one.send(std::span{&piece, 1}));
    const_cast<SendPiece&>(piece).owner.reset();
    owner.reset();
    let_things_arrive(rig);
    CHECK(two.one.sent == 0);
    CHECK_FALSE(watched.expired());
    CHECK(two.other.received.empty());

    two.other.stream().resume_receiving();
    rig.until([&] { return two.one.sent == 1 && two.other.received.size() == expected.size(); });
    CHECK(two.other.received == expected);
    CHECK(watched.expired());
    CHECK(two.one.send("more"));
    rig.until([&] { return two.other.received.ends_with("more"); });
}

TEMPLATE_TEST_CASE("on_sent may send the next batch", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig, rig.narrow_pair()};
    int batches = 0;
    std::string expected;
    const auto send_more = [&] {
        while (batches < 20) {
            const std::string batch = pattern(70'000, static_cast<unsigned>(++batches));
            expected += batch;
            if (!two.one.send(batch)) return;
        }
    };
    two.one.at_sent = send_more;
    send_more();
    rig.until([&] { return two.other.received.size() == 20 * 70'000; });
    CHECK(two.other.received == expected);
}

TEMPLATE_TEST_CASE("no stream receives more than a buffer in one turn", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> loud{rig};
    StreamPair<TestType> quiet{rig};
    loud.other.stream().pause_receiving();
    fill(loud.one);
    quiet.one.send("psst");
    let_things_arrive(rig);
    loud.other.stream().resume_receiving();
    rig.until([&] { return loud.one.sent == 1; });
    CHECK(loud.other.largest <= TestType::T::receive_buffer_size);
    CHECK(quiet.other.received == "psst");
}

TEMPLATE_TEST_CASE("bytes stay valid while the user closes the stream", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    two.other.stream().pause_receiving();
    two.one.send("something that had to wait, and doesn't fit into a few bytes");  // not a short string
    let_things_arrive(rig);
    two.other.at_bytes = [&] { two.other.close(); };  // afterwards on_bytes() writes into the bytes
    two.other.stream().resume_receiving();
    rig.until([&] { return two.other.released == 1; });
    CHECK(two.other.received.ends_with("few bytes"));
}

TEMPLATE_TEST_CASE("bytes are received into a lent buffer", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    const std::string text = pattern(12'000'000);
    two.other.lent_size = GENERATE(50'000U, 1'000'000U);
    int pieces = 0;
    two.other.at_bytes = [&] {
        if (++pieces % 9 == 0) {
            two.other.stream().pause_receiving();
            rig.transport.post([&] { two.other.stream().resume_receiving(); });
        }
        if (pieces % 7 == 0) std::swap(two.other.lent_size, two.one.lent_size);  // lends none for a while
    };
    two.one.send(text);
    rig.until([&] { return two.other.received.size() >= text.size(); });
    CHECK((two.other.received == text));
    CHECK(two.other.received_lent > 0);
    CHECK(two.other.failed + two.one.failed == 0);
}

TEMPLATE_TEST_CASE("a stream with a lent buffer ends like any other", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    const std::string text = pattern(300'000);
    two.other.lent_size = 1'000'000;
    two.one.send(text);
    rig.until([&] { return two.other.received.size() == text.size(); });
    SECTION("by the peer") {
        two.one.stream().shutdown_send();
        rig.until([&] { return two.other.ended == 1; });
        CHECK(two.other.failed == 0);
    }
    SECTION("by close") {
        two.other.close();
        rig.until([&] { return two.other.released == 1; });
    }
    SECTION("at once") {
        two.other.destroy_stream();
        let_things_arrive(rig);
    }
    SECTION("with its transport") {}
    CHECK((two.other.received == text));
}

TEMPLATE_TEST_CASE("a paused stream receives nothing until it resumes", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};

    SECTION("paused before anything arrives") {
        two.other.stream().pause_receiving();
        two.one.send("a");
        let_things_arrive(rig);
        CHECK(two.other.received.empty());
    }
    SECTION("paused while bytes arrive") {
        two.other.at_bytes = [&] { two.other.stream().pause_receiving(); };
        two.one.send("a");
        rig.until([&] { return two.other.received == "a"; });
        two.one.send("b");
        let_things_arrive(rig);
        CHECK(two.other.received == "a");
        two.other.at_bytes = nullptr;
    }
    SECTION("paused and resumed repeatedly") {
        two.one.send("a");
        for (int i = 0; i < 10; ++i) {
            two.other.stream().pause_receiving();
            two.other.stream().resume_receiving();
        }
        two.other.stream().pause_receiving();
        let_things_arrive(rig);
        CHECK(two.other.received.empty());
    }
    SECTION("paused and resumed within on_bytes") {
        two.other.at_bytes = [&] {
            two.other.stream().pause_receiving();
            two.other.stream().resume_receiving();
        };
        two.one.send("a");
    }
    two.one.send("z");
    two.other.stream().resume_receiving();
    rig.until([&] { return two.other.received.ends_with('z'); });
}

TEMPLATE_TEST_CASE("the end of the peer's direction is reported after its bytes, not while paused", "[transport]",
                   EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    two.other.stream().pause_receiving();
    two.one.send("last words");
    two.one.stream().shutdown_send();
    let_things_arrive(rig);
    CHECK(two.other.ended == 0);
    CHECK(two.other.received.empty());

    two.other.stream().resume_receiving();
    rig.until([&] { return two.other.ended == 1; });
    CHECK(two.other.received == "last words");
    CHECK(two.other.failed == 0);
    // The other direction still works.
    CHECK(two.other.send("I see"));
    rig.until([&] { return two.one.received == "I see"; });
    two.other.stream().shutdown_send();
    rig.until([&] { return two.one.ended == 1; });
}

TEMPLATE_TEST_CASE("shutdown_send ends the direction after the batch in flight", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig, rig.narrow_pair()};
    two.other.stream().pause_receiving();
    const std::string batch = pattern(3'000'000);
    CHECK_FALSE(two.one.send(batch));
    two.one.stream().shutdown_send();
    let_things_arrive(rig);
    two.other.stream().resume_receiving();
    rig.until([&] { return two.other.ended == 1; });
    CHECK(two.other.received == batch);
    CHECK(two.one.sent == 1);
}

TEMPLATE_TEST_CASE("close is reported once, in a later turn, and ends everything", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    two.other.send("never heard");
    two.one.close();
    two.one.close();
    CHECK(two.one.released == 0);
    rig.until([&] { return two.one.released == 1 && two.other.ended + two.other.failed > 0; });
    CHECK_FALSE(two.one.send("anything"));
    two.one.stream().resume_receiving();
    two.one.stream().pause_receiving();
    two.one.stream().shutdown_send();
    CHECK(two.one.stream().peer().empty());
    let_things_arrive(rig);
    CHECK(two.one.released == 1);
    CHECK(two.one.received.empty());
}

TEMPLATE_TEST_CASE("any call to the user may close the stream", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    auto sockets = rig.narrow_pair();
    auto two = std::make_unique<StreamPair<TestType>>(rig, std::move(sockets));
    auto& one = two->one;
    auto& other = two->other;

    SECTION("on_bytes") {
        one.at_bytes = [&] { one.close(); };
        other.send("x");
    }
    SECTION("on_bytes, with more bytes to receive") {
        one.at_bytes = [&] { one.close(); };
        fill(other);
    }
    SECTION("on_bytes, with a batch in flight") {
        other.stream().pause_receiving();
        fill(one);
        one.at_bytes = [&] { one.close(); };
        other.send("x");
    }
    SECTION("on_sent") {
        one.at_sent = [&] { one.close(); };
        fill(one);
    }
    SECTION("on_sent, after shutdown_send") {
        one.at_sent = [&] { one.close(); };
        fill(one);
        one.stream().shutdown_send();
    }
    SECTION("on_end") {
        one.at_end = [&] { one.close(); };
        other.stream().shutdown_send();
    }
    SECTION("on_end, with a batch in flight") {
        other.stream().pause_receiving();
        fill(one);
        one.at_end = [&] { one.close(); };
        other.stream().shutdown_send();
    }
    bool gone = false;
    one.at_release = [&] {
        // on_released may destroy the stream.
        rig.transport.post([&] { gone = true; });
        one.destroy_stream();
    };
    rig.until([&] { return gone; });
    CHECK(one.released == 1);
}

TEMPLATE_TEST_CASE("a stream may be destroyed at any moment", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig, rig.narrow_pair()};
    SECTION("idle") {}
    SECTION("closed") { two.one.close(); }
    SECTION("with bytes to receive") { two.other.send("x"); }
    SECTION("with a batch in flight") {
        two.other.stream().pause_receiving();
        fill(two.one);
    }
    SECTION("with a failure to report") {
        two.other.close();
        let_things_arrive(rig);
        while (two.one.send("x")) {
        }
    }
    SECTION("within on_bytes") {
        two.one.at_bytes = [&] { two.one.destroy_stream(); };
        two.other.send("x");
        rig.until([&] { return two.one.received == "x"; });
    }
    SECTION("within on_end") {
        two.one.at_end = [&] { two.one.destroy_stream(); };
        two.other.stream().shutdown_send();
        rig.until([&] { return two.one.ended == 1; });
    }
    two.one.destroy_stream();
    let_things_arrive(rig);
    CHECK(two.one.released == 0);
}

TEMPLATE_TEST_CASE("a transport may be destroyed while bytes, tasks and peers wait", "[transport]", EVERY_TRANSPORT) {
    auto rig = std::make_unique<TestType>();
    auto two = std::make_unique<StreamPair<TestType>>(*rig, rig->narrow_pair());
    auto [endpoint, listener] = rig->listener();
    rig->transport.listen(std::move(listener), [](auto) {});
    auto connecting = rig->transport.connect(endpoint, Clock::now() + patience, [](auto) {});
    two->other.stream().pause_receiving();
    two->other.send("x");
    fill(two->one);
    two->one.close();
    rig->transport.on_wake([] {});
    rig->transport.wake_at(rig->transport.now() + 1h);
    rig->transport.post([held = std::make_shared<int>(1)] { CHECK(*held == 1); });
    two.reset();
    connecting.cancel();
    rig.reset();
}

TEMPLATE_TEST_CASE("a reset by the peer is an error", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    if (!TestType::has_reset) return;
    auto [socket, peer] = rig.pair();
    RecordingUser<typename TestType::T> witness{rig.transport, std::move(socket)};
    witness.send("unread");
    let_things_arrive(rig);
    // TCP resets a connection that is closed with bytes unread (RFC 1122 §4.2.2.13).
    { const auto closed = std::move(peer); }
    rig.until([&] { return witness.failed == 1; });
    CHECK(witness.error == std::errc::connection_reset);
    CHECK(witness.ended == 0);
    CHECK_FALSE(witness.send("x"));
    let_things_arrive(rig);
    CHECK(witness.failed == 1);
}

TEMPLATE_TEST_CASE("a failed send is reported once, in a later turn, after the bytes received before", "[transport]",
                   EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig};
    two.other.send("goodbye");
    two.other.close();
    bool in_flight = false;
    two.one.at_sent = [&] { in_flight = false; };
    rig.until([&] {
        if (!in_flight && two.one.failed == 0) in_flight = !two.one.send(pattern(1000));
        return two.one.failed == 1;
    });
    CHECK(two.one.received == "goodbye");
    CHECK((two.one.error == std::errc::broken_pipe || two.one.error == std::errc::connection_reset));
    CHECK_FALSE(two.one.send("nor this"));
    two.one.close();
    rig.until([&] { return two.one.released == 1; });
}

TEMPLATE_TEST_CASE("a batch in flight fails when the peer closes", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    StreamPair<TestType> two{rig, rig.narrow_pair()};
    const bool paused = GENERATE(false, true);
    two.other.stream().pause_receiving();
    if (paused) two.one.stream().pause_receiving();
    fill(two.one);
    two.other.close();
    rig.until([&] { return two.one.failed == 1; });
    CHECK(two.one.sent == 0);
}

TEMPLATE_TEST_CASE("tasks run in the order of posting, one after the other", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    std::vector<int> ran;
    bool inside = false;
    for (int i = 0; i < 5; ++i) {
        rig.transport.post([&, i] {
            CHECK_FALSE(inside);
            inside = true;
            if (i == 1) rig.transport.post([&] { ran.push_back(5); });
            ran.push_back(i);
            inside = false;
        });
    }
    CHECK(ran.empty());
    rig.until([&] { return ran.size() == 6; });
    CHECK(ran == std::vector{0, 1, 2, 3, 4, 5});
}

TEMPLATE_TEST_CASE("any thread may post; no task is lost, and those of a thread stay in order", "[transport]",
                   EVERY_TRANSPORT) {
    TestType rig;
    constexpr int each = 2000;
    std::array<int, 4> seen{};
    bool in_order = true;
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < seen.size(); ++t) {
        threads.emplace_back([&rig, &seen, &in_order, t] {
            for (int i = 0; i < each; ++i) {
                rig.transport.post([&seen, &in_order, t, i, owned = std::make_unique<int>(i)] {
                    if (seen[t] != i || *owned != i) in_order = false;
                    ++seen[t];
                });
            }
        });
    }
    for (auto& thread : threads) thread.join();
    rig.until([&] { return seen == std::array{each, each, each, each}; });
    CHECK(in_order);
}

TEMPLATE_TEST_CASE("there is one wake-up, at the last time that was set", "[transport]", EVERY_TRANSPORT) {
    TestType rig;
    std::vector<Clock::time_point> woken;
    rig.transport.on_wake([&] { woken.push_back(rig.transport.now()); });
    const auto start = rig.transport.now();

    SECTION("in time") {
        rig.transport.wake_at(start + 20ms);
        rig.until([&] { return woken.size() == 1; });
        CHECK(woken[0] >= start + 20ms);
    }
    SECTION("sooner") {
        rig.transport.wake_at(start + 1h);
        rig.transport.wake_at(start + 20ms);
        rig.until([&] { return woken.size() == 1; });
    }
    SECTION("later") {
        rig.transport.wake_at(start + 5ms);
        rig.transport.wake_at(start + 60ms);
        rig.until([&] { return woken.size() == 1; });
        CHECK(woken[0] >= start + 60ms);
    }
    SECTION("in the past") {
        rig.transport.wake_at(start - 1h);
        CHECK(woken.empty());
        rig.until([&] { return woken.size() == 1; });
    }
    SECTION("set within on_wake") {
        rig.transport.on_wake([&] {
            woken.push_back(rig.transport.now());
            if (woken.size() < 4) rig.transport.wake_at(woken.back() + 5ms);
        });
        rig.transport.wake_at(start + 5ms);
        rig.until([&] { return woken.size() == 4; });
        CHECK(woken[3] >= start + 20ms);
        woken.resize(1);
    }
    SECTION("never") {
        rig.transport.wake_at(start + 5ms);
        rig.transport.wake_at(Clock::time_point::max());
        rig.pass(20ms);
        CHECK(woken.empty());
        woken.emplace_back();
    }
    CHECK(woken.size() == 1);
}

TEMPLATE_TEST_CASE("peers are accepted until listening stops", "[transport]", EVERY_TRANSPORT) {
    using T = typename TestType::T;
    TestType rig;
    auto [endpoint, listener] = rig.listener();
    std::vector<std::unique_ptr<RecordingUser<T>>> served;
    rig.transport.listen(std::move(listener), [&](typename T::Socket socket) {
        served.push_back(std::make_unique<RecordingUser<T>>(rig.transport, std::move(socket)));
    });

    std::vector<std::unique_ptr<RecordingUser<T>>> visitors;
    std::vector<typename T::Connecting> connecting;
    for (int i = 0; i < 100; ++i) {
        connecting.push_back(rig.transport.connect(endpoint, rig.transport.now() + patience, [&](auto socket) {
            REQUIRE(socket);
            visitors.push_back(std::make_unique<RecordingUser<T>>(rig.transport, *std::move(socket)));
            visitors.back()->send("hello");
        }));
    }
    CHECK(visitors.empty());
    rig.until([&] {
        return served.size() == 100 &&
               std::all_of(served.begin(), served.end(), [](const auto& s) { return s->received == "hello"; });
    });
    for (const auto& visitor : visitors) CHECK(visitor->stream().peer() == to_string(endpoint));

    rig.transport.stop_listening();
    std::optional<std::error_code> refused;
    auto late = rig.transport.connect(endpoint, rig.transport.now() + patience,
                                      [&](auto socket) { refused = socket ? std::error_code{} : socket.error(); });
    rig.until([&] { return refused.has_value(); });
    CHECK(*refused == std::errc::connection_refused);
    CHECK(served.size() == 100);
}

TEMPLATE_TEST_CASE("a call with an accepted peer may stop listening", "[transport]", EVERY_TRANSPORT) {
    using T = typename TestType::T;
    TestType rig;
    auto [endpoint, listener] = rig.listener();
    int served = 0;
    rig.transport.listen(std::move(listener), [&, held = std::make_unique<int>(7)](typename T::Socket) {
        ++served;
        rig.transport.stop_listening();
        CHECK(*held == 7);
    });
    std::vector<typename T::Connecting> connecting;
    int answers = 0;
    for (int i = 0; i < 3; ++i) {
        connecting.push_back(rig.transport.connect(endpoint, rig.transport.now() + patience, [&](auto) { ++answers; }));
    }
    rig.until([&] { return answers == 3; });
    let_things_arrive(rig);
    CHECK(served == 1);
}

TEMPLATE_TEST_CASE("a cancelled connect does not call back", "[transport]", AsioTcpRig, AsioUnixRig, AsioGuestRig,
                   MemoryRig) {
    using T = typename TestType::T;
    TestType rig;
    auto [endpoint, listener] = rig.listener();
    int served = 0, answers = 0;
    rig.transport.listen(std::move(listener), [&](typename T::Socket) { ++served; });
    {
        auto dropped = rig.transport.connect(endpoint, rig.transport.now() + patience, [&](auto) { ++answers; });
        auto cancelled = rig.transport.connect(endpoint, rig.transport.now() + patience, [&](auto) { ++answers; });
        cancelled.cancel();
        cancelled.cancel();
        auto moved = std::move(dropped);
    }
    let_things_arrive(rig);
    CHECK(answers == 0);
    auto replaced = rig.transport.connect(endpoint, rig.transport.now() + patience, [&](auto) { answers += 100; });
    replaced = rig.transport.connect(endpoint, rig.transport.now() + patience, [&](auto) { ++answers; });
    rig.until([&] { return answers == 1; });
    let_things_arrive(rig);
    CHECK(answers == 1);
}

TEMPLATE_TEST_CASE("a transport's own loop runs until it is stopped", "[transport]", AsioTcpRig AND_URING(UringTcpRig),
                   MemoryRig) {
    TestType rig;
    SECTION("from another thread") {
        std::atomic<int> ran{0};
        std::thread loop([&] { rig.transport.run(); });
        for (int i = 0; i < 100; ++i) rig.transport.post([&] { ++ran; });
        while (ran < 100) std::this_thread::yield();
        rig.transport.stop();
        loop.join();
        CHECK(ran == 100);
    }
    SECTION("by a task") {
        rig.transport.post([&] { rig.transport.stop(); });
        rig.transport.run();
    }
    SECTION("before run()") {
        rig.transport.stop();
        rig.transport.run();
    }
}
