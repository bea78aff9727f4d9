// The members of a stream as its owner holds it: each forwards to the state that the transport keeps.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>
#include <span>
#include <string>

#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// The base class of a TransportStream, which documents the members. As large as a pointer.
///
/// `State` is incomplete here. The members are instantiated in the body of its transport (impl/stream_handle.ipp).
template <class State>
class StreamHandle {
   public:
    StreamHandle(const StreamHandle&) = delete;
    StreamHandle& operator=(const StreamHandle&) = delete;

    /// Starts to receive. Called once, before all other members.
    void start(StreamUser& user);
    /// Sends all pieces in order. True: the kernel has taken all bytes. False: on_sent() follows, or on_end() with an
    /// error; do not send again before.
    bool send(std::span<const SendPiece> pieces);
    /// Suspends on_bytes() and the on_end() without an error.
    void pause_receiving();
    /// Continues after pause_receiving().
    void resume_receiving();
    /// Ends the sending direction after the batch in flight.
    void shutdown_send();
    /// Of the `passed` bytes that send() was given so far, those that the peer's system has not taken yet.
    std::uint64_t unsent(std::uint64_t passed) const;
    /// Closes at once. A batch in flight is lost. on_released() follows exactly once.
    void close();
    /// The address of the peer; empty after it is gone or the stream is closed.
    std::string peer() const;

   protected:
    /// Takes one reference to `state`.
    explicit StreamHandle(State& state) noexcept : state_(&state) {}
    /// Calls State::abandon(), which drops that reference.
    ~StreamHandle();

   private:
    State* state_;
};

}  // namespace wsserver
