// A listening socket on a UringLoop: a poll request tells when peers wait.
#pragma once

#include "wsserver/transport/detail/uring/timer.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::detail {

class UringLoop;

/// Must live until has_ended(), or as long as the ring.
class UringAcceptor {
   public:
    UringAcceptor(UringLoop& loop, ListeningSocket listener, UniqueFunction<void(UringTransport::Socket)> accepted);
    UringAcceptor(const UringAcceptor&) = delete;
    UringAcceptor& operator=(const UringAcceptor&) = delete;

    void start();
    void stop();
    bool is_stopped() const noexcept { return stopped_; }
    /// True if it is stopped, and the kernel has none of its requests.
    bool has_ended() const noexcept { return stopped_ && !awaiting_peers_ && retry_timer_.is_idle(); }
    /// Stops, closes the descriptor, and drops the function that receives peers. Precondition: the ring is shut.
    void abandon();
    /// If accepting is paused, tries again.
    void retry();
    /// Ends a pause.
    UringTimer& retry_timer() noexcept { return retry_timer_; }

    /// Handles the completion of the poll request.
    void completed(int result);
    /// The poll request has ended without a completion.
    void request_lost();

   private:
    void await_peers();
    void accept_peers();
    void pause(int error);

    UringLoop& loop_;
    ListeningSocket listener_;
    Descriptor ending_;  // the descriptor of the stopped listener, until the poll request has ended
    UniqueFunction<void(UringTransport::Socket)> accepted_;
    UringTimer retry_timer_;
    bool stopped_ = false;
    bool awaiting_peers_ = false;  // the poll request is in flight
    bool paused_ = false;
    bool pause_reported_ = false;
};

}  // namespace wsserver::detail
