// The members of a stream as its owner holds it: each forwards to the state that the transport keeps.
#pragma once

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
