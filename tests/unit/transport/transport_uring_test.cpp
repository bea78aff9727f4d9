// Tests of the transport over io_uring only: tiny rings, and streams that end while requests are in flight. The common
// contract is tested in transport_test.cpp and transport_sockets_test.cpp.
#include "wsserver/transport/uring.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "support/socket_peers.hpp"
#include "support/talkers.hpp"
#include "support/transport_rigs.hpp"
#include "wsserver/transport/detail/uring/loop.hpp"
#include "wsserver/transport/detail/uring/streams.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

using W = RecordingUser<UringTransport>;

/// A stream and its peer.
struct Pair {
    std::unique_ptr<W> here;
    Descriptor there;
    std::string words{};  // sent by the stream
    std::string heard{};  // received by the peer
};
using Pairs = std::vector<Pair>;

/// Enough streams for several pages, which have about a hundred each.
constexpr unsigned some_pages = 210;

Pair narrow_pair(UringTransport& transport, std::string_view words) {
    auto [one, other] = unix_pair();
    make_narrow(one);
    return {std::make_unique<W>(transport, std::move(one)), std::move(other), std::string{words}};
}

template <class F>
void at_random(Pairs& pairs, Dice& dice, F&& f) {
    for (std::size_t i = pairs.size(); i > 1; --i) std::swap(pairs[i - 1], pairs[dice() / 8 % i]);
    for (Pair& pair : pairs) f(pair);
}

/// Lets the peers read in turn until each has received all words.
void hear(UringTransport& transport, Pairs& pairs) {
    watch_until(transport, [&] {
        for (Pair& pair : pairs) read_some(pair.there, pair.heard, 5000);
        return std::all_of(pairs.begin(), pairs.end(), [](const Pair& one) { return one.heard == one.words; });
    });
}

}  // namespace

TEST_CASE("no bytes are lost or duplicated while all rings are full", "[transport_uring]") {
    const UringSizes sizes[] = {tiny,
                                {.submissions = 8, .completions = 1024, .buffers = 2},
                                {.submissions = 8, .completions = 16, .buffers = 16},
                                tiny_and_old,
                                {},
                                {.like_linux_6_0 = true}};
    const unsigned which = GENERATE(0U, 1U, 2U, 3U, 4U, 5U);
    const bool transport_has_large_buffers = !sizes[which].like_linux_6_0;
    UringTransport transport{sizes[which]};
    const auto talkers = meeting(transport, 24, 1, 500'000);
    for (const auto& talker : talkers) talker->speak();
    run_until(transport,
              [&] { return all_of(talkers, [](const Talker& one) { return one.said_all() && one.heard_all(); }); });
    CHECK(all_of(talkers, [](const Talker& one) { return one.in_order && !one.broke_promise; }));
    CHECK(all_of(talkers, [](const Talker& one) { return !one.has_ended && !one.has_failed; }));
    // Only large buffers receive enough at once to use lent buffers.
    if (transport_has_large_buffers)
        CHECK_FALSE(all_of(talkers, [](const Talker& one) { return one.buffers_filled == 0; }));
}

TEST_CASE("streams end at any moment, with requests in flight", "[transport_uring]") {
    const std::size_t descriptors = count_descriptors();
    for (unsigned seed = 1; seed <= 60; ++seed) {
        UringTransport transport{all_sizes[seed % all_sizes.size()]};
        Dice dice{seed};
        const auto talkers = meeting(transport, 20, seed * 40, 300'000);
        const auto fate = [&] { return static_cast<Talker::Fate>(1 + dice() / 8 % 2); };
        for (const auto& talker : talkers) {
            if (dice() / 8 % 2 == 0) talker->fate = fate();
            talker->speak();
        }
        for (int turn = 0; turn < 50; ++turn) {
            transport.run_turn(Clock::now() + 1ms);
            talkers[dice() / 8 % talkers.size()]->meet(fate());
        }
        for (const auto& talker : talkers) talker->meet(fate());
        run_until(transport, [&] { return all_of(talkers, [](const Talker& one) { return one.is_gone(); }); });
        CHECK(all_of(talkers, [](const Talker& one) { return one.in_order && !one.broke_promise; }));
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("hundreds of streams start and end in any order", "[transport_uring]") {
    const std::size_t descriptors = count_descriptors();
    {
        UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
        Dice dice{7};
        Pairs pairs;
        for (unsigned round = 1; round <= 8; ++round) {
            while (pairs.size() < some_pages) {
                const auto who = static_cast<unsigned>(dice() % 10'000);
                pairs.push_back(narrow_pair(transport, words_of(who, 20)));
            }
            at_random(pairs, dice, [&](Pair& pair) {
                pair.heard.clear();
                pair.here->received.clear();
                CHECK(pair.here->send(pair.words));
                CHECK(::send(pair.there.get(), pair.words.data(), pair.words.size(), 0) == 20);
            });
            hear(transport, pairs);
            run_until(transport, [&] {
                return std::all_of(pairs.begin(), pairs.end(),
                                   [](const Pair& one) { return one.here->received == one.words; });
            });
            // Ends all streams, half of them, or all but one, so that pages become empty or have gaps.
            at_random(pairs, dice, [](Pair&) {});
            const std::size_t stay = round % 3 == 0 ? 0 : round % 3 == 1 ? some_pages / 2 : 1;
            for (; pairs.size() > stay; pairs.pop_back()) {
                if (dice() / 8 % 2 == 0) pairs.back().here->close();
                if (dice() / 8 % 8 == 0) transport.run_turn(Clock::now());
            }
        }
        CHECK(std::all_of(pairs.begin(), pairs.end(),
                          [](const Pair& one) { return one.here->ended + one.here->failed == 0; }));
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("streams that still send outlive their handles while new ones start", "[transport_uring]") {
    UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
    Dice dice{11};
    Pairs leaving, staying;
    for (unsigned i = 0; i < some_pages; ++i) {
        leaving.push_back(narrow_pair(transport, words_of(i, 20'000)));
        CHECK(leaving.back().here->send(leaving.back().words));
    }
    transport.run_turn(Clock::now());
    // Each time a stream without a request frees a place, and the next stream takes it.
    at_random(leaving, dice, [&](Pair& pair) {
        pair.here.reset();
        narrow_pair(transport, "");
        staying.push_back(narrow_pair(transport, words_of(static_cast<unsigned>(dice() % 10'000), 20)));
        CHECK(staying.back().here->send(staying.back().words));
        if (dice() / 8 % 8 == 0) transport.run_turn(Clock::now());
    });
    hear(transport, staying);
    CHECK(std::none_of(leaving.begin(), leaving.end(), [](const Pair& one) {
        pollfd question{.fd = one.there.get(), .events = POLLIN, .revents = 0};
        return ::poll(&question, 1, 0) != 1 || (question.revents & POLLHUP) != 0;
    }));
    hear(transport, leaving);
    watch_until(transport, [&] {
        return std::all_of(leaving.begin(), leaving.end(), [](const Pair& one) { return has_hung_up(one.there); });
    });
    CHECK(std::all_of(staying.begin(), staying.end(),
                      [](const Pair& one) { return one.here->ended + one.here->failed == 0; }));
}

TEST_CASE("the loop destroys the remaining streams", "[transport_uring]") {
    const std::size_t descriptors = count_descriptors();
    {
        Pairs pairs;
        UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
        Dice dice{13};
        for (unsigned i = 0; i < some_pages; ++i) pairs.push_back(narrow_pair(transport, words_of(i, 20'000)));
        transport.run_turn(Clock::now());
        // All receive. Some also send, hold bytes while they are paused, or are closing.
        at_random(pairs, dice, [&](Pair& pair) {
            if (dice() / 8 % 2 == 0) CHECK(pair.here->send(pair.words));
            if (dice() / 8 % 2 == 0) {
                pair.here->stream().pause_receiving();
                CHECK(::send(pair.there.get(), "held", 4, 0) == 4);
            }
        });
        transport.run_turn(Clock::now());
        at_random(pairs, dice, [&](Pair& pair) {
            if (dice() / 8 % 2 == 0) pair.here->close();
        });
        if (GENERATE(true, false)) transport.run_turn(Clock::now());
        at_random(pairs, dice, [](Pair& pair) { pair.here.reset(); });
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("pages without a stream are freed", "[transport_uring]") {
    detail::UringLoop loop{tiny};
    detail::UringStreams streams;
    Dice dice{17};
    std::vector<detail::UringStream*> all;
    const auto fill_up = [&] {
        while (all.size() < 3000) all.push_back(&streams.make(loop, Descriptor{}));
    };
    const auto destroy_some = [&](std::size_t stay) {
        std::shuffle(all.begin(), all.end(), dice);
        for (; all.size() > stay; all.pop_back()) streams.destroy(*all.back());
        CHECK(streams.count() == stay);
    };
    fill_up();
    const std::size_t pages = streams.pages();
    CHECK(pages <= 30);
    for (const std::size_t stay : {2000U, 100U, 1500U, 1U, 2999U}) {
        destroy_some(stay);
        CHECK(streams.pages() <= std::min(stay + 1, pages));
        fill_up();
        CHECK(streams.pages() == pages);  // all places are reused
        std::sort(all.begin(), all.end());
        CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
    }
    destroy_some(0);
    CHECK(streams.pages() == 1);
    for (int i = 0; i < 1000; ++i) streams.destroy(streams.make(loop, Descriptor{}));
    CHECK(streams.pages() == 1);
}

TEST_CASE("remaining streams are destroyed with their pages", "[transport_uring]") {
    const std::size_t descriptors = count_descriptors();
    {
        detail::UringLoop loop{tiny};
        detail::UringStreams streams;
        std::vector<detail::UringStream*> all;
        for (unsigned i = 0; i < some_pages; ++i) all.push_back(&streams.make(loop, unix_pair().first));
        for (unsigned i = 0; i < some_pages; i += 3) streams.destroy(*all[i]);
        CHECK(streams.count() == some_pages - some_pages / 3);
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("non-blocking sockets are served, too", "[transport_uring]") {
    UringTransport transport;
    auto one_and_other = tcp_pair();
    auto &one = one_and_other.first, &other = one_and_other.second;
    make_narrow(one);
    for (const Descriptor* socket : {&one, &other}) ::fcntl(socket->get(), F_SETFL, O_NONBLOCK);
    W here{transport, std::move(one)}, there{transport, std::move(other)};
    const std::string batch = pattern(2'000'000);
    CHECK_FALSE(here.send(batch));
    run_until(transport, [&] { return there.received.size() == batch.size(); });
    CHECK((there.received == batch));
    CHECK(there.send("back"));
    run_until(transport, [&] { return here.received == "back" && here.sent == 1; });
    CHECK(here.failed + there.failed == 0);
}

TEST_CASE("the sends of a turn are joined, and later ones follow in order", "[transport_uring]") {
    UringTransport transport;
    auto one_and_other = unix_pair();
    auto &one = one_and_other.first, &other = one_and_other.second;
    make_narrow(one);
    W here{transport, std::move(one)};
    CHECK(here.send("one "));
    CHECK(here.send("two "));
    const std::string long_one = pattern(50'000);
    CHECK(here.send(long_one));
    transport.run_turn(Clock::now());
    transport.run_turn(Clock::now());
    CHECK_FALSE(here.send("three"));  // the others are still in flight
    std::string heard;
    watch_until(transport, [&] {
        read_some(other, heard, 5000);
        return here.sent == 1 && heard.ends_with("three");
    });
    CHECK((heard == "one two " + long_one + "three"));
}

TEST_CASE("several streams send parts of the thread's arena", "[transport_uring]") {
    UringTransport transport;
    auto one_and_other = tcp_pair();
    auto &one = one_and_other.first, &other = one_and_other.second;
    auto two_and_another = tcp_pair();
    auto &two = two_and_another.first, &another = two_and_another.second;
    W first{transport, std::move(one)}, second{transport, std::move(two)};
    const std::string text = pattern(50'000);
    OutputBuffer& arena = transport.output();
    arena.append(bytes_of(text));
    const SendPiece front{std::as_const(arena).bytes().first(20'000), {}};
    CHECK(first.send(std::span{&front, 1}));
    REQUIRE(arena.size() == text.size());
    const SendPiece rest{std::as_const(arena).bytes().subspan(20'000), {}};
    CHECK(second.send(std::span{&rest, 1}));
    arena.clear();
    std::string heard, heard_too;
    watch_until(transport, [&] {
        read_some(other, heard, 5000);
        read_some(another, heard_too, 5000);
        return heard.size() + heard_too.size() == text.size();
    });
    CHECK((heard + heard_too == text));
}

TEST_CASE("bytes for which send returned true arrive even if the stream is closed", "[transport_uring]") {
    UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
    auto one_and_other = GENERATE(true, false) ? unix_pair() : tcp_pair();
    auto &one = one_and_other.first, &other = one_and_other.second;
    make_narrow(one);
    const std::string text = pattern(60'000);
    auto here = std::make_unique<W>(transport, std::move(one));
    // 300 bytes give more pieces than one request takes.
    const std::size_t size = GENERATE(60'000U, 300U);
    std::vector<SendPiece> pieces;
    for (std::size_t at = 0; at < text.size(); at += size) {
        pieces.push_back({bytes_of(std::string_view{text}.substr(at, size)), {}});
    }
    CHECK(here->send(pieces));
    const bool destroyed = GENERATE(true, false);
    const bool later = GENERATE(true, false);
    if (later) transport.run_turn(Clock::now());
    if (destroyed) {
        here.reset();
    } else {
        here->close();
        CHECK(here->stream().peer().empty());
    }
    std::string heard;
    bool goes_on = true;
    watch_until(transport, [&] {
        goes_on = read_some(other, heard, 1000);
        return !goes_on;
    });
    CHECK((heard == text));
    if (here) CHECK(here->released == 1);
}

TEST_CASE("bytes for which send returned true arrive even if the loop ends", "[transport_uring]") {
    UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
    auto one_and_other = unix_pair();
    auto idle_and_silent = unix_pair();
    auto &one = one_and_other.first, &other = one_and_other.second;
    make_narrow(one);
    const std::string text = pattern(60'000);
    W here{transport, std::move(one)}, bystander{transport, std::move(idle_and_silent.first)};
    CHECK(here.send(text));
    if (GENERATE(true, false)) transport.run_turn(Clock::now());
    here.close();
    transport.send_until(Clock::now() + patience);
    transport.stop();
    std::string heard;
    std::thread peer([&] {
        if (::write(idle_and_silent.second.get(), "late", 4) != 4) return;
        pollfd question{.fd = other.get(), .events = POLLIN, .revents = 0};
        char some[4096];
        for (ssize_t count = 1; count > 0;) {
            ::poll(&question, 1, -1);
            count = ::read(other.get(), some, sizeof some);
            if (count > 0) heard.append(some, static_cast<std::size_t>(count));
        }
    });
    transport.run();
    peer.join();
    CHECK((heard == text));
    CHECK(bystander.received.empty());
}

TEST_CASE("the loop does not wait for a closed stream longer than it may", "[transport_uring]") {
    const bool waits = GENERATE(false, true);
    auto one_and_other = unix_pair();
    make_narrow(one_and_other.first);
    {
        UringTransport transport;
        W here{transport, std::move(one_and_other.first)};
        CHECK(here.send(pattern(60'000)));
        here.close();
        if (waits) transport.send_until(Clock::now() + 20ms);
        transport.stop();
        transport.run();
    }
    std::string heard;
    while (heard.size() < 60'000 && read_some(one_and_other.second, heard, 5000)) {
    }
    CHECK(heard.size() < 60'000);
}

TEST_CASE("a closed stream stops sending to a peer that never reads", "[transport_uring]") {
    UringTransport transport;
    auto one_and_other = unix_pair();
    auto &one = one_and_other.first, &other = one_and_other.second;
    auto idle_and_silent = unix_pair();
    auto& idle = idle_and_silent.first;
    make_narrow(one);
    W here{transport, std::move(one)}, bystander{transport, std::move(idle)};
    CHECK(here.send(pattern(60'000)));
    here.close();
    run_until(transport, [&] { return here.released == 1; });
    CHECK_FALSE(has_hung_up(other));
    watch_until(transport, [&] { return has_hung_up(other); });
    CHECK(bystander.ended + bystander.failed == 0);
}

TEST_CASE("a peer that closes in the middle of a batch ends it", "[transport_uring]") {
    UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
    auto one_and_other = GENERATE(true, false) ? unix_pair() : tcp_pair();
    auto &one = one_and_other.first, &other = one_and_other.second;
    make_narrow(one);
    W here{transport, std::move(one)};
    const auto owner = std::make_shared<const std::string>(pattern(3'000'000));
    std::vector<SendPiece> pieces;
    for (std::size_t i = 0; i < owner->size(); i += 6000) {
        pieces.push_back({bytes_of(std::string_view{*owner}.substr(i, 6000)), owner});
    }
    const bool after_another = GENERATE(true, false);
    if (after_another) CHECK(here.send("first"));
    CHECK_FALSE(here.send(pieces));
    pieces.clear();
    std::string heard;
    watch_until(transport, [&] {
        read_some(other, heard, 5000);
        return heard.size() >= 100'000;
    });
    other.reset();
    run_until(transport, [&] { return here.failed == 1; });
    CHECK(here.sent == 0);
    CHECK_FALSE(here.send("more"));
    run_until(transport, [&] { return owner.use_count() == 1; });
    here.close();
    run_until(transport, [&] { return here.released == 1; });
    CHECK(here.sent == 0);
}

TEST_CASE("tasks run even if peers never stop sending", "[transport_uring]") {
    UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
    std::vector<Descriptor> ours, peers;
    for (int i = 0; i < 30; ++i) {
        auto one_and_other = unix_pair();
        auto &one = one_and_other.first, &other = one_and_other.second;
        ours.push_back(std::move(one));
        peers.push_back(std::move(other));
    }
    std::vector<std::unique_ptr<W>> served;
    transport.post([&] {
        for (Descriptor& socket : ours) {
            served.push_back(std::make_unique<W>(transport, std::move(socket)));
            served.back()->at_bytes = [&witness = *served.back()] { witness.received.clear(); };
        }
    });
    std::atomic<bool> enough{false};
    std::thread loop([&] { transport.run(); });
    std::thread flood([&] {
        const std::string bytes = pattern(1000);
        while (!enough) {
            for (const Descriptor& peer : peers) ::send(peer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        }
    });
    for (int i = 0; i < 200; ++i) {
        std::atomic<bool> ran{false};
        transport.post([&] { ran = true; });
        while (!ran) std::this_thread::yield();
    }
    transport.stop();
    loop.join();
    enough = true;
    flood.join();
}

TEST_CASE("another thread stops a busy loop, which is then destroyed", "[transport_uring]") {
    const std::size_t descriptors = count_descriptors();
    for (unsigned seed = 1; seed <= 20; ++seed) {
        auto transport = std::make_unique<UringTransport>(all_sizes[seed % all_sizes.size()]);
        Talkers talkers;
        std::atomic<bool> busy{false};
        transport->post([&] {
            talkers = meeting(*transport, 10, seed, 1'000'000);
            for (const auto& talker : talkers) talker->speak();
            busy = true;
        });
        std::thread loop([&] { transport->run(); });
        while (!busy) std::this_thread::yield();
        for (unsigned i = 0; i < seed; ++i) transport->post([] {});
        transport->stop();
        loop.join();
        CHECK(all_of(talkers, [](const Talker& one) { return one.in_order && !one.broke_promise; }));
        if (seed % 3 != 0) {
            for (const auto& talker : talkers) talker->meet(Talker::Fate::close);
        }
        talkers.clear();
        transport.reset();
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("peers that were not reported yet are closed with the transport", "[transport_uring]") {
    const std::size_t descriptors = count_descriptors();
    auto listeners = open_listeners({.host = "127.0.0.1"});
    REQUIRE(listeners);
    std::vector<Descriptor> visitors;
    {
        UringTransport transport{all_sizes[GENERATE(0U, 1U, 2U)]};
        transport.listen(std::move(listeners->sockets.front()), [](UringTransport::Socket) {});
        for (int i = 0; i < 40; ++i) visitors.push_back(visit(listeners->endpoint));
        SECTION("stopped before run()") {
            transport.stop();
            transport.run();
        }
        SECTION("stopped by a task") {
            transport.post([&] { transport.stop(); });
            transport.run();
        }
        SECTION("never run") {}
    }
    for (const Descriptor& visitor : visitors) {
        char byte;
        CHECK(::recv(visitor.get(), &byte, 1, 0) <= 0);
    }
    CHECK_FALSE(visit(listeners->endpoint));
    visitors.clear();
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("tasks that never ran may own streams", "[transport_uring]") {
    const std::size_t descriptors = count_descriptors();
    {
        auto one_and_other = tcp_pair();
        auto& one = one_and_other.first;
        UringTransport transport;
        auto here = std::make_unique<W>(transport, std::move(one));
        here->send("hello");
        transport.post([held = std::move(here)] { held->close(); });
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a piece of more than 2 GiB is sent", "[transport_uring]") {
    const std::size_t size = (std::size_t{2} << 30) + 12'345;
    void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    UringTransport transport;
    auto one_and_other = unix_pair();
    W here{transport, std::move(one_and_other.first)};
    std::size_t heard = 0;
    std::thread reader([&heard, socket = one_and_other.second.get()] {
        std::vector<char> place(std::size_t{1} << 20);
        for (ssize_t count = 1; count > 0; heard += static_cast<std::size_t>(count)) {
            count = ::recv(socket, place.data(), place.size(), 0);
            if (count < 0) break;
        }
    });
    struct AtEnd {  // a failed check ends this test only
        std::thread& reader;
        int socket;
        ~AtEnd() {
            ::shutdown(socket, SHUT_RDWR);
            if (reader.joinable()) reader.join();
        }
    } at_end{reader, one_and_other.second.get()};
    const SendPiece piece{{static_cast<const std::uint8_t*>(memory), size}, std::make_shared<int>()};
    CHECK_FALSE(here.send(std::span{&piece, 1}));
    run_until(transport, [&] { return here.sent + here.failed + here.ended > 0; });
    CHECK(here.sent == 1);
    here.stream().shutdown_send();
    reader.join();
    CHECK(heard == size);
    ::munmap(memory, size);
}

TEST_CASE("a listener that closes does not accept the peers of another", "[transport_uring]") {
    UringTransport transport;
    auto first = open_listeners({.host = "127.0.0.1"});
    REQUIRE(first);
    const int number = first->sockets[0].descriptor();
    int taken = 0;
    transport.listen(std::move(first->sockets[0]), [&](auto) { ++taken; });
    transport.stop_listening();
    // A new socket gets the lowest free descriptor.
    auto second = open_listeners({.host = "127.0.0.1"});
    REQUIRE(second);
    CHECK(second->sockets[0].descriptor() != number);
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    REQUIRE(::getsockname(second->sockets[0].descriptor(), reinterpret_cast<sockaddr*>(&bound), &size) == 0);
    const Descriptor client{::socket(bound.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    REQUIRE(::connect(client.get(), reinterpret_cast<sockaddr*>(&bound), size) == 0);
    watch_until(transport, [&] { return ::fcntl(number, F_GETFD) == -1; });  // the request of the first has ended
    CHECK(taken == 0);
    const Descriptor peer{::accept4(second->sockets[0].descriptor(), nullptr, nullptr, SOCK_CLOEXEC)};
    CHECK(peer);
}

TEST_CASE("the kernel releases all sockets even if the loop's thread continues", "[transport_uring]") {
    auto one_and_other = unix_pair();
    const Descriptor& other = one_and_other.second;
    auto transport = std::make_unique<UringTransport>();
    std::atomic<bool> has_run{false}, may_end{false};
    std::thread loop([&, socket = std::move(one_and_other.first)]() mutable {
        std::optional<W> here;
        transport->post([&] { here.emplace(*transport, std::move(socket)); });
        transport->post([&] { transport->post([&] { transport->stop(); }); });
        transport->run();
        here.reset();
        has_run = true;
        has_run.notify_one();
        may_end.wait(false);
    });
    has_run.wait(false);
    transport.reset();
    pollfd question{.fd = other.get(), .events = POLLIN, .revents = 0};
    CHECK(::poll(&question, 1, static_cast<int>(std::chrono::milliseconds{patience}.count())) == 1);
    CHECK(has_hung_up(other));
    may_end = true;
    may_end.notify_one();
    loop.join();
}
