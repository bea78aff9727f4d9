// A listening socket on a UringLoop: one multishot request accepts all peers.
#pragma once

#include <cstdint>

#include "wsserver/transport/detail/uring/timer.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

class UringLoop;

/// Must live as long as the ring.
class UringAcceptor {
   public:
    UringAcceptor(UringLoop& loop, ListeningSocket listener, UniqueFunction<void(UringTransport::Socket)> accepted);
    UringAcceptor(const UringAcceptor&) = delete;
    UringAcceptor& operator=(const UringAcceptor&) = delete;

    void start();
    void stop();
    /// Stops, and drops the function that receives peers.
    void abandon();
    /// If accepting is paused, tries again.
    void retry();

    /// Handles a completion of the accept request.
    void completed(int result, std::uint32_t flags);

   private:
    void await_peers();
    void pause(int error);

    UringLoop& loop_;
    ListeningSocket listener_;
    Descriptor ending_;  // the descriptor of the stopped listener, until the accept request has ended
    UniqueFunction<void(UringTransport::Socket)> accepted_;
    UringTimer retry_timer_;
    bool stopped_ = false;
    bool awaiting_peers_ = false;  // the accept request is in flight
    bool paused_ = false;
    bool pause_reported_ = false;
};

}  // namespace wsserver::detail
