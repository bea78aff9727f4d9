// The transport over io_uring (Linux 6.0 and newer): the kernel receives into a ring of buffers without being asked
// each time. One system call submits all sends of a turn and waits for the next completions. docs/performance.md
// explains it to readers who know epoll.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/transport/listener.hpp"
#include "wsserver/transport/stream_handle.hpp"
#include "wsserver/transport/transport.hpp"
#include "wsserver/transport/uring_available.hpp"

#if !WSSERVER_URING
#error "this build of wsserver has no io_uring: it needs liburing 2.3 or newer and WSSERVER_URING=1"
#endif

namespace wsserver {

namespace detail {
class UringCalls;
class UringLoop;
class UringStream;
}  // namespace detail

extern template class StreamHandle<detail::UringStream>;

/// The sizes of the rings of one thread. The defaults serve 1 to 100,000 connections; tests use small ones.
struct UringSizes {
    unsigned submissions = 512;   ///< submissions before a turn calls the kernel early; a power of two
    unsigned completions = 8192;  ///< a power of two
    unsigned buffers = 4;         ///< to receive into, each UringTransport::receive_buffer_size bytes; a power of two
    bool like_linux_6_0 = false;  ///< uses nothing that Linux 6.0 does not have, for tests
    detail::UringCalls* calls = nullptr;  ///< used in place of the kernel's, for tests; must outlive the transport
};

/// See Transport. One thread runs the loop and calls all members except post() and stop().
class UringTransport {
   public:
    /// A connected stream socket, TCP or Unix. It is not bound to a loop and may be passed to the transport of another
    /// thread.
    class Socket {
       public:
        /// Takes any socket and makes it blocking, as io_uring needs it. (The operations never block the thread.)
        Socket(Descriptor descriptor) noexcept;  // NOLINT(google-explicit-constructor): what others call a socket

        /// Takes a socket that is blocking already, which saves a system call.
        static Socket blocking(Descriptor descriptor) noexcept { return {std::move(descriptor), Blocking{}}; }

        /// The descriptor, still owned by the Socket. Valid as long as the Socket.
        const Descriptor& descriptor() const noexcept { return descriptor_; }
        /// Gives up ownership; the descriptor is blocking.
        Descriptor release() noexcept { return std::move(descriptor_); }

       private:
        struct Blocking {};
        Socket(Descriptor descriptor, Blocking) noexcept : descriptor_(std::move(descriptor)) {}

        Descriptor descriptor_;
    };
    using Listener = ListeningSocket;  ///< from open_listeners(), one for each transport
    class Stream;

    /// The most that a stream receives at once, in bytes. Compared with 16 buffers of 32 KiB, 4 buffers of 256 KiB cost
    /// the same for small messages, 7 % less for messages of 16 KiB, and a third less for 16 messages of 1 KiB in
    /// flight, because fewer messages are cut.
    static constexpr std::size_t receive_buffer_size = std::size_t{256} << 10;

    /// Succeeds if this process can use io_uring on this kernel. An error says what is missing, or what forbids it.
    static Result<void, std::string> probe();

    /// Throws std::system_error if io_uring cannot be used; see probe().
    explicit UringTransport(const UringSizes& sizes = {});
    /// Precondition: its streams are destroyed. Ends all requests. If the kernel has not ended one after 2 s, keeps the
    /// memory that it may still use, about 1 MiB, as long as the process lives.
    ~UringTransport();
    UringTransport(const UringTransport&) = delete;
    UringTransport& operator=(const UringTransport&) = delete;

    /// The arena of the thread. Empty between turns.
    OutputBuffer& output() noexcept;
    /// Runs `task` in a later turn, in the order in which tasks were posted. May be called from any thread. Throws
    /// std::bad_alloc.
    void post(UniqueFunction<void()> task);
    /// Within a turn, the time of the first call in that turn: the clock is not read for each message.
    Clock::time_point now() const noexcept;
    /// Sets the task that wake_at() calls each time.
    void on_wake(UniqueFunction<void()> task);
    /// One call of the task at `time` or soon after. Replaces the previous time; time_point::max(): no call.
    void wake_at(Clock::time_point time);

    /// Passes the socket of each new peer to `accepted`, until stop_listening(). May be called for several listeners.
    void listen(ListeningSocket listener, UniqueFunction<void(Socket)> accepted);
    /// Closes the listeners. Accepted sockets and streams stay.
    void stop_listening();
    /// See AsioTransport::on_accept_paused().
    void on_accept_paused(UniqueFunction<void(std::error_code)> paused);

    /// Sets the function that is called when the kernel has had no memory to keep the result of a request. What was
    /// received and sent is then unknown, so the streams that were receiving or sending end with ENOMEM. The others,
    /// listeners and timers go on. All this happens when the kernel has ended all requests; until then serves() is
    /// false.
    void on_completions_lost(UniqueFunction<void()> lost);
    /// False while no stream receives or sends, and no peer is accepted, because results were lost and the kernel has
    /// not ended all requests yet. Posted tasks and timers run. May be called from any thread.
    bool serves() const noexcept;
    /// Sets the function that is called at the end of run(), or by the destructor if run() was not called, if the
    /// kernel has not ended a request.
    void on_requests_left(UniqueFunction<void()> left);

    /// Runs turns until stop(). Returns at once if stop() was called before.
    void run();
    /// Ends run() after the current turn. May be called from any thread.
    void stop();
    /// After stop(), run() returns when closed streams have sent the bytes for which send() returned true: at most at
    /// `time`, and at most 5 s after they were closed. No stream is called meanwhile. By default it does not wait.
    void send_until(Clock::time_point time);

    /// Runs one turn, for a caller that does not use run(). Waits for an event, at most until `until`. Always call it
    /// on the same thread.
    void run_turn(Clock::time_point until);

   private:
    std::unique_ptr<detail::UringLoop> loop_;
};

/// See TransportStream. As large as a pointer.
class UringTransport::Stream final : public StreamHandle<detail::UringStream> {
   public:
    /// Takes over a connected socket. `transport` must outlive the stream. Throws std::bad_alloc.
    Stream(UringTransport& transport, Socket socket);
};

static_assert(Transport<UringTransport>);

}  // namespace wsserver
