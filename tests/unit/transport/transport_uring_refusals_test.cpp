// Tests of the transport over io_uring while the kernel refuses its calls or loses completions. Each call fails in
// turn.
#include <atomic>
#include <cerrno>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "support/allocations.hpp"
#include "support/socket_peers.hpp"
#include "support/talkers.hpp"
#include "support/transport_rigs.hpp"
#include "wsserver/transport/detail/uring/calls.hpp"
#include "wsserver/transport/detail/uring/loop.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

using W = RecordingUser<UringTransport>;

/// The kernel's calls, some of which fail. Any thread may call the public members.
class Refusals final : public detail::UringCalls {
   public:
    /// From call number `first` on, 1 being the next one, `count` calls fail with `error`. EBADR: the completions that
    /// the kernel has ready are lost. Calls that register buffers do not count.
    void from(std::size_t first, std::size_t count, int error) {
        first_ = calls_ + first;
        count_ = count;
        error_ = error;
    }
    /// All calls fail, or all except those that only collect completions.
    void all(int error, bool also_collect) {
        also_collect_ = also_collect;
        from(1, forever, error);
    }
    void none() { count_ = 0; }
    /// The next `count` calls that register buffers fail.
    void registrations(std::size_t count, int error) {
        registrations_ = count;
        registration_error_ = error;
    }
    /// The next `count` requests with this operation complete with EINVAL at once.
    void requests(std::uint8_t operation, std::size_t count) {
        operation_ = operation;
        requests_ = count;
    }
    /// The next `count` calls that cancel requests end none, although they find some.
    void cancellations(std::size_t count) { cancellations_ = count; }
    /// The number of calls and requests that have failed.
    std::size_t happened() const { return happened_; }
    /// The number of calls.
    std::size_t made() const { return calls_; }

    static constexpr std::size_t forever = std::size_t{1} << 60;

   private:
    int submit(io_uring& ring) noexcept override { return fails(ring) ? -error_ : UringCalls::submit(ring); }
    int submit_and_collect(io_uring& ring) noexcept override {
        return fails(ring) ? -error_ : UringCalls::submit_and_collect(ring);
    }
    int submit_and_wait(io_uring& ring, __kernel_timespec* time) noexcept override {
        return fails(ring) ? -error_ : UringCalls::submit_and_wait(ring, time);
    }
    int collect(io_uring& ring) noexcept override {
        return also_collect_ && fails(ring) ? -error_ : UringCalls::collect(ring);
    }
    int register_buffers(io_uring& ring, io_uring_buf_reg& buffers) noexcept override {
        if (registrations_ == 0) return UringCalls::register_buffers(ring, buffers);
        --registrations_;
        ++happened_;
        return -registration_error_;
    }
    int cancel(io_uring& ring, io_uring_sync_cancel_reg& which) noexcept override {
        if (cancellations_ == 0) return UringCalls::cancel(ring, which);
        --cancellations_;
        ++happened_;
        return 1;
    }
    void sleep(std::chrono::milliseconds) noexcept override { std::this_thread::yield(); }

    /// The kernel does not know operation 255.
    void spoil_requests(io_uring& ring) noexcept {
        const auto& queue = ring.sq;
        for (unsigned i = *queue.khead; i != queue.sqe_tail && requests_ > 0; ++i) {
            io_uring_sqe& sqe = queue.sqes[i & queue.ring_mask];
            if (sqe.opcode != operation_) continue;
            sqe.opcode = 255;
            --requests_;
            ++happened_;
        }
    }
    bool fails(io_uring& ring) noexcept {
        spoil_requests(ring);
        const std::size_t number = ++calls_;
        if (number < first_ || number - first_ >= count_) return false;
        ++happened_;
        if (error_ == EBADR) lose_completions(ring);
        return true;
    }
    void lose_completions(io_uring& ring) noexcept {
        UringCalls::submit_and_collect(ring);
        io_uring_cq_advance(&ring, io_uring_cq_ready(&ring));
        ++*ring.cq.koverflow;
    }

    std::atomic<std::size_t> calls_{0}, first_{0}, count_{0}, happened_{0}, registrations_{0}, requests_{0},
        cancellations_{0};
    std::atomic<std::uint8_t> operation_{0};
    std::atomic<int> error_{0}, registration_error_{0};
    std::atomic<bool> also_collect_{true};
};

UringSizes with(UringSizes sizes, Refusals& calls) {
    sizes.calls = &calls;
    return sizes;
}

/// Talkers, a listener with an echo and a visitor, a timer and a task of another thread, on one loop.
class Scene {
   public:
    explicit Scene(const UringSizes& sizes) : transport(sizes), talkers(meeting(transport, 4, 3, 30'000)) {
        auto listeners = open_listeners({.host = "127.0.0.1"});
        REQUIRE(listeners);
        endpoint_ = listeners->endpoint;
        transport.listen(std::move(listeners->sockets.front()), [this](UringTransport::Socket socket) {
            guests_.push_back(std::make_unique<EchoUser<UringTransport>>(transport, std::move(socket)));
        });
        transport.on_completions_lost([this] { ++losses; });
        transport.on_wake([this] {
            if (++wake_ups_ < 3) transport.wake_at(transport.now() + 1ms);
        });
        transport.wake_at(transport.now());
        for (const auto& talker : talkers) talker->speak();
        invite();
        thread_ = std::thread([this] { transport.post([this] { has_posted_ = true; }); });
    }
    ~Scene() { thread_.join(); }

    bool all_said_and_heard() const {
        return all_of(talkers, [](const Talker& one) { return one.said_all() && one.heard_all(); });
    }
    /// Closes what has failed or ended, and makes the visitor come again.
    void clear_up() {
        for (const auto& talker : talkers) {
            if (talker->has_failed || talker->has_ended) talker->meet(Talker::Fate::close);
        }
        std::erase_if(guests_, [](const auto& guest) { return guest->ended; });
        if (visitor_->failed + visitor_->ended > 0) invite();
    }
    bool all_said_and_heard_or_gone() const {
        return all_of(talkers, [](const Talker& one) { return one.is_gone() || (one.said_all() && one.heard_all()); });
    }
    bool the_rest_is_done() const { return wake_ups_ >= 3 && has_posted_ && visitor_->received == "hello"; }
    bool visitor_is_well() const { return visitor_->failed + visitor_->ended == 0; }

    UringTransport transport;
    Talkers talkers;
    int losses = 0;

   private:
    void invite() {
        visitor_ = std::make_unique<W>(transport, visit(endpoint_));
        visitor_->send("hello");
    }

    Endpoint endpoint_;
    std::vector<std::unique_ptr<EchoUser<UringTransport>>> guests_;
    std::unique_ptr<W> visitor_;
    int wake_ups_ = 0;
    bool has_posted_ = false;
    std::thread thread_;
};

bool promises_kept(const Scene& scene) {
    return all_of(scene.talkers, [](const Talker& one) { return one.in_order && !one.broke_promise; });
}

/// A stream on another thread: it notes what happens, and asserts nothing, since only a test's own thread may do that.
class RemoteUser final : public StreamUser {
   public:
    RemoteUser(UringTransport& transport, Descriptor socket) : stream_(transport, std::move(socket)) {
        stream_.start(*this);
    }

    bool send(std::string_view bytes) {
        const SendPiece piece{bytes_of(bytes), {}};
        return stream_.send(std::span{&piece, 1});
    }
    void close() { stream_.close(); }

    std::string received;
    int failed = 0;

   private:
    void on_bytes(MutableBytes bytes) override { received += text_of(bytes); }
    void on_sent() override {}
    void on_end(std::error_code why) override { failed += why ? 1 : 0; }
    void on_released() override {}

    UringTransport::Stream stream_;
};

/// A loop that runs on a thread of its own, with a stream.
class Running {
   public:
    explicit Running(const UringSizes& sizes) : transport_(std::make_unique<UringTransport>(sizes)) {
        auto [ours, theirs] = unix_pair();
        peer = std::move(theirs);
        thread_ = std::thread([this] { transport_->run(); });
        call([&, socket = std::move(ours)]() mutable {
            stream = std::make_unique<RemoteUser>(*transport_, std::move(socket));
        });
        REQUIRE(::send(peer.get(), "x", 1, 0) == 1);
        until([this] { return stream->received == "x"; });
    }
    ~Running() { stop(); }

    UringTransport& transport() { return *transport_; }
    /// Runs `task` on the loop and waits for it.
    void call(UniqueFunction<void()> task) {
        const auto done = std::make_shared<std::promise<void>>();
        transport_->post([&task, done] {
            task();
            done->set_value();
        });
        done->get_future().wait();
    }
    /// Waits until `done` returns true on the loop.
    void until(const std::function<bool()>& done) {
        bool is_done = false;
        while (!is_done) call([&] { is_done = done(); });
    }
    /// Sets the timer, and waits until it has woken the loop.
    void await_wake_up() {
        const auto woken = std::make_shared<std::promise<void>>();
        call([&] {
            transport_->on_wake([woken] { woken->set_value(); });
            transport_->wake_at(transport_->now() + 300ms);
        });
        woken->get_future().wait();
    }
    void stop() {
        if (!thread_.joinable()) return;
        transport_->stop();
        thread_.join();
        stream.reset();
        transport_.reset();
    }

    Descriptor peer;
    std::unique_ptr<RemoteUser> stream;

   private:
    std::unique_ptr<UringTransport> transport_;
    std::thread thread_;
};

}  // namespace

TEST_CASE("a refused call is repeated, whichever it is", "[transport_uring_refusals]") {
    const int error = GENERATE(ENOMEM, EAGAIN, EBUSY, EINTR);
    const std::size_t in_a_row = GENERATE(1U, 5U);
    const UringSizes sizes = all_sizes[GENERATE(0U, 1U, 2U)];
    const std::size_t descriptors = count_descriptors();
    std::size_t number = 1;
    for (bool happened = true; happened; number += in_a_row) {
        Refusals calls;
        calls.from(number, in_a_row, error);
        {
            Scene scene{with(sizes, calls)};
            run_until(scene.transport, [&] { return scene.all_said_and_heard() && scene.the_rest_is_done(); });
            CHECK(promises_kept(scene));
            CHECK(scene.visitor_is_well());
            CHECK(scene.losses == 0);
        }
        CHECK(count_descriptors() == descriptors);
        happened = calls.happened() > 0;
    }
    CHECK(number > 10);
}

TEST_CASE("lost completions end streams once, and the loop goes on", "[transport_uring_refusals]") {
    const std::size_t in_a_row = GENERATE(1U, 3U);
    const std::size_t registrations = GENERATE(0U, 3U);
    const UringSizes sizes = all_sizes[GENERATE(0U, 1U, 2U)];
    const std::size_t descriptors = count_descriptors();
    std::size_t number = 1;
    for (bool happened = true; happened; ++number) {
        Refusals calls;
        calls.from(number, in_a_row, EBADR);
        {
            Scene scene{with(sizes, calls)};
            calls.registrations(registrations, ENOMEM);
            run_until(scene.transport, [&] {
                scene.clear_up();
                return scene.all_said_and_heard_or_gone() && scene.the_rest_is_done();
            });
            CHECK(promises_kept(scene));
            happened = scene.losses > 0;
        }
        CHECK(count_descriptors() == descriptors);
    }
    CHECK(number > 10);
}

TEST_CASE("a loop whose calls are refused for long runs tasks and timers, and does not spin",
          "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    const int error = GENERATE(ENOMEM, EAGAIN, EBUSY, EINTR);
    const bool also_collect = GENERATE(true, false);
    {
        Refusals calls;
        Running running{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        calls.all(error, also_collect);
        bool all_sent = false;
        running.call([&] { all_sent = running.stream->send("sent later"); });
        CHECK(all_sent);
        running.await_wake_up();
        CHECK(calls.happened() < 100);  // about 10 pauses, with two calls each
        if (!also_collect) {
            REQUIRE(::send(running.peer.get(), "y", 1, 0) == 1);
            running.until([&] { return running.stream->received == "xy"; });
        }
        SECTION("and continues") {
            calls.none();
            std::string heard(10, '\0');
            CHECK(::recv(running.peer.get(), heard.data(), heard.size(), MSG_WAITALL) == 10);
            CHECK(heard == "sent later");
            REQUIRE(::send(running.peer.get(), "z", 1, 0) == 1);
            running.until([&] { return running.stream->received.ends_with('z'); });
        }
        SECTION("and stops") { running.stop(); }
        SECTION("and stops after it has closed a stream") {
            running.call([&] { running.stream->close(); });
            running.stop();
            CHECK(has_hung_up(running.peer));
        }
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a loop that loses completions again and again runs tasks and timers, and does not spin",
          "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    {
        Refusals calls;
        Running running{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        calls.all(EBADR, true);
        running.await_wake_up();
        CHECK(calls.happened() < 100);
        int failed = 0;
        running.call([&] { failed = running.stream->failed; });
        CHECK(failed == 1);
        SECTION("and continues") {
            calls.none();
            auto [ours, theirs] = unix_pair();
            running.call([&, socket = std::move(ours)]() mutable {
                running.stream = std::make_unique<RemoteUser>(running.transport(), std::move(socket));
            });
            REQUIRE(::send(theirs.get(), "y", 1, 0) == 1);
            running.until([&] { return running.stream->received == "y"; });
        }
        SECTION("and stops") { running.stop(); }
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a loop whose own requests are refused runs tasks and timers, and does not spin",
          "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    const auto operation = GENERATE(IORING_OP_READ, IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE);
    {
        Refusals calls;
        Running running{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        if (operation == IORING_OP_TIMEOUT_REMOVE) {  // which changes the time of a timer that is set
            running.call([&] { running.transport().wake_at(running.transport().now() + 1h); });
        }
        calls.requests(static_cast<std::uint8_t>(operation), Refusals::forever);
        const std::size_t before = calls.made();
        running.await_wake_up();
        CHECK(calls.happened() < 30);  // about 10 pauses
        CHECK(calls.made() - before < 100);
        while (calls.happened() == 0) running.call([] {});  // if the loop was not asleep, there was no need to read
        REQUIRE(::send(running.peer.get(), "y", 1, 0) == 1);
        running.until([&] { return running.stream->received == "xy"; });
        SECTION("and continues") {
            calls.requests(0, 0);
            running.await_wake_up();
            REQUIRE(::send(running.peer.get(), "z", 1, 0) == 1);
            running.until([&] { return running.stream->received == "xyz"; });
        }
        SECTION("and stops") { running.stop(); }
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a refused request of the loop is repeated, whichever it is", "[transport_uring_refusals]") {
    const auto operation = GENERATE(IORING_OP_READ, IORING_OP_TIMEOUT, IORING_OP_POLL_ADD);
    Refusals calls;
    calls.requests(static_cast<std::uint8_t>(operation), GENERATE(1U, 3U));
    Scene scene{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
    run_until(scene.transport, [&] { return scene.all_said_and_heard() && scene.the_rest_is_done(); });
    CHECK(promises_kept(scene));
    CHECK(scene.visitor_is_well());
    CHECK(calls.happened() > 0);
}

TEST_CASE("a socket is closed even if the kernel refuses the request for it", "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    {
        Refusals calls;
        UringTransport transport{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        auto sockets = unix_pair();
        W stream{transport, std::move(sockets.first)};
        transport.run_turn(Clock::now());
        calls.requests(IORING_OP_CLOSE, 1);
        stream.close();
        run_until(transport, [&] { return calls.happened() == 1; });
        run_until(transport, [&] { return has_hung_up(sockets.second); });
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a socket is closed even if the kernel refuses it in the last turn", "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    {
        Refusals calls;
        UringTransport transport{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        auto [ours, theirs] = unix_pair();
        W stream{transport, std::move(ours)};
        transport.run_turn(Clock::now());
        transport.post([&] {
            calls.requests(IORING_OP_CLOSE, 1);
            stream.close();
            transport.stop();
        });
        transport.run();
        CHECK(calls.happened() == 1);
        CHECK(has_hung_up(theirs));
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a timer whose change the kernel refuses is not late for the next time", "[transport_uring_refusals]") {
    Refusals calls;
    detail::UringRing ring{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
    bool called = false;
    detail::UringTimer timer{ring, [&] { called = true; }};
    bool refused = false;
    const auto turn = [&] {
        ring.turn(detail::UringRing::Wait::yes, Clock::now() + 10ms);
        ring.for_each_completion([&](detail::UringEvent event, void*, int result, std::uint32_t) {
            const bool is_moved = event == detail::UringEvent::timer_moved;
            if (!(is_moved ? timer.moved(result) : timer.completed(result))) refused = true;
        });
    };
    timer.set(Clock::now() + 1h);
    turn();
    calls.requests(IORING_OP_TIMEOUT_REMOVE, 1);
    timer.set(Clock::now() + 1ms);
    while (!refused) turn();
    timer.set(Clock::time_point::max());
    timer.request_again();
    timer.set(Clock::now() + 20ms);
    const auto end = Clock::now() + patience;
    while (!called && Clock::now() < end) turn();
    CHECK(called);
}

TEST_CASE("after lost completions the loop goes on when the kernel has ended the requests",
          "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    {
        Refusals calls;
        std::atomic<int> losses{0};
        Running running{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        running.call([&] { running.transport().on_completions_lost([&] { ++losses; }); });
        calls.cancellations(Refusals::forever);
        calls.from(1, 1, EBADR);
        running.await_wake_up();
        int failed = 0;
        running.call([&] { failed = running.stream->failed; });
        CHECK(failed == 0);  // its request may still complete
        CHECK(calls.happened() > 1);
        CHECK(losses == 1);
        CHECK_FALSE(running.transport().serves());
        SECTION("and continues") {
            calls.cancellations(0);
            running.until([&] { return running.stream->failed == 1; });
            auto [ours, theirs] = unix_pair();
            running.call([&, socket = std::move(ours)]() mutable {
                running.stream = std::make_unique<RemoteUser>(running.transport(), std::move(socket));
            });
            REQUIRE(::send(theirs.get(), "y", 1, 0) == 1);
            running.until([&] { return running.stream->received == "y"; });
            CHECK(running.transport().serves());
            CHECK(losses == 1);
        }
        SECTION("and stops") {
            calls.cancellations(20);
            running.stop();
        }
    }
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a transport keeps the memory that the kernel may still use", "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    const std::size_t bytes = bytes_in_use;
    const bool runs = GENERATE(true, false);
    std::atomic<int> left{0};
    const auto owned = std::make_shared<int>();
    {
        Refusals calls;
        UringTransport transport{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        transport.on_requests_left([&left, owned] { ++left; });
        auto [ours, theirs] = unix_pair();
        W stream{transport, std::move(ours)};
        auto listeners = open_listeners({.host = "127.0.0.1"});
        REQUIRE(listeners);
        transport.listen(std::move(listeners->sockets.front()), [](UringTransport::Socket) {});
        transport.run_turn(Clock::now());
        calls.cancellations(Refusals::forever);
        if (runs) {
            transport.post([&] { transport.stop(); });
            transport.run();
            CHECK(left == 1);
        }
        transport.post([owned] {});
    }
    CHECK(left == 1);
    CHECK(owned.use_count() == 1);
    CHECK(bytes_in_use - bytes >= UringTransport::receive_buffer_size * 2);
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("bytes are sent in order after the kernel has refused their requests", "[transport_uring_refusals]") {
    Refusals calls;
    const bool also_collect = GENERATE(true, false);
    UringTransport transport{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
    const auto talkers = meeting(transport, 24, 5, 100'000);
    transport.run_turn(Clock::now());
    calls.all(EAGAIN, also_collect);
    for (const auto& talker : talkers) talker->speak();
    for (int turn = 0; turn < 20; ++turn) {
        transport.run_turn(Clock::now());
        talkers[static_cast<std::size_t>(turn)]->speak();
    }
    CHECK(calls.happened() >= 20);
    calls.none();
    run_until(transport,
              [&] { return all_of(talkers, [](const Talker& one) { return one.said_all() && one.heard_all(); }); });
    CHECK(all_of(talkers, [](const Talker& one) { return one.in_order && !one.broke_promise && !one.has_failed; }));
}

TEST_CASE("a loop that is destroyed while the kernel refuses closes all sockets", "[transport_uring_refusals]") {
    const std::size_t descriptors = count_descriptors();
    Refusals calls;
    std::vector<Descriptor> peers;
    {
        UringTransport transport{with(all_sizes[GENERATE(0U, 1U, 2U)], calls)};
        std::vector<std::unique_ptr<W>> streams;
        for (int i = 0; i < 30; ++i) {
            auto one_and_other = unix_pair();
            streams.push_back(std::make_unique<W>(transport, std::move(one_and_other.first)));
            peers.push_back(std::move(one_and_other.second));
        }
        transport.run_turn(Clock::now());
        calls.all(ENOMEM, true);
        for (const auto& stream : streams) stream->close();
        for (int turn = 0; turn < 3; ++turn) transport.run_turn(Clock::now());
        CHECK(std::all_of(streams.begin(), streams.end(), [](const auto& one) { return one->released == 1; }));
    }
    CHECK(std::all_of(peers.begin(), peers.end(), has_hung_up));
    peers.clear();
    CHECK(count_descriptors() == descriptors);
}

TEST_CASE("a transport is made if the kernel has memory for its buffers soon", "[transport_uring_refusals]") {
    Refusals calls;
    const UringSizes sizes = all_sizes[GENERATE(0U, 2U)];
    calls.registrations(3, GENERATE(ENOMEM, EAGAIN, EBUSY, EINTR));
    CHECK_NOTHROW(UringTransport{with(sizes, calls)});
    CHECK(calls.happened() == 3);
    calls.registrations(1000, ENOMEM);
    CHECK_THROWS_AS(UringTransport{with(sizes, calls)}, std::system_error);
    CHECK(calls.happened() < 20);
}
