// The contract of transports over real sockets, in addition to transport_test.cpp, tested for each model.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "support/allocations.hpp"
#include "support/socket_peers.hpp"
#include "support/transport_rigs.hpp"
#include "wsserver/base/within_memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

#define SOCKET_TRANSPORTS AsioTcpRig AND_URING(UringTcpRig)

namespace {

/// Has no assertions, because an assertion may need a descriptor. (The undefined behaviour sanitizer needs some for the
/// first virtual call of each kind.)
template <class T>
class Guest final : public StreamUser {
   public:
    Guest(T& transport, typename T::Socket socket) : stream(transport, std::move(socket)) { stream.start(*this); }

    typename T::Stream stream;
    std::size_t received = 0;
    bool released = false;

   private:
    void on_bytes(MutableBytes bytes) override { received += bytes.size(); }
    void on_sent() override {}
    void on_end(std::error_code) override {}
    void on_released() override { released = true; }
};

/// Lowers the limit of descriptors until lift() or its destructor, to `more` than are open now.
class FewDescriptors {
   public:
    explicit FewDescriptors(rlim_t more) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const int next = ::dup(0);
        ::close(next);
        few_ = before_;
        few_.rlim_cur = static_cast<rlim_t>(next) + more;
        lower();
    }
    ~FewDescriptors() { lift(); }

    void lower() const { ::setrlimit(RLIMIT_NOFILE, &few_); }
    void lift() const { ::setrlimit(RLIMIT_NOFILE, &before_); }

   private:
    rlimit before_, few_;
};

int option(int socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(socket, level, name, &value, &size);
    return value;
}

/// Makes a system call fail with `error` on this thread from now on. Returns false if seccomp is not available.
bool forbid(unsigned call, unsigned error) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int number_of(const Descriptor& socket) { return socket.get(); }
#if WSSERVER_URING
int number_of(const UringTransport::Socket& socket) { return socket.descriptor().get(); }
#endif

}  // namespace

TEMPLATE_TEST_CASE("an echo allocates nothing", "[transport_sockets]", SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    std::vector<std::unique_ptr<EchoUser<T>>> all;
    for (int i = 0; i < 50; ++i) {
        auto [one, other] = tcp_pair();
        all.push_back(std::make_unique<EchoUser<T>>(rig.transport, std::move(one)));
        all.push_back(std::make_unique<EchoUser<T>>(rig.transport, std::move(other)));
        all.back()->begin("hello");
    }
    const auto turns = [&] {
        std::size_t sum = 0;
        for (const auto& echo : all) sum += echo->turns;
        return sum;
    };
    rig.until([&] { return turns() > 1000; });
    const std::size_t before = allocations;
    while (turns() < 20'000) rig.turn();
    CHECK(allocations == before);
}

TEMPLATE_TEST_CASE("a stream with little to receive does not wait for all that have much", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    std::vector<std::unique_ptr<Guest<T>>> busy;
    std::vector<Descriptor> floods;
    std::size_t waiting = 0;  // bytes in the sockets
    const std::string bytes(64 << 10, 'x');
    for (int i = 0; i < 40; ++i) {
        auto [ours, theirs] = tcp_pair();
        for (;;) {
            const ssize_t count = ::send(theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
            if (count <= 0) break;
            waiting += static_cast<std::size_t>(count);
        }
        busy.push_back(std::make_unique<Guest<T>>(rig.transport, std::move(ours)));
        floods.push_back(std::move(theirs));
    }
    auto [ours, theirs] = tcp_pair();
    Guest<T> polite{rig.transport, std::move(ours)};
    const auto taken = [&] {
        std::size_t sum = 0;
        for (const auto& guest : busy) sum += guest->received;
        return sum;
    };
    const std::size_t most = std::size_t{6} << 20;  // two rounds of all of them, 64 KiB each
    REQUIRE(waiting > 4 * most);
    rig.until([&] { return taken() > (std::size_t{1} << 20); });
    for (std::size_t message = 1; message <= 3; ++message) {
        const std::size_t before = taken();
        REQUIRE(::send(theirs.get(), "hello", 5, 0) == 5);
        rig.until([&] { return polite.received == 5 * message; });
        CHECK(taken() - before < most);
    }
}

TEMPLATE_TEST_CASE("a stream may be paused and resumed often while it waits for its turn", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    /// Changes its mind all the time.
    struct Fickle final : StreamUser {
        Fickle(T& transport, typename T::Socket socket) : stream(transport, std::move(socket)) { stream.start(*this); }
        void on_bytes(MutableBytes bytes) override {
            received += bytes.size();
            change();
        }
        void on_sent() override {}
        void on_end(std::error_code) override {}
        void on_released() override { released = true; }
        void change() {
            for (int i = 0; i < 300; ++i) {
                stream.pause_receiving();
                stream.resume_receiving();
            }
        }
        typename T::Stream stream;
        std::size_t received = 0;
        bool released = false;
    };
    TestType rig;
    std::vector<std::unique_ptr<Fickle>> busy;
    std::vector<Descriptor> floods;
    const std::string bytes(1 << 20, 'x');
    std::size_t sent = 0;
    for (int i = 0; i < 20; ++i) {
        auto [ours, theirs] = tcp_pair();
        const ssize_t count = ::send(theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        REQUIRE(count > 0);
        sent += static_cast<std::size_t>(count);
        busy.push_back(std::make_unique<Fickle>(rig.transport, std::move(ours)));
        floods.push_back(std::move(theirs));
    }
    const auto received = [&] {
        std::size_t sum = 0;
        for (const auto& one : busy) sum += one->received;
        return sum;
    };
    while (received() < sent) {
        for (const auto& one : busy) one->change();
        rig.turn();
    }
    CHECK(received() == sent);
    for (const auto& one : busy) one->stream.close();
    rig.until([&] { return std::ranges::all_of(busy, [](const auto& one) { return one->released; }); });
}

TEMPLATE_TEST_CASE("streams with much to receive are served in turn", "[transport_sockets]", SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    std::vector<std::unique_ptr<Guest<T>>> busy;
    std::vector<Descriptor> floods;
    const std::string bytes(3 << 19, 'x');
    for (int i = 0; i < 20; ++i) {
        auto [ours, theirs] = tcp_pair();
        REQUIRE(::send(theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) == (3 << 19));
        busy.push_back(std::make_unique<Guest<T>>(rig.transport, std::move(ours)));
        floods.push_back(std::move(theirs));
    }
    const auto received = [](const auto& guest) { return guest->received; };
    const auto least = [&] { return received(*std::ranges::min_element(busy, {}, received)); };
    rig.until([&] { return least() >= (128 << 10); });
    // One may have taken all buffers before the others asked.
    CHECK(std::ranges::count_if(busy, [](const auto& guest) { return guest->received > (512 << 10); }) <= 1);
}

TEMPLATE_TEST_CASE("wake-ups and posted tasks do not allocate either", "[transport_sockets]", SOCKET_TRANSPORTS) {
    TestType rig;
    int woken = 0;
    rig.transport.on_wake([&] {
        ++woken;
        rig.transport.post([&] { rig.transport.wake_at(rig.transport.now()); });
    });
    rig.transport.wake_at(rig.transport.now());
    rig.until([&] { return woken == 10; });
    const std::size_t before = allocations;
    while (woken < 100) rig.turn();
    CHECK(allocations == before);
}

TEMPLATE_TEST_CASE("accepted sockets have TCP_NODELAY and are close-on-exec", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    auto listeners = open_listeners({.host = "127.0.0.1"});
    REQUIRE(listeners);
    std::optional<typename T::Socket> accepted;
    rig.transport.listen(std::move(listeners->sockets.front()),
                         [&](typename T::Socket socket) { accepted = std::move(socket); });
    const Descriptor visitor = visit(listeners->endpoint);
    rig.until([&] { return accepted.has_value(); });
    CHECK(option(number_of(*accepted), IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK((::fcntl(number_of(*accepted), F_GETFD) & FD_CLOEXEC) != 0);
}

TEMPLATE_TEST_CASE("a socket may be passed to the transport of another thread", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    T here, there;
    auto [one, other] = tcp_pair();
    std::thread loop([&] { there.run(); });
    std::unique_ptr<EchoUser<T>> echo;
    there.post(
        [&, socket = std::move(other)]() mutable { echo = std::make_unique<EchoUser<T>>(there, std::move(socket)); });
    RecordingUser<T> visitor{here, std::move(one)};
    visitor.send("hello");
    run_until(here, [&] { return visitor.received == "hello"; });
    there.post([&] {
        echo.reset();
        there.stop();
    });
    loop.join();
}

TEMPLATE_TEST_CASE("a stream knows the address of its peer", "[transport_sockets]", SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    auto [ipv4, ipv4_peer] = tcp_pair("127.0.0.1:0");
    auto [ipv6, ipv6_peer] = tcp_pair("[::1]:0");
    const std::string ipv4_name = to_string(local_endpoint(ipv4_peer.get()));
    const std::string ipv6_name = to_string(local_endpoint(ipv6_peer.get()));
    CHECK_THAT(ipv4_name, Catch::StartsWith("127.0.0.1:"));
    CHECK_THAT(ipv6_name, Catch::StartsWith("[::1]:"));
    using Stream = typename T::Stream;
    CHECK(Stream(rig.transport, std::move(ipv4)).peer() == ipv4_name);
    CHECK(Stream(rig.transport, std::move(ipv6)).peer() == ipv6_name);

    // IPv4 through a socket for both families.
    auto listeners = open_listeners({});
    REQUIRE(listeners);
    const Descriptor visitor = visit(listeners->endpoint);
    Stream stream(rig.transport, Descriptor{::accept(listeners->sockets[0].descriptor(), nullptr, nullptr)});
    CHECK(stream.peer() == to_string(local_endpoint(visitor.get())));
    CHECK_THAT(stream.peer(), Catch::StartsWith("127.0.0.1:"));
}

TEMPLATE_TEST_CASE("without descriptors accepting pauses, does not spin, and continues", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    auto first = open_listeners({.host = "127.0.0.1"});
    auto listeners = open_listeners({.host = "127.0.0.1"});
    REQUIRE(first);
    REQUIRE(listeners);
    std::vector<std::unique_ptr<Guest<T>>> served;
    int pauses = 0;
    std::error_code why;
    rig.transport.on_accept_paused([&](std::error_code error) {
        ++pauses;
        why = error;
    });
    const auto serve = [&](typename T::Socket socket) {
        served.push_back(std::make_unique<Guest<T>>(rig.transport, std::move(socket)));
    };
    rig.transport.listen(std::move(first->sockets.front()), serve);
    std::vector<Descriptor> visitors;
    for (int i = 0; i < 2; ++i) visitors.push_back(visit(first->endpoint));
    ::send(visitors.front().get(), "x", 1, 0);
    rig.until([&] { return served.size() == 2 && served.front()->received == 1; });
    served.back()->stream.close();
    rig.until([&] { return served.back()->released; });
    served.pop_back();
    // The limit is lowered while the second listener accepts.
    rig.transport.listen(std::move(listeners->sockets.front()), serve);
    rig.poll();
    for (int i = 0; i < 19; ++i) visitors.push_back(visit(listeners->endpoint));
    const FewDescriptors few{7};
    rig.until([&] { return pauses == 1; });
    // It tries again every 100 ms, which does not count as a new pause. Accepted streams are served meanwhile.
    ::send(visitors.front().get(), "x", 1, 0);
    const std::size_t wakeups = rig.pass(450ms);
    few.lift();
    CHECK(why == std::errc::too_many_files_open);
    CHECK(served.size() == 8);
    CHECK(wakeups <= 16);
    CHECK(pauses == 1);
    CHECK(std::count_if(served.begin(), served.end(), [](const auto& s) { return s->received == 2; }) == 1);

    SECTION("at once when a stream closes") {
        few.lower();
        for (std::size_t left = 20 - 8; left > 0; --left) {
            const std::size_t before = served.size();
            served.back()->stream.close();
            rig.until([&] { return served.size() > before; });
        }
        few.lift();
        CHECK(served.size() == 20);
    }
    SECTION("soon after other descriptors become free") {
        rig.until([&] { return served.size() == 20; });
        CHECK(pauses == 1);
        visitors.push_back(visit(listeners->endpoint));
        rig.until([&] { return served.size() == 21; });
    }
    SECTION("unless listening has stopped") {
        rig.transport.stop_listening();
        served.front()->stream.close();
        rig.pass(150ms);
        CHECK(served.size() == 8);
    }
}

TEMPLATE_TEST_CASE("where accepting is forbidden it pauses and does not spin", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    auto listeners = open_listeners({.host = "127.0.0.1"});
    REQUIRE(listeners);
    const Descriptor visitor = visit(listeners->endpoint);
    std::error_code why;
    std::size_t wakeups = 0;
    bool possible = false;
    std::thread{[&] {
        possible = forbid(__NR_accept4, EPERM);
        TestType rig;
        rig.transport.on_accept_paused([&](std::error_code error) { why = error; });
        rig.transport.listen(std::move(listeners->sockets.front()), [](auto) {});
        if (!possible) return;
        rig.until([&] { return bool{why}; });
        wakeups = rig.pass(450ms);
    }}.join();
    if (!possible) return;
    CHECK(why == std::errc::operation_not_permitted);
    CHECK(wakeups <= 16);
}

TEMPLATE_TEST_CASE("a listener that cannot be waited for pauses and does not spin", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    TestType rig;
    std::error_code why;
    int pauses = 0;
    rig.transport.on_accept_paused([&](std::error_code error) {
        ++pauses;
        why = error;
    });
    rig.transport.post([&] { rig.transport.listen(ListeningSocket{}, [](auto) {}); });
    rig.until([&] { return bool{why}; });
    CHECK(why == std::errc::bad_file_descriptor);
    CHECK(rig.pass(450ms) <= 16);
    CHECK(pauses == 1);
    rig.transport.stop_listening();
    rig.poll();
}

TEST_CASE("a listener that epoll refuses costs no memory", "[transport_sockets]") {
    auto listeners = open_listeners({.host = "127.0.0.1"});
    REQUIRE(listeners);
    std::error_code why;
    bool possible = false;
    std::size_t before = 0, after = 0;
    std::thread{[&] {
        AsioTcpRig rig;
        rig.transport.on_accept_paused([&](std::error_code error) { why = error; });
        possible = forbid(__NR_epoll_ctl, ENOSPC);
        if (!possible) return;
        rig.transport.listen(std::move(listeners->sockets.front()), [](auto) {});
        before = bytes_in_use;
        rig.pass(450ms);
        after = bytes_in_use;
    }}.join();
    if (!possible) return;
    CHECK(why == std::errc::no_space_on_device);
    CHECK(after == before);
}

TEST_CASE("a listener that epoll takes later accepts, whatever there was no memory for", "[transport_sockets]") {
    bool happened = true;
    for (std::size_t first = 1; happened; ++first) {
        AsioTcpRig rig;
        auto listeners = open_listeners({.host = "127.0.0.1"});
        REQUIRE(listeners);
        const Descriptor visitor = visit(listeners->endpoint);
        const int number = listeners->sockets.front().descriptor();
        const Descriptor copy{::fcntl(number, F_DUPFD_CLOEXEC, 0)};
        ::close(number);  // epoll refuses it
        bool accepted = false, listens = false;
        {
            const AllocationsMayFail scope;
            AllocationFailures::from(first, 1000);
            listens = within_memory([&] {
                rig.transport.listen(std::move(listeners->sockets.front()), [&](Descriptor) { accepted = true; });
            });
            happened = AllocationFailures::happened() > 0;
            AllocationFailures::none();
        }
        REQUIRE(::dup3(copy.get(), number, O_CLOEXEC) == number);
        if (listens) {
            rig.until([&] { return accepted; });
        } else {
            ::close(number);
        }
    }
}

TEMPLATE_TEST_CASE("a listener that has stopped is freed", "[transport_sockets]", SOCKET_TRANSPORTS) {
    TestType rig;
    const std::size_t descriptors = count_descriptors();
    const auto owned = std::make_shared<int>();
    const bool pauses = GENERATE(false, true);
    bool has_paused = false;
    rig.transport.on_accept_paused([&](std::error_code) { has_paused = true; });
    for (int i = 0; i < 100; ++i) {
        auto listeners = open_listeners({.host = "127.0.0.1"});
        REQUIRE(listeners);
        bool accepted = false;
        rig.transport.listen(std::move(listeners->sockets.front()), [&accepted, owned](auto) { accepted = true; });
        if (i % 2 == 0) {
            const Descriptor visitor = visit(listeners->endpoint);
            rig.until([&] { return accepted; });
        }
        if (pauses && i % 10 == 1) {
            rig.poll();
            const Descriptor visitor = visit(listeners->endpoint);
            const FewDescriptors few{0};
            has_paused = false;
            rig.until([&] { return has_paused; });
        }
        rig.transport.stop_listening();
    }
    rig.until([&] { return owned.use_count() == 1; });
    CHECK(count_descriptors() == descriptors);
}

TEMPLATE_TEST_CASE("several threads with a listener each share one port", "[transport_sockets]", SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    auto listeners = open_listeners({.host = "127.0.0.1"}, 3);
    REQUIRE(listeners);
    std::vector<std::unique_ptr<T>> transports;
    std::vector<std::vector<std::unique_ptr<EchoUser<T>>>> served(3);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 3; ++i) {
        transports.push_back(std::make_unique<T>());
        transports[i]->listen(std::move(listeners->sockets[i]), [&, i](typename T::Socket socket) {
            served[i].push_back(std::make_unique<EchoUser<T>>(*transports[i], std::move(socket)));
        });
    }
    for (auto& transport : transports) threads.emplace_back([&transport] { transport->run(); });

    T here;
    std::vector<std::unique_ptr<RecordingUser<T>>> visitors;
    for (int i = 0; i < 300; ++i) {
        visitors.push_back(std::make_unique<RecordingUser<T>>(here, visit(listeners->endpoint)));
        visitors.back()->send("hello");
    }
    run_until(here, [&] {
        return std::all_of(visitors.begin(), visitors.end(), [](const auto& v) { return v->received == "hello"; });
    });
    for (auto& transport : transports) transport->stop();
    for (auto& thread : threads) thread.join();
    std::size_t total = 0;
    for (const auto& some : served) {
        CHECK_FALSE(some.empty());
        total += some.size();
    }
    CHECK(total == 300);
}

TEMPLATE_TEST_CASE("thousands of connections are served", "[transport_sockets]", SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    rlimit limit;
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlim_t soft = std::exchange(limit.rlim_cur, limit.rlim_max);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    const std::size_t count = std::min<std::size_t>(4000, (limit.rlim_max - 50) / 2);
    {
        TestType rig;
        auto listeners = open_listeners({.host = "127.0.0.1"});
        REQUIRE(listeners);
        std::vector<std::unique_ptr<EchoUser<T>>> served;
        rig.transport.listen(std::move(listeners->sockets.front()), [&](typename T::Socket socket) {
            served.push_back(std::make_unique<EchoUser<T>>(rig.transport, std::move(socket)));
        });
        std::vector<std::unique_ptr<RecordingUser<T>>> visitors;
        while (visitors.size() < count) {
            visitors.push_back(std::make_unique<RecordingUser<T>>(rig.transport, visit(listeners->endpoint)));
            visitors.back()->send("hello");
            rig.poll();
        }
        rig.until([&] {
            return std::all_of(visitors.begin(), visitors.end(), [](const auto& v) { return v->received == "hello"; });
        });
        CHECK(served.size() == count);
        for (auto& visitor : visitors) visitor->close();
        rig.until([&] {
            return std::all_of(visitors.begin(), visitors.end(), [](const auto& v) { return v->released == 1; }) &&
                   std::all_of(served.begin(), served.end(), [](const auto& s) { return s->ended; });
        });
    }
    limit.rlim_cur = soft;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

TEMPLATE_TEST_CASE("bytes in a socket are received even if it was reset while paused", "[transport_sockets]",
                   SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    auto [one, other] = tcp_pair();
    RecordingUser<T> witness{rig.transport, std::move(one)};
    witness.stream().pause_receiving();
    ::send(other.get(), "bye", 3, 0);
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(other.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    other.reset();
    rig.pass(10ms);
    CHECK(witness.received.empty());
    CHECK(witness.failed == 0);
    witness.stream().resume_receiving();
    rig.until([&] { return witness.failed + witness.ended == 1; });
    CHECK(witness.received == "bye");
}

TEMPLATE_TEST_CASE("a stream without a socket fails when it starts", "[transport_sockets]", SOCKET_TRANSPORTS) {
    using T = typename TestType::T;
    TestType rig;
    RecordingUser<T> nothing{rig.transport, Descriptor{}};
    CHECK(nothing.stream().peer().empty());
    rig.until([&] { return nothing.failed == 1; });
    nothing.close();
    rig.until([&] { return nothing.released == 1; });
}

TEMPLATE_TEST_CASE("a task that throws is not run again", "[transport_sockets]", SOCKET_TRANSPORTS) {
    TestType rig;
    int runs = 0;
    rig.transport.post([&] { throw ++runs; });
    CHECK_THROWS_AS(rig.until([] { return false; }), int);
    for (int i = 1; i <= 3; ++i) {
        int others = 0;
        rig.transport.post([&] { ++others; });
        rig.until([&] { return others > 0; });
        CHECK(others == 1);
        CHECK(runs == 1);
    }
}
