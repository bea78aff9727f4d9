// The transport over Boost.Asio: waits for readiness, then receives and sends itself. Runs wherever Asio does, on its
// own loop or on the loop of the embedding program.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>

#include "wsserver/base/result.hpp"
#include "wsserver/transport/endpoint.hpp"
#include "wsserver/transport/listener.hpp"
#include "wsserver/transport/stream_handle.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

namespace detail {
class AsioLoop;
class AsioStream;
class AsioConnecting;
}  // namespace detail

extern template class StreamHandle<detail::AsioStream>;

/// See Transport. One thread runs the loop and calls all members except post() and stop().
class AsioTransport {
   public:
    /// A connected stream socket, TCP or Unix. It is not bound to a loop and may be passed to the transport of another
    /// thread.
    using Socket = Descriptor;
    using Listener = ListeningSocket;  ///< from open_listeners(), one for each transport
    class Stream;
    class Connecting;

    /// The size of the thread's receive buffer, and the most that a stream receives in one turn, in bytes. To echo
    /// messages of 1 MiB costs 1.4 times as much with 64 KiB, and 1.2 times as much with 1 MiB, a whole level 2 cache.
    static constexpr std::size_t receive_buffer_size = std::size_t{256} << 10;

    /// Creates its own loop.
    AsioTransport();
    /// Uses the caller's loop, which one thread runs and which must outlive the transport. run() returns at once.
    /// stop() must be called on that thread; it stops listening and waking, and leaves other work of the loop alone.
    explicit AsioTransport(boost::asio::io_context& context);
    /// Precondition: its streams are destroyed. Call it on the thread of the loop, or while no thread runs the loop.
    ~AsioTransport();
    AsioTransport(const AsioTransport&) = delete;
    AsioTransport& operator=(const AsioTransport&) = delete;

    /// The arena of the thread. Empty between turns.
    OutputBuffer& output() noexcept;
    /// Runs `task` in a later turn, in the order in which tasks were posted. May be called from any thread. Throws
    /// std::bad_alloc.
    void post(UniqueFunction<void()> task);
    Clock::time_point now() const noexcept { return Clock::now(); }  ///< the current time; read on each call
    /// Sets the task that wake_at() calls each time.
    void on_wake(UniqueFunction<void()> task);
    /// One call of the task at `time` or soon after. Replaces the previous time; time_point::max(): no call.
    void wake_at(Clock::time_point time);

    /// Passes the socket of each new peer to `accepted`, until stop_listening(). May be called for several listeners.
    void listen(ListeningSocket listener, UniqueFunction<void(Socket)> accepted);
    /// Closes the listeners. Accepted sockets and streams stay.
    void stop_listening();
    /// Sets the function that is called each time accepting pauses, usually because descriptors or memory ran out. It
    /// continues when a stream of this transport closes, and after 100 ms at the latest. Call it before listen().
    void on_accept_paused(UniqueFunction<void(std::error_code)> paused);

    /// Receives the connected socket or an error of the resolver or the system; not null.
    using Connected = UniqueFunction<void(Result<Socket, std::error_code>)>;
    /// Resolves `to` (for TCP the host must not be empty) and tries its addresses in turn until `deadline`.
    ///
    /// Calls `connected` exactly once, in a later turn of the loop, with the socket, with the error of the last
    /// address, or with std::errc::timed_out. Does not call it after the Connecting was cancelled or destroyed.
    [[nodiscard]] Connecting connect(const Endpoint& to, Clock::time_point deadline, Connected connected);

    /// Runs the transport's own loop until stop(). Returns at once if stop() was called before. With the caller's loop
    /// it does nothing.
    void run();
    /// Ends run() after the current turn. May be called from any thread, except with the caller's loop: see the
    /// constructor.
    void stop();

    /// For the caller's loop. True if it has not run any task of this transport yet. Then it never will, and the
    /// calling thread may use the transport as its own. Any thread.
    bool claim() noexcept;

    /// Runs `task` on the loop of `context`, even if no transport is left then, or destroys it together with `context`.
    /// Any thread.
    static void post_to(boost::asio::io_context& context, UniqueFunction<void()> task);

    /// The loop in use, for timers and other work of the program on this thread. Valid as long as the transport.
    boost::asio::io_context& context() noexcept;

   private:
    std::unique_ptr<boost::asio::io_context> own_context_;
    std::shared_ptr<detail::AsioLoop> loop_;  // refers to the context; its pending operations may share it
};

/// See TransportStream. As large as a pointer.
class AsioTransport::Stream final : public StreamHandle<detail::AsioStream> {
   public:
    /// Takes over a connected socket. `transport` must outlive the stream. Throws std::bad_alloc. If the loop cannot
    /// watch the socket, start() reports it by on_end().
    Stream(AsioTransport& transport, Socket socket);
};

/// A connect() in progress. Its destructor cancels it. Must not outlive the transport.
class AsioTransport::Connecting {
   public:
    Connecting() noexcept = default;
    Connecting(Connecting&&) noexcept = default;
    /// Cancels the current connect() and takes over that of `other`.
    Connecting& operator=(Connecting&& other) noexcept;
    ~Connecting();

    /// Drops the callback without calling it. Does nothing after it was called. On the thread of the transport.
    void cancel();

   private:
    friend class AsioTransport;
    explicit Connecting(std::shared_ptr<detail::AsioConnecting> state) noexcept;

    std::shared_ptr<detail::AsioConnecting> state_;
};

static_assert(Transport<AsioTransport>);

}  // namespace wsserver
