// The transport without a kernel, for tests: transports, peers and a clock in the memory of one thread. A test chooses
// the order of events and can cut, delay and fail each step, with the same result in every run.
#pragma once

#include "wsserver/base/cpp20.hpp"

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

/// One end of a connection that no stream or wire has taken yet. Its destructor closes it.
class MemorySocket {
   public:
    MemorySocket() noexcept = default;
    /// For MemoryNetwork and its listeners. Takes ownership of `end`; null: none.
    explicit MemorySocket(std::shared_ptr<detail::MemoryEnd> end) noexcept : end_(std::move(end)) {}
    MemorySocket(MemorySocket&&) noexcept = default;
    /// Exchanges the ends, so that `other` closes the previous one.
    MemorySocket& operator=(MemorySocket&& other) noexcept;
    ~MemorySocket();

    /// Whether it owns an end.
    explicit operator bool() const noexcept { return end_ != nullptr; }
    /// Gives up ownership. For the stream or wire that takes the end.
    std::shared_ptr<detail::MemoryEnd> release() noexcept { return std::move(end_); }

   private:
    std::shared_ptr<detail::MemoryEnd> end_;
};

/// A listener; see MemoryNetwork::open_listeners(). Its destructor closes it.
class MemoryListener {
   public:
    MemoryListener() noexcept = default;
    /// For MemoryNetwork::open_listeners().
    explicit MemoryListener(std::shared_ptr<detail::MemoryAcceptor> acceptor) noexcept
        : acceptor_(std::move(acceptor)) {}
    MemoryListener(MemoryListener&&) noexcept = default;
    /// Exchanges the listeners, so that `other` closes the previous one.
    MemoryListener& operator=(MemoryListener&& other) noexcept;
    ~MemoryListener();

   private:
    friend class MemoryTransport;
    std::shared_ptr<detail::MemoryAcceptor> acceptor_;
};

/// A peer that a test drives by hand, without a loop. Its calls take effect at once; the stream at the other end
/// notices them when the network runs.
class MemoryWire {
   public:
    /// Takes over the end. Precondition: `socket` owns one.
    explicit MemoryWire(MemorySocket socket) noexcept;
    MemoryWire(MemoryWire&&) noexcept = default;
    /// Exchanges the ends, so that `other` closes the previous one.
    MemoryWire& operator=(MemoryWire&& other) noexcept;
    ~MemoryWire();

    /// Sends bytes to the other end, which has space for any number. Precondition: close() was not called.
    void write(Bytes bytes);
    /// Same for a text.
    void write(std::string_view bytes) { write(bytes_of(bytes)); }
    /// Removes and returns the bytes that have arrived, at most `at_most` of them.
    std::string read(std::size_t at_most = std::numeric_limits<std::size_t>::max());
    /// The bytes that have arrived and were not read. Valid until the next read() or turn.
    Bytes unread() const noexcept;
    /// Takes at most `bytes` unread bytes; further sends of the other end stay in flight.
    void set_window(std::size_t bytes) noexcept;

    /// Ends the direction of this end.
    void shutdown();
    /// Ends both directions; sends of the other end fail from now on. If bytes are unread, it is a reset(), as in TCP.
    void close();
    /// Closes at once. The other end gets connection_reset after the bytes that have arrived; its sends fail.
    void reset();

    /// True if the other end has ended its direction and all its bytes were read.
    bool at_end() const noexcept;
    /// True if the other end has reset the connection.
    bool was_reset() const noexcept;

   private:
    std::shared_ptr<detail::MemoryEnd> end_;
};

/// The clock, the turns and the listeners of one test. Used by one thread. It must outlive its transports.
class MemoryNetwork {
   public:
    MemoryNetwork() = default;
    MemoryNetwork(const MemoryNetwork&) = delete;
    MemoryNetwork& operator=(const MemoryNetwork&) = delete;

    /// The time of this network: one hour at first, so that earlier times exist. Only advance() changes it.
    Clock::time_point now() const noexcept { return now_; }
    /// Advances the clock by `by`, from one wake-up to the next. Runs all turns first and after each wake-up.
    void advance(Clock::duration by);
    /// Advances the clock by `by` and runs nothing, as if the process had stood still.
    void stand_still(Clock::duration by) noexcept { now_ += by; }
    /// Runs turns until there are none, and returns their number. The transports run in the order of their
    /// construction. A test for code that must not spin sets `at_most`, the largest number of turns.
    std::size_t run_until_idle(std::size_t at_most = std::numeric_limits<std::size_t>::max());

    /// Both ends of a new connection.
    std::pair<MemorySocket, MemorySocket> pair();
    /// `count` listeners on one endpoint, which receive peers in turn.
    std::vector<MemoryListener> open_listeners(const Endpoint& endpoint, std::size_t count = 1);
    /// Connects to a listener on `to`. Fails with connection_refused if there is none.
    ///
    /// from  the address of the client, as peer_name() writes it; empty: 127.0.0.1, or the path of the Unix socket
    Result<MemorySocket, std::error_code> connect(const Endpoint& to, std::string from = {});
    /// The same, as a wire. Precondition: there is a listener on `to`.
    MemoryWire wire(const Endpoint& to, std::string from = {});

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

/// The operations that MemoryTransport::fail() can make fail.
enum class MemoryOperation : std::uint8_t { receive, send, accept, connect };

/// See Transport. post() and stop() may be called from any thread.
class MemoryTransport {
   public:
    using Socket = MemorySocket;      ///< from MemoryNetwork::pair() or connect()
    using Listener = MemoryListener;  ///< from MemoryNetwork::open_listeners()
    class Stream;
    class Connecting;

    /// The most that a stream receives in one turn, in bytes.
    static constexpr std::size_t receive_buffer_size = std::size_t{64} << 10;

    /// Adds itself to `network`, which must outlive it.
    explicit MemoryTransport(MemoryNetwork& network);
    ~MemoryTransport();
    MemoryTransport(const MemoryTransport&) = delete;
    MemoryTransport& operator=(const MemoryTransport&) = delete;

    /// The arena of the thread. Empty between turns.
    OutputBuffer& output() noexcept { return output_; }
    /// Runs `task` in a later turn, in the order in which tasks were posted. May be called from any thread. Throws
    /// std::bad_alloc after refuse_posts(true).
    void post(UniqueFunction<void()> task);
    Clock::time_point now() const noexcept { return network_.now(); }  ///< that of the network
    /// The same as a time of day: it begins at 1970-01-01 01:00:00 UTC.
    std::chrono::sys_seconds wall_time() const noexcept {
        return std::chrono::sys_seconds{std::chrono::floor<std::chrono::seconds>(now().time_since_epoch())};
    }
    /// Sets the task that wake_at() calls each time.
    void on_wake(UniqueFunction<void()> task) { on_wake_ = std::move(task); }
    /// One call of the task at `time` or soon after. Replaces the previous time; time_point::max(): no call.
    void wake_at(Clock::time_point time) noexcept { wake_at_ = time; }
    /// Passes the socket of each new peer to `accepted`, until stop_listening(). May be called for several listeners.
    void listen(MemoryListener listener, UniqueFunction<void(Socket)> accepted);
    /// Closes the listeners. Accepted sockets and streams stay.
    void stop_listening();
    /// See AsioTransport::on_accept_paused().
    void on_accept_paused(UniqueFunction<void(std::error_code)> paused) { accept_paused_ = std::move(paused); }
    /// As AsioTransport::Connected.
    using Connected = UniqueFunction<void(Result<Socket, std::error_code>)>;
    /// See AsioTransport::connect(). Ignores `deadline`.
    [[nodiscard]] Connecting connect(const Endpoint& to, Clock::time_point deadline, Connected connected);
    /// Runs all transports of the network, which belong to this thread, and waits for posted tasks until stop().
    void run();
    /// Ends run() as soon as no turn is left. May be called from any thread.
    void stop();

    // For tests.

    /// Streams receive at most `bytes` at once; at least 1, at most receive_buffer_size.
    void receive_at_most(std::size_t bytes) noexcept;
    /// Streams that start from now on hold at most `bytes` that are not yet received. Further sends of their peers stay
    /// in flight. (The bytes of a wire are always taken.)
    void receive_window(std::size_t bytes) noexcept { receive_window_ = bytes; }
    /// Takes at most `bytes` of a batch in one turn.
    void send_at_most(std::size_t bytes) noexcept { send_at_most_ = bytes; }
    /// Takes nothing: each batch stays in flight until release_sends().
    void hold_sends() noexcept { sends_held_ = true; }
    /// Ends hold_sends(): the batches in flight are sent, in the order in which they were held.
    void release_sends();
    /// While true, post() throws std::bad_alloc, as if memory had run out.
    void refuse_posts(bool refuse);
    /// Makes the `nth` operation of this kind from now on fail with `error`; 1 is the next one. Several failures can be
    /// pending.
    void fail(MemoryOperation operation, std::size_t nth, std::error_code error);
    /// The number of operations of this kind so far.
    std::size_t count(MemoryOperation operation) const noexcept { return counts_[index_of(operation)]; }
    /// Runs a wake-up that is due and at most `at_most` of the turns that are queued now. Returns their number. For a
    /// test that chooses which transport runs next; MemoryNetwork::run_until_idle() runs all of them in order.
    std::size_t run_turns(std::size_t at_most);

   private:
    friend class MemoryNetwork;
    friend class detail::MemoryAcceptor;
    friend class detail::MemoryStream;
    /// Allocates space for `count` more posts of post_reserved(), which then needs no memory.
    void reserve_posts(std::size_t count);
    void release_posts(std::size_t count) noexcept;
    /// At most as many of these posts may wait as are reserved.
    void post_reserved(UniqueFunction<void()> task) noexcept;
    void make_space(std::size_t count);
    UniqueFunction<void()> next_turn() noexcept;
    struct Fault {
        MemoryOperation operation;
        std::size_t number;
        std::error_code error;
    };

    static std::size_t index_of(MemoryOperation operation) noexcept { return static_cast<std::size_t>(operation); }
    /// Counts an operation. Returns an error if fail() chose it.
    std::error_code begin(MemoryOperation operation);
    bool wake_if_due();
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
    std::size_t reserved_ = 0;                   // guarded by mutex_; the space for post_reserved()
    std::size_t next_ = 0;                       // guarded by mutex_; of turns_, the first that has not run
    std::vector<UniqueFunction<void()>> turns_;  // guarded by mutex_
    bool stopped_ = false;                       // guarded by mutex_
    bool posts_refused_ = false;                 // guarded by mutex_
};

/// See TransportStream.
class MemoryTransport::Stream final : public StreamHandle<detail::MemoryStream> {
   public:
    /// Takes over an end. `transport` must outlive the stream.
    Stream(MemoryTransport& transport, Socket socket);
};

/// A connect() in progress. Its destructor cancels it.
class MemoryTransport::Connecting {
   public:
    Connecting() noexcept = default;
    Connecting(Connecting&&) noexcept = default;
    /// Cancels the current connect() and takes over that of `other`.
    Connecting& operator=(Connecting&& other) noexcept;
    ~Connecting() { cancel(); }

    /// Drops the callback without calling it. Does nothing after it was called.
    void cancel();

   private:
    friend class MemoryTransport;
    std::shared_ptr<Connected> connected_;
};

static_assert(Transport<MemoryTransport>);

}  // namespace wsserver
