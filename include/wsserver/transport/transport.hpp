// The interface between the connections and the kernel: an event loop for each thread, the streams on it, and what a
// stream and its user promise each other. Models: transport/asio.hpp, transport/uring.hpp, transport/memory.hpp.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/base/receive_buffer.hpp"
#include "wsserver/base/unique_function.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// A part of the bytes for one send().
struct SendPiece {
    Bytes bytes;  ///< may be empty
    /// Keeps `bytes` alive until the kernel has taken them, for example a broadcast that all its receivers share. Null:
    /// `bytes` are in the transport's arena, or in other memory that is valid during the call only. The transport
    /// copies what it cannot send at once.
    std::shared_ptr<const void> owner{};
};

/// Receives the events of a stream, on the thread of its transport. An implementation may call any member of the stream
/// and must not throw.
///
/// A member of the stream calls none of these functions before it returns, except wants_buffer() and prepare_buffer().
/// After close() only on_released() is called.
class StreamUser {
   public:
    /// The next bytes from the peer. The user may change them (unmask them in place). Valid until it returns.
    virtual void on_bytes(MutableBytes bytes) = 0;
    /// The kernel has taken the batch for which send() returned false.
    virtual void on_sent() = 0;
    /// No on_bytes() follows. Called at most twice: without an error when the peer has ended its direction (sends still
    /// work), and with an error when nothing works any more (no on_sent() follows for a batch in flight).
    virtual void on_end(std::error_code error) = 0;
    /// The last call, after close(). Nothing is in flight. The stream may be destroyed, also within this call.
    virtual void on_released() = 0;

    /// True if the user has better memory for the next bytes: that of the message to which they belong. The stream may
    /// then call prepare_buffer().
    virtual bool wants_buffer() const noexcept { return false; }
    /// Lends memory to receive into. Empty if there is no memory, or if the space is not worth a receive. The stream
    /// does not call on_bytes() before it has returned the buffer by commit_buffer().
    virtual ReceiveBuffer prepare_buffer() noexcept { return {}; }
    /// Returns the lent buffer, with the number of bytes that were received into it; 0 if none were. Not called after
    /// close().
    virtual void commit_buffer(ReceiveBuffer, std::size_t) {}

   protected:
    ~StreamUser() = default;
};

/// Both directions of one connection to a peer. Used on the thread of its transport only. Constructed as
/// Stream(T&, T::Socket&&) from an accepted or connected socket. If it is destroyed without close(), it closes the
/// socket and does not call its user again.
template <class S>
concept TransportStream =
    !std::movable<S> && requires(S stream, const S& constant, StreamUser& user, std::span<const SendPiece> pieces) {
    // Starts to receive. Called once, before all other members. `user` must live until on_released(), or as long as the
    // stream.
    { stream.start(user) } -> std::same_as<void>;
    // True: the kernel has taken all of it. False: on_sent() follows, or on_end() with an error.
    // Precondition: no batch is in flight, and neither shutdown_send() nor close() was called.
    { stream.send(pieces) } -> std::same_as<bool>;
    // No on_bytes(), and no on_end() without an error, until resume_receiving(). Errors of send() are still reported.
    { stream.pause_receiving() } -> std::same_as<void>;
    { stream.resume_receiving() } -> std::same_as<void>;
    // Ends the sending direction after the batch in flight.
    { stream.shutdown_send() } -> std::same_as<void>;
    // Of the `passed` bytes that send() was given so far, those that the peer's system has not taken yet, as far as the
    // kernel tells: a peer on this machine that has taken them may not have read them. Precondition: not closed.
    { constant.unsent(std::uint64_t{}) } -> std::same_as<std::uint64_t>;
    // Closes at once; a batch in flight is lost. on_released() follows exactly once, even if close() is called again.
    { stream.close() } -> std::same_as<void>;
    // The address of the peer: "127.0.0.1:5000", "[::1]:5000" or "unix:PATH", with a PATH that is usually empty. Empty
    // after the peer is gone or the stream is closed, so read it early.
    { constant.peer() } -> std::same_as<std::string>;
};

/// The event loop of one thread and the streams on it. It must outlive its streams. A turn is one iteration of the
/// loop. All members except post() and stop() are called on the thread of the loop.
template <class T>
concept Transport = TransportStream<typename T::Stream> &&
    std::constructible_from<typename T::Stream, T&, typename T::Socket> && std::movable<typename T::Socket> &&
    std::movable<typename T::Listener> &&
    requires(T transport, const T& constant, UniqueFunction<void()> task, Clock::time_point time,
             typename T::Listener listener, UniqueFunction<void(typename T::Socket)> accepted) {
    // The arena of the thread: encode frames into it, send pieces of it, clear it. Empty between turns.
    { transport.output() } -> std::same_as<OutputBuffer&>;
    // Any thread. Runs the task in a later turn, in the order in which tasks were posted.
    { transport.post(std::move(task)) } -> std::same_as<void>;
    // The clock of wake_at().
    { constant.now() } -> std::same_as<Clock::time_point>;
    // Sets the task that wake_at() calls each time.
    { transport.on_wake(std::move(task)) } -> std::same_as<void>;
    // One call at `time` or soon after. The next wake_at() replaces the time. time_point::max(): no call.
    { transport.wake_at(time) } -> std::same_as<void>;
    // Passes the socket of each new peer to `accepted`, until stop_listening(). Call it again for more listeners.
    { transport.listen(std::move(listener), std::move(accepted)) } -> std::same_as<void>;
    { transport.stop_listening() } -> std::same_as<void>;
    // Runs the loop until stop(), which any thread may call: run() then returns after the current turn. A stop() before
    // run() counts, too.
    { transport.run() } -> std::same_as<void>;
    { transport.stop() } -> std::same_as<void>;
};

}  // namespace wsserver
