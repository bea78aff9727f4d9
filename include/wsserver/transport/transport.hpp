// The border between the protocol and the kernel: one event loop a thread, the streams that live on it, and
// what both sides promise each other. Models: transport/asio.hpp, transport/memory.hpp.
#pragma once

#include <concepts>
#include <cstddef>
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

/// A part of what is to be sent.
struct SendPiece {
    Bytes bytes;
    /// Keeps `bytes` alive until they have left (a broadcast is shared by all its receivers). Null: they lie in
    /// the transport's arena or in other memory of the caller that is valid during this call only, and the
    /// transport copies what it can't send at once.
    std::shared_ptr<const void> owner{};
};

/// What stands above a stream. All calls come on the transport's thread; none comes from within a call of the
/// stream's members, but wants_buffer() and prepare_buffer(); after close() none but on_released(). Each of them may
/// call any member of the stream; none may throw.
class StreamUser {
   public:
    /// The next bytes from the peer. They may be changed (unmasked in place) and are valid until it returns.
    virtual void on_bytes(MutableBytes bytes) = 0;
    /// The batch for which send() said `false` has left for the kernel.
    virtual void on_sent() = 0;
    /// No further on_bytes(). Comes at most twice: without an error when the peer has ended its direction (sends
    /// still work), with one when nothing works any more (then no on_sent() follows for a batch in flight).
    virtual void on_end(std::error_code error) = 0;
    /// The last call, after close(): nothing is in flight, the stream may be destroyed, from within this call too.
    virtual void on_released() = 0;

    /// Has it a better place for the bytes that come next: the message that they belong to? Then a stream that can
    /// receives into what prepare_buffer() gives (nothing, where memory is short or the room wouldn't be worth a
    /// receive), as long as on_bytes() doesn't come, and returns it by commit_buffer() with so many bytes in it, 0 if
    /// it came to nothing. To a user who has closed the stream it isn't returned.
    virtual bool wants_buffer() const noexcept { return false; }
    virtual ReceiveBuffer prepare_buffer() noexcept { return {}; }
    virtual void commit_buffer(ReceiveBuffer, std::size_t) {}

   protected:
    ~StreamUser() = default;
};

/// Both directions of one connection to a peer. It and all its members belong to its transport's thread. Made as
/// Stream(T&, T::Socket&&) of what accept or connect handed over. May be destroyed without close(): it then closes,
/// and its user is not called again.
template <class S>
concept TransportStream =
    !std::movable<S> && requires(S stream, const S& constant, StreamUser& user, std::span<const SendPiece> pieces) {
    // Begins to receive. Once, before all others. `user` lives until on_released(), or as long as the stream.
    { stream.start(user) } -> std::same_as<void>;
    // True: all has left for the kernel. False: on_sent() follows, or on_end() with an error.
    // Precondition: no batch is in flight, and none of shutdown_send() and close() was called.
    { stream.send(pieces) } -> std::same_as<bool>;
    // No on_bytes() and no end of the peer's direction until resume_receiving(). send() still finds errors.
    { stream.pause_receiving() } -> std::same_as<void>;
    { stream.resume_receiving() } -> std::same_as<void>;
    // Ends our direction once the batch in flight has left.
    { stream.shutdown_send() } -> std::same_as<void>;
    // At once; what is in flight is lost. on_released() follows, once, however often it is called.
    { stream.close() } -> std::same_as<void>;
    // "127.0.0.1:5000", "[::1]:5000" or "unix:PATH", PATH being mostly empty. Empty once the peer is gone or
    // the stream closed: ask early.
    { constant.peer() } -> std::same_as<std::string>;
};

/// One thread's event loop and the streams that live on it, which it must outlive. What happens in one call of the
/// loop into its users is a turn. All members but post() and stop() belong to the loop's thread.
template <class T>
concept Transport = TransportStream<typename T::Stream> &&
    std::constructible_from<typename T::Stream, T&, typename T::Socket> && std::movable<typename T::Socket> &&
    std::movable<typename T::Listener> &&
    requires(T transport, const T& constant, UniqueFunction<void()> task, Clock::time_point time,
             typename T::Listener listener, UniqueFunction<void(typename T::Socket)> accepted) {
    // The thread's arena: encode into it, hand pieces of it to send(), clear it. Empty between turns.
    { transport.output() } -> std::same_as<OutputBuffer&>;
    // Any thread: runs the task in a later turn, in the order of posting.
    { transport.post(std::move(task)) } -> std::same_as<void>;
    // The clock that wake_at() goes by.
    { constant.now() } -> std::same_as<Clock::time_point>;
    // What wake_at() calls, again and again.
    { transport.on_wake(std::move(task)) } -> std::same_as<void>;
    // One call at that time or soon after; a later wake_at() replaces the time. time_point::max(): none.
    { transport.wake_at(time) } -> std::same_as<void>;
    // Hands over each new peer's socket, until stop_listening(). Again, for more listeners.
    { transport.listen(std::move(listener), std::move(accepted)) } -> std::same_as<void>;
    { transport.stop_listening() } -> std::same_as<void>;
    // The loop. stop(), from any thread, makes it return after the turn that it is in; a stop() before run() too.
    { transport.run() } -> std::same_as<void>;
    { transport.stop() } -> std::same_as<void>;
};

}  // namespace wsserver
