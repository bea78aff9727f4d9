// One interface to drive every transport, so that one test suite covers all of them.
#pragma once

#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "wsserver/transport/asio.hpp"
#include "wsserver/transport/detail/socket_address.hpp"
#include "wsserver/transport/listener.hpp"
#include "wsserver/transport/memory.hpp"
#include "wsserver/transport/uring_available.hpp"

#if WSSERVER_URING
#include "wsserver/transport/uring.hpp"
/// Further rigs of a list, where this build has io_uring.
#define AND_URING(...) , __VA_ARGS__
#else
#define AND_URING(...)
#endif

namespace wsserver::test {

/// The time after which a test fails instead of waiting forever. Longer than any operation here takes.
inline constexpr std::chrono::seconds patience{30};

/// Runs the loop until `done` returns true. Throws after `patience`.
inline void run_until(AsioTransport& transport, const std::function<bool()>& done) {
    const auto end = Clock::now() + patience;
    while (!done()) {
        transport.context().run_one_until(end);
        if (Clock::now() >= end) throw std::runtime_error("the test timed out");
    }
}

/// The descriptors of this process.
inline std::size_t count_descriptors() {
    std::filesystem::directory_iterator all{"/proc/self/fd"};
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Both ends of a TCP connection over loopback.
inline std::pair<Descriptor, Descriptor> tcp_pair(const char* address = "127.0.0.1:0") {
    auto listeners = open_listeners(*parse_endpoint(address));
    REQUIRE(listeners);
    const int listener = listeners->sockets.front().descriptor();
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &size) == 0);
    Descriptor one{::socket(bound.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    REQUIRE(::connect(one.get(), reinterpret_cast<sockaddr*>(&bound), size) == 0);
    Descriptor other{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)};
    REQUIRE(other);
    return {std::move(one), std::move(other)};
}

inline std::pair<Descriptor, Descriptor> unix_pair() {
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
    return {Descriptor{both[0]}, Descriptor{both[1]}};
}

/// Makes the send buffer small, so that the kernel takes few bytes at once. (With a small receive buffer TCP would wait
/// for its timers.)
inline void make_narrow(const Descriptor& socket) {
    const int size = 4096;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

struct AsioTcpRig {
    using T = AsioTransport;
    static constexpr bool has_reset = true;

    T transport;

    std::pair<Descriptor, Descriptor> pair() { return tcp_pair(); }
    std::pair<Descriptor, Descriptor> narrow_pair() {
        auto both = tcp_pair();
        make_narrow(both.first);
        make_narrow(both.second);
        return both;
    }
    std::pair<Endpoint, ListeningSocket> listener() {
        auto listeners = open_listeners({.host = "127.0.0.1"});
        REQUIRE(listeners);
        return {listeners->endpoint, std::move(listeners->sockets.front())};
    }
    void until(const std::function<bool()>& done) { run_until(transport, done); }
    void turn() { transport.context().run_one(); }
    void poll() { transport.context().poll(); }
    /// Runs the loop for `time`. Returns the number of handlers that ran.
    std::size_t pass(std::chrono::milliseconds time) { return transport.context().run_for(time); }
};

struct AsioUnixRig : AsioTcpRig {
    static constexpr bool has_reset = false;  // a Unix socket cannot be reset

    std::pair<Descriptor, Descriptor> pair() { return unix_pair(); }
    std::pair<Descriptor, Descriptor> narrow_pair() {
        auto both = unix_pair();
        make_narrow(both.first);
        make_narrow(both.second);
        return both;
    }
    std::pair<Endpoint, ListeningSocket> listener() {
        const Endpoint endpoint{.unix_path = "@wsserver-test-" + std::to_string(::getpid())};
        auto listeners = open_listeners(endpoint);
        REQUIRE(listeners);
        return {endpoint, std::move(listeners->sockets.front())};
    }
};

/// On a loop that belongs to the embedding program.
struct AsioGuestRig {
    using T = AsioTransport;
    static constexpr bool has_reset = true;

    boost::asio::io_context context;
    T transport{context};

    std::pair<Descriptor, Descriptor> pair() { return tcp_pair("[::1]:0"); }
    std::pair<Descriptor, Descriptor> narrow_pair() {
        auto both = pair();
        make_narrow(both.first);
        make_narrow(both.second);
        return both;
    }
    std::pair<Endpoint, ListeningSocket> listener() {
        auto listeners = open_listeners({.host = "::1"});
        REQUIRE(listeners);
        return {listeners->endpoint, std::move(listeners->sockets.front())};
    }
    void until(const std::function<bool()>& done) {
        context.restart();
        run_until(transport, done);
    }
    void pass(std::chrono::milliseconds time) {
        context.restart();
        context.run_for(time);
    }
};

#if WSSERVER_URING
/// UringTransport cannot connect. This one connects with a blocking call and reports the result in a later turn.
class ConnectingUring : public UringTransport {
   public:
    using UringTransport::UringTransport;
    struct Connecting {
        ~Connecting() {}
        void cancel() {}
    };
    using Connected = UniqueFunction<void(Result<Socket, std::error_code>)>;

    Connecting connect(const Endpoint& to, Clock::time_point, Connected connected) {
        const auto address = to.is_unix() ? unix_address(to.unix_path) : numeric_address(to.host, to.port);
        Descriptor socket{::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const bool done = ::connect(socket.get(), address->get(), address->size) == 0;
        Result<Socket, std::error_code> result = Unexpected{std::error_code{done ? 0 : errno, std::system_category()}};
        if (done) result = Socket{std::move(socket)};
        post([result = std::move(result), call = std::move(connected)]() mutable { call(std::move(result)); });
        return {};
    }
};

inline void run_until(UringTransport& transport, const std::function<bool()>& done) {
    const auto end = Clock::now() + patience;
    while (!done()) {
        transport.run_turn(end);
        if (Clock::now() >= end) throw std::runtime_error("the test timed out");
    }
}

/// On an io_uring of this thread, with the sockets of `Base`.
template <class Base>
struct UringRig : Base {
    using T = ConnectingUring;

    T transport;

    void until(const std::function<bool()>& done) { run_until(transport, done); }
    void turn() { transport.run_turn(Clock::time_point::max()); }
    void poll() { transport.run_turn(Clock::now()); }
    std::size_t pass(std::chrono::milliseconds time) {
        const auto end = Clock::now() + time;
        std::size_t turns = 0;
        for (; Clock::now() < end; ++turns) transport.run_turn(end);
        return turns;
    }
};
using UringTcpRig = UringRig<AsioTcpRig>;
using UringUnixRig = UringRig<AsioUnixRig>;
#endif

struct MemoryRig {
    using T = MemoryTransport;
    static constexpr bool has_reset = true;

    MemoryNetwork network;
    T transport{network};

    MemoryRig() { transport.receive_window(std::size_t{1} << 20); }

    std::pair<MemorySocket, MemorySocket> pair() { return network.pair(); }
    std::pair<MemorySocket, MemorySocket> narrow_pair() {
        transport.receive_window(4096);
        transport.send_at_most(1000);
        return network.pair();
    }
    std::pair<Endpoint, MemoryListener> listener() {
        const Endpoint endpoint{.host = "127.0.0.1", .port = 80};
        return {endpoint, std::move(network.open_listeners(endpoint).front())};
    }
    void until(const std::function<bool()>& done) {
        for (int i = 0; i < 1000 && !done(); ++i) {
            if (network.run_until_idle() == 0) network.advance(std::chrono::milliseconds{1});
        }
        if (!done()) throw std::runtime_error("the test timed out");
    }
    void pass(std::chrono::milliseconds time) { network.advance(time); }
};

/// A stream and all that happened to it.
template <class T>
class RecordingUser final : public StreamUser {
   public:
    RecordingUser(T& transport, typename T::Socket socket) : stream_(std::in_place, transport, std::move(socket)) {
        stream_->start(*this);
    }

    typename T::Stream& stream() { return *stream_; }
    void destroy_stream() { stream_.reset(); }

    bool send(std::string_view bytes) {
        const SendPiece piece{bytes_of(bytes), {}};
        return send(std::span{&piece, 1});
    }
    bool send(std::span<const SendPiece> pieces) {
        inside_ = true;
        const bool all = stream_->send(pieces);
        inside_ = false;
        return all;
    }
    void close() {
        inside_ = true;
        stream_->close();
        inside_ = false;
        closed = true;
    }

    std::string received;
    std::size_t largest = 0;
    int sent = 0, ended = 0, failed = 0, released = 0;
    std::error_code error;
    bool closed = false;
    std::function<void()> at_bytes, at_sent, at_end, at_release;
    std::size_t lent_size = 0;      ///< the size of the buffers that it lends; 0: none
    std::size_t received_lent = 0;  ///< bytes that were received into them

   private:
    bool wants_buffer() const noexcept override { return lent_size > 0; }
    ReceiveBuffer prepare_buffer() noexcept override {
        check_call();
        CHECK_FALSE(std::exchange(has_lent_, true));
        return {PooledBuffer{lent_size + 3}, 3, lent_size};
    }
    void commit_buffer(ReceiveBuffer lent, std::size_t count) override {
        check_call();
        CHECK(std::exchange(has_lent_, false));
        REQUIRE(lent.size == lent_size);
        REQUIRE(count <= lent.size);
        received_lent += count;
        if (count > 0) on_bytes(lent.bytes().first(count));
    }
    void on_bytes(MutableBytes bytes) override {
        check_call();
        CHECK_FALSE(has_lent_);
        CHECK(ended + failed == 0);
        CHECK_FALSE(bytes.empty());
        received += text_of(bytes);
        largest = std::max(largest, bytes.size());
        if (at_bytes) at_bytes();
        std::fill(bytes.begin(), bytes.end(), std::uint8_t{0xEE});  // valid until it returns, whatever at_bytes does
    }
    void on_sent() override {
        check_call();
        ++sent;
        if (at_sent) at_sent();
    }
    void on_end(std::error_code why) override {
        check_call();
        CHECK(failed == 0);
        ++(why ? failed : ended);
        CHECK(ended <= 1);
        error = why;
        if (at_end) at_end();
    }
    void on_released() override {
        CHECK_FALSE(inside_);
        CHECK(closed);
        ++released;
        if (at_release) at_release();
    }
    void check_call() {
        CHECK_FALSE(inside_);
        CHECK_FALSE(closed);
    }

    std::optional<typename T::Stream> stream_;
    bool inside_ = false;
    bool has_lent_ = false;
};

/// Letters in a sequence that does not repeat soon, so that lost or moved bytes are noticed.
inline std::string pattern(std::size_t size, unsigned seed = 1) {
    std::string text(size, '\0');
    for (auto& c : text) {
        seed = seed * 1664525u + 1013904223u;
        c = static_cast<char>('a' + (seed >> 24) % 26);
    }
    return text;
}

}  // namespace wsserver::test
