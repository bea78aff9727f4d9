// One listening socket on a UringLoop: one order accepts all peers.
#pragma once

#include <cstdint>

#include "wsserver/transport/detail/uring/timer.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

class UringLoop;

/// Lives as long as the ring.
class UringAcceptor {
   public:
    UringAcceptor(UringLoop& loop, ListeningSocket listener, UniqueFunction<void(UringTransport::Socket)> accepted);
    UringAcceptor(const UringAcceptor&) = delete;
    UringAcceptor& operator=(const UringAcceptor&) = delete;

    void start();
    void stop();
    /// Stops, and nobody is told of peers any more.
    void abandon();
    /// Tries again, if it had to wait.
    void retry();

    /// What the kernel says.
    void completed(int result, std::uint32_t flags);

   private:
    void await_peers();
    void pause(int error);

    UringLoop& loop_;
    ListeningSocket listener_;
    Descriptor ending_;  // the listener's, until the kernel is done with it
    UniqueFunction<void(UringTransport::Socket)> accepted_;
    UringTimer retry_timer_;
    bool stopped_ = false;
    bool awaiting_peers_ = false;  // the kernel has the order
    bool paused_ = false;
    bool pause_told_ = false;
};

}  // namespace wsserver::detail
