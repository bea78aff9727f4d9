// Tests of the transport in memory only: its wires, its clock and its failures. The common contract is tested in
// transport_test.cpp.
#include "wsserver/transport/memory.hpp"

#include <string>

#include "support/transport_rigs.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

using W = RecordingUser<MemoryTransport>;
const Endpoint address{.host = "127.0.0.1", .port = 80};

/// A stream and the wire at its other end.
struct Line {
    MemoryNetwork network;
    MemoryTransport transport{network};
    std::optional<W> stream;
    std::optional<MemoryWire> wire;

    Line() {
        auto [one, other] = network.pair();
        stream.emplace(transport, std::move(one));
        wire.emplace(std::move(other));
    }
};

}  // namespace

TEST_CASE("a wire writes and reads by hand", "[transport_memory]") {
    Line line;
    line.wire->write("question");
    CHECK(line.stream->received.empty());  // nothing happens outside of turns
    line.network.run_until_idle();
    CHECK(line.stream->received == "question");

    CHECK(line.stream->send("long answer"));
    CHECK(text_of(line.wire->unread()) == "long answer");
    CHECK(line.wire->read(5) == "long ");
    CHECK(line.wire->read() == "answer");
    CHECK(line.wire->read().empty());
    CHECK_FALSE(line.wire->at_end());

    line.stream->stream().shutdown_send();
    CHECK(line.wire->at_end());
    line.wire->shutdown();
    line.network.run_until_idle();
    CHECK(line.stream->ended == 1);
    CHECK_FALSE(line.wire->was_reset());
}

TEST_CASE("a wire is accepted like any peer", "[transport_memory]") {
    MemoryNetwork network;
    MemoryTransport transport{network};
    std::unique_ptr<W> served;
    transport.listen(std::move(network.open_listeners(address).front()),
                     [&](MemorySocket socket) { served = std::make_unique<W>(transport, std::move(socket)); });
    MemoryWire wire = network.wire(address);
    wire.write("early");
    CHECK_FALSE(served);
    network.run_until_idle();
    REQUIRE(served);
    CHECK(served->received == "early");
    CHECK(served->stream().peer() == "127.0.0.1:50001");
    transport.stop_listening();
    CHECK_FALSE(network.connect(address));
}

TEST_CASE("listeners on one endpoint receive peers in turn", "[transport_memory]") {
    MemoryNetwork network;
    MemoryTransport one{network}, other{network};
    auto listeners = network.open_listeners(address, 2);
    int by_one = 0, by_other = 0;
    one.listen(std::move(listeners[0]), [&](MemorySocket) { ++by_one; });
    other.listen(std::move(listeners[1]), [&](MemorySocket) { ++by_other; });
    std::vector<MemoryWire> wires;
    for (int i = 0; i < 6; ++i) wires.push_back(network.wire(address));
    network.run_until_idle();
    CHECK(by_one == 3);
    CHECK(by_other == 3);
    one.stop_listening();
    wires.push_back(network.wire(address));
    network.run_until_idle();
    CHECK(by_other == 4);
}

TEST_CASE("peers that wait when a listener closes are closed", "[transport_memory]") {
    MemoryNetwork network;
    std::optional<MemoryWire> wire;
    {
        auto listeners = network.open_listeners(address);
        wire = network.wire(address);
        CHECK_FALSE(wire->at_end());
    }
    CHECK(wire->at_end());
}

TEST_CASE("a test can cut received bytes anywhere", "[transport_memory]") {
    Line line;
    const std::size_t at_most = GENERATE(1u, 2u, 3u, 7u, 100u);
    line.transport.receive_at_most(at_most);
    line.wire->write("0123456789");
    const std::size_t turns = line.network.run_until_idle();
    CHECK(turns == (10 + at_most - 1) / at_most);
    CHECK(line.stream->received == "0123456789");
    CHECK(line.stream->largest == std::min<std::size_t>(at_most, 10));
}

TEST_CASE("a test can limit the bytes sent per turn", "[transport_memory]") {
    Line line;
    line.transport.send_at_most(4);
    CHECK_FALSE(line.stream->send("0123456789"));
    CHECK(line.wire->read() == "0123");
    line.network.run_until_idle();
    CHECK(line.wire->read() == "456789");
    CHECK(line.stream->sent == 1);
}

TEST_CASE("a test can hold a batch in flight", "[transport_memory]") {
    Line line;
    line.transport.hold_sends();
    CHECK_FALSE(line.stream->send("held"));
    line.network.run_until_idle();
    CHECK(line.wire->read().empty());
    CHECK(line.stream->sent == 0);
    SECTION("and release it") {
        line.transport.release_sends();
        CHECK(line.wire->read().empty());
        line.network.run_until_idle();
        CHECK(line.wire->read() == "held");
        CHECK(line.stream->sent == 1);
        CHECK(line.stream->send("free"));
    }
    SECTION("which is lost when the stream closes") {
        line.stream->close();
        line.transport.release_sends();
        line.network.run_until_idle();
        CHECK(line.wire->read().empty());
        CHECK(line.wire->at_end());
        CHECK(line.stream->released == 1);
    }
}

TEST_CASE("the window of a wire holds back the rest of a batch", "[transport_memory]") {
    Line line;
    line.wire->set_window(6);
    CHECK_FALSE(line.stream->send("0123456789"));
    line.network.run_until_idle();
    CHECK(line.wire->read(2) == "01");
    line.network.run_until_idle();
    CHECK(line.wire->read() == "234567");
    CHECK(line.stream->sent == 0);
    line.wire->set_window(100);
    line.network.run_until_idle();
    CHECK(line.wire->read() == "89");
    CHECK(line.stream->sent == 1);
}

TEST_CASE("a wire that closes with unread bytes resets the stream", "[transport_memory]") {
    Line line;
    line.stream->send("never read");
    line.wire->write("but this");
    SECTION("close") { line.wire->close(); }
    SECTION("reset") { line.wire->reset(); }
    SECTION("destroyed") { line.wire.reset(); }
    line.network.run_until_idle();
    CHECK(line.stream->received == "but this");
    CHECK(line.stream->error == std::errc::connection_reset);
}

TEST_CASE("a wire notices a reset", "[transport_memory]") {
    Line line;
    line.wire->write("unread");
    line.stream->stream().close();
    CHECK(line.wire->was_reset());
    CHECK(line.wire->at_end());
}

TEST_CASE("the nth receive fails", "[transport_memory]") {
    const auto broken = std::make_error_code(std::errc::io_error);
    for (std::size_t nth = 1; nth <= 3; ++nth) {
        Line line;
        line.transport.receive_at_most(2);
        line.transport.fail(MemoryOperation::receive, nth, broken);
        line.wire->write("abcdef");
        line.network.run_until_idle();
        CHECK(line.stream->received == std::string{"abcdef"}.substr(0, 2 * (nth - 1)));
        CHECK(line.stream->failed == 1);
        CHECK(line.stream->error == broken);
        CHECK(line.transport.count(MemoryOperation::receive) == nth);
    }
}

TEST_CASE("the nth send fails, in the call or later", "[transport_memory]") {
    const auto broken = std::make_error_code(std::errc::no_buffer_space);
    for (std::size_t nth = 1; nth <= 3; ++nth) {
        Line line;
        line.transport.send_at_most(2);
        line.transport.fail(MemoryOperation::send, nth, broken);
        line.wire->write("heard first");
        CHECK_FALSE(line.stream->send("abcdefgh"));
        CHECK(line.stream->failed == 0);
        line.network.run_until_idle();
        CHECK(line.stream->failed == 1);
        CHECK(line.stream->error == broken);
        CHECK(line.stream->sent == 0);
        CHECK(line.stream->received == "heard first");
        CHECK(line.wire->read() == std::string{"abcdefgh"}.substr(0, 2 * (nth - 1)));
    }
}

TEST_CASE("an accept that fails pauses, which is reported once", "[transport_memory]") {
    MemoryNetwork network;
    MemoryTransport transport{network};
    std::vector<std::unique_ptr<W>> served;
    int pauses = 0;
    transport.on_accept_paused([&](std::error_code error) {
        CHECK(error == std::errc::too_many_files_open);
        ++pauses;
    });
    for (std::size_t nth : {2u, 3u, 4u}) {
        transport.fail(MemoryOperation::accept, nth, std::make_error_code(std::errc::too_many_files_open));
    }
    transport.listen(std::move(network.open_listeners(address).front()),
                     [&](MemorySocket socket) { served.push_back(std::make_unique<W>(transport, std::move(socket))); });
    std::vector<MemoryWire> wires;
    for (int i = 0; i < 3; ++i) wires.push_back(network.wire(address));
    network.run_until_idle();
    CHECK(served.size() == 1);
    CHECK(pauses == 1);
    network.advance(99ms);
    CHECK(transport.count(MemoryOperation::accept) == 2);
    network.advance(1ms);
    CHECK(transport.count(MemoryOperation::accept) == 3);
    served[0]->close();  // a stream that closes ends the pause at once
    network.run_until_idle();
    CHECK(transport.count(MemoryOperation::accept) == 4);
    CHECK(pauses == 1);
    network.advance(100ms);
    CHECK(served.size() == 3);
}

TEST_CASE("a connect fails as the test asks, or without a listener", "[transport_memory]") {
    MemoryNetwork network;
    MemoryTransport transport{network};
    auto listeners = network.open_listeners(address);
    transport.fail(MemoryOperation::connect, 2, std::make_error_code(std::errc::timed_out));
    std::vector<std::error_code> results;
    std::vector<MemoryTransport::Connecting> all;
    const auto connect = [&](const Endpoint& to) {
        all.push_back(transport.connect(to, Clock::time_point::max(), [&](auto socket) {
            results.push_back(socket ? std::error_code{} : socket.error());
        }));
    };
    connect(address);
    connect(address);
    connect({.host = "elsewhere", .port = 80});
    network.run_until_idle();
    REQUIRE(results.size() == 3);
    CHECK_FALSE(results[0]);
    CHECK(results[1] == std::errc::timed_out);
    CHECK(results[2] == std::errc::connection_refused);
}

TEST_CASE("time advances from wake-up to wake-up across all transports", "[transport_memory]") {
    MemoryNetwork network;
    MemoryTransport one{network}, other{network};
    const auto start = network.now();
    std::vector<std::pair<char, std::int64_t>> log;
    const auto note = [&](char event) { log.emplace_back(event, (network.now() - start) / 1ms); };
    one.on_wake([&] {
        note('a');
        one.wake_at(one.now() + 30ms);
    });
    other.on_wake([&] {
        note('b');
        one.post([&] { note('c'); });
    });
    one.wake_at(start + 10ms);
    other.wake_at(start + 40ms);
    network.advance(75ms);
    CHECK(log == std::vector<std::pair<char, std::int64_t>>{{'a', 10}, {'a', 40}, {'b', 40}, {'c', 40}, {'a', 70}});
    CHECK(network.now() == start + 75ms);
}

TEST_CASE("two runs have the same events", "[transport_memory]") {
    const auto run = [] {
        std::string log;
        MemoryNetwork network;
        MemoryTransport left{network}, right{network};
        std::vector<std::unique_ptr<W>> streams;
        for (int i = 0; i < 5; ++i) {
            auto [one, other] = network.pair();
            streams.push_back(std::make_unique<W>(left, std::move(one)));
            streams.push_back(std::make_unique<W>(right, std::move(other)));
            for (W* w : {streams[streams.size() - 2].get(), streams.back().get()}) {
                w->at_bytes = [&log, w, i, in_flight = 0]() mutable {
                    log += w->received.back();
                    log += std::to_string(i);
                    if (w->sent < in_flight || w->received.size() > 40) return;
                    if (!w->send("x" + w->received.substr(w->received.size() / 2))) ++in_flight;
                };
            }
        }
        left.receive_at_most(3);
        right.send_at_most(2);
        for (auto& stream : streams) stream->send("ab");
        network.run_until_idle(500);
        return log;
    };
    const std::string first = run();
    CHECK(first.size() > 100);
    CHECK(run() == first);
}

TEST_CASE("run_until_idle stops after the given number of turns", "[transport_memory]") {
    MemoryNetwork network;
    MemoryTransport transport{network};
    UniqueFunction<void()> again;
    again = [&] { transport.post([&] { again(); }); };
    again();
    CHECK(network.run_until_idle(1000) == 1000);
}
