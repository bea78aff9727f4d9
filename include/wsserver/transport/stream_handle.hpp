// The members of a stream, for the transports that keep the state of a stream elsewhere.
#pragma once

#include <span>
#include <string>

#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// The base of a TransportStream that forwards to a `State`. As large as a pointer. `State` may be incomplete here: the
/// members are instantiated once, in the body of its transport (impl/stream_handle.ipp).
template <class State>
class StreamHandle {
   public:
    StreamHandle(const StreamHandle&) = delete;
    StreamHandle& operator=(const StreamHandle&) = delete;

    void start(StreamUser& user);
    bool send(std::span<const SendPiece> pieces);
    void pause_receiving();
    void resume_receiving();
    void shutdown_send();
    void close();
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
