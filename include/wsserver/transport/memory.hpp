// The transport without a kernel: transports, peers and a clock in one thread's memory, so that a test sees every
// order of events it wants, can cut and delay each step and let it fail, and sees the same again in the next run.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/transport/endpoint.hpp"
#include "wsserver/transport/stream_handle.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

class MemoryNetwork;
class MemoryTransport;

namespace detail {
struct MemoryEnd;
class MemoryAcceptor;
class MemoryConnecting;
class MemoryStream;
}  // namespace detail

extern template class StreamHandle<detail::MemoryStream>;

/// One end of a connection, until a stream or a wire takes it. Closes with its owner.
class MemorySocket {
   public:
    MemorySocket() noexcept = default;
    explicit MemorySocket(std::shared_ptr<detail::MemoryEnd> end) noexcept : end_(std::move(end)) {}
    MemorySocket(MemorySocket&&) noexcept = default;
    MemorySocket& operator=(MemorySocket&& other) noexcept;
    ~MemorySocket();

    explicit operator bool() const noexcept { return end_ != nullptr; }
    std::shared_ptr<detail::MemoryEnd> release() noexcept { return std::move(end_); }

   private:
    std::shared_ptr<detail::MemoryEnd> end_;
};

/// A place where peers arrive: see MemoryNetwork::open_listeners().
class MemoryListener {
   public:
    MemoryListener() noexcept = default;
    explicit MemoryListener(std::shared_ptr<detail::MemoryAcceptor> acceptor) noexcept
        : acceptor_(std::move(acceptor)) {}
    MemoryListener(MemoryListener&&) noexcept = default;
    MemoryListener& operator=(MemoryListener&& other) noexcept;
    ~MemoryListener();

   private:
    friend class MemoryTransport;
    std::shared_ptr<detail::MemoryAcceptor> acceptor_;
};

/// A peer that a test writes by hand: bytes in, bytes out, at once, on no loop. What it does is noticed by the
/// other side's stream when the network runs.
class MemoryWire {
   public:
    explicit MemoryWire(MemorySocket socket) noexcept;
    MemoryWire(MemoryWire&&) noexcept = default;
    MemoryWire& operator=(MemoryWire&& other) noexcept;
    ~MemoryWire();

    void write(Bytes bytes);
    void write(std::string_view bytes) { write(bytes_of(bytes)); }
    /// What has come since the last read(), `at_most` bytes of it.
    std::string read(std::size_t at_most = std::numeric_limits<std::size_t>::max());
    /// What has come and wasn't read. Valid until the next read() or turn.
    Bytes unread() const noexcept;
    /// No more than `bytes` unread ones are taken: the other side's sends stay in flight.
    void set_window(std::size_t bytes) noexcept;

    /// Ends our direction.
    void shutdown();
    /// Both; the other side's sends fail from now on. With something unread it is a reset(), as for TCP.
    void close();
    void reset();

    /// The other side has ended its direction, and all that it sent has been read.
    bool at_end() const noexcept;
    bool was_reset() const noexcept;

   private:
    std::shared_ptr<detail::MemoryEnd> end_;
};

/// The clock, the turns and the places of one test. Lives on one thread, outlives its transports.
class MemoryNetwork {
   public:
    MemoryNetwork() = default;
    MemoryNetwork(const MemoryNetwork&) = delete;
    MemoryNetwork& operator=(const MemoryNetwork&) = delete;

    Clock::time_point now() const noexcept { return now_; }
    /// Lets time pass, from wake-up to wake-up; before each and at the end all turns run.
    void advance(Clock::duration by);
    /// Runs turns, transport by transport in the order in which these were made, until there are none.
    /// Returns how many there were. `at_most`: a test of something that must not spin.
    std::size_t run_until_idle(std::size_t at_most = std::numeric_limits<std::size_t>::max());

    /// Both ends of a new connection.
    std::pair<MemorySocket, MemorySocket> pair();
    /// `count` listeners for one endpoint; peers go to each in turn. Closed with their owners.
    std::vector<MemoryListener> open_listeners(const Endpoint& endpoint, std::size_t count = 1);
    /// A peer at the door of whoever listens there; connection_refused if nobody does.
    Result<MemorySocket, std::error_code> connect(const Endpoint& to);
    /// The same, to be written by hand. Precondition: somebody listens there.
    MemoryWire wire(const Endpoint& to);

   private:
    friend class MemoryTransport;
    friend class MemoryListener;
    friend class detail::MemoryAcceptor;
    struct Alarm {
        Clock::time_point time;
        MemoryTransport* transport;
        UniqueFunction<void()> task;
    };

    void at(Clock::time_point time, MemoryTransport& transport, UniqueFunction<void()> task);
    std::optional<Clock::time_point> next_alarm() const noexcept;

    Clock::time_point now_{std::chrono::hours{1}};
    std::vector<MemoryTransport*> transports_;
    std::vector<Alarm> alarms_;
    std::vector<std::weak_ptr<detail::MemoryAcceptor>> acceptors_;
    std::size_t next_acceptor_ = 0;
    std::uint16_t next_port_ = 50'001;
};

/// What a MemoryTransport can be made to fail at.
enum class MemoryOperation : std::uint8_t { receive, send, accept, connect };

class MemoryTransport {
   public:
    using Socket = MemorySocket;
    using Listener = MemoryListener;
    class Stream;
    class Connecting;

    /// What a stream receives in one turn at most.
    static constexpr std::size_t receive_buffer_size = std::size_t{64} << 10;

    explicit MemoryTransport(MemoryNetwork& network);
    ~MemoryTransport();
    MemoryTransport(const MemoryTransport&) = delete;
    MemoryTransport& operator=(const MemoryTransport&) = delete;

    OutputBuffer& output() noexcept { return output_; }
    void post(UniqueFunction<void()> task);
    Clock::time_point now() const noexcept { return network_.now(); }
    void on_wake(UniqueFunction<void()> task) { on_wake_ = std::move(task); }
    void wake_at(Clock::time_point time) noexcept { wake_at_ = time; }
    void listen(MemoryListener listener, UniqueFunction<void(Socket)> accepted);
    void stop_listening();
    void on_accept_paused(UniqueFunction<void(std::error_code)> told) { accept_paused_ = std::move(told); }
    using Connected = UniqueFunction<void(Result<Socket, std::error_code>)>;
    [[nodiscard]] Connecting connect(const Endpoint& to, Clock::time_point deadline, Connected connected);
    /// Runs the whole network (whose other transports live on this thread too) and waits for posts, until stop().
    void run();
    void stop();

    // What a test may do to it.

    /// No stream receives more than `bytes` at once.
    void receive_at_most(std::size_t bytes) noexcept;
    /// A stream made from now on has room for `bytes` that wait to be received; a peer's sends stay in flight then.
    /// (What a wire writes always has room.)
    void receive_window(std::size_t bytes) noexcept { receive_window_ = bytes; }
    /// The kernel takes no more than `bytes` of a batch in one turn.
    void send_at_most(std::size_t bytes) noexcept { send_at_most_ = bytes; }
    /// The kernel takes nothing: each batch stays in flight until release_sends().
    void hold_sends() noexcept { sends_held_ = true; }
    void release_sends();
    /// As if there were no memory for a task: post() throws std::bad_alloc.
    void refuse_posts(bool refuse);
    /// Lets the `nth` (1: the next) operation of its kind fail. Several may be waiting to happen.
    void fail(MemoryOperation operation, std::size_t nth, std::error_code error);
    /// How many operations of that kind there have been.
    std::size_t count(MemoryOperation operation) const noexcept { return counts_[index_of(operation)]; }

   private:
    friend class MemoryNetwork;
    friend class detail::MemoryAcceptor;
    friend class detail::MemoryStream;
    struct Fault {
        MemoryOperation operation;
        std::size_t number;
        std::error_code error;
    };

    static std::size_t index_of(MemoryOperation operation) noexcept { return static_cast<std::size_t>(operation); }
    /// Counts an operation; an error if it is to fail.
    std::error_code begin(MemoryOperation operation);
    std::size_t run_turns(std::size_t at_most);
    void wake_if_due();
    void stream_closed();

    MemoryNetwork& network_;
    OutputBuffer output_;
    std::unique_ptr<std::uint8_t[]> buffer_;
    Clock::time_point wake_at_ = Clock::time_point::max();
    UniqueFunction<void()> on_wake_;
    std::vector<std::shared_ptr<detail::MemoryAcceptor>> acceptors_;
    UniqueFunction<void(std::error_code)> accept_paused_;

    std::size_t receive_at_most_ = receive_buffer_size;
    std::size_t receive_window_ = std::numeric_limits<std::size_t>::max();
    std::size_t send_at_most_ = std::numeric_limits<std::size_t>::max();
    bool sends_held_ = false;
    std::vector<std::shared_ptr<detail::MemoryStream>> held_;
    std::array<std::size_t, 4> counts_{};
    std::vector<Fault> faults_;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<UniqueFunction<void()>> turns_;  // guarded by mutex_
    bool stopped_ = false;                       // guarded by mutex_
    bool posts_refused_ = false;                 // guarded by mutex_
};

/// See TransportStream.
class MemoryTransport::Stream final : public StreamHandle<detail::MemoryStream> {
   public:
    Stream(MemoryTransport& transport, Socket socket);
};

/// A connect() under way, which ends with it.
class MemoryTransport::Connecting {
   public:
    Connecting() noexcept = default;
    Connecting(Connecting&&) noexcept = default;
    Connecting& operator=(Connecting&& other) noexcept;
    ~Connecting() { cancel(); }

    void cancel();

   private:
    friend class MemoryTransport;
    std::shared_ptr<Connected> connected_;
};

static_assert(Transport<MemoryTransport>);

}  // namespace wsserver
