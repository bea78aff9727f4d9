// One listening socket on an AsioLoop.
#pragma once

#include <memory>

#include "wsserver/transport/detail/asio/loop.hpp"

namespace wsserver::detail {

class AsioAcceptor : public std::enable_shared_from_this<AsioAcceptor> {
   public:
    AsioAcceptor(AsioLoop& loop, ListeningSocket listener, UniqueFunction<void(Descriptor)> accepted);
    ~AsioAcceptor();
    AsioAcceptor(const AsioAcceptor&) = delete;
    AsioAcceptor& operator=(const AsioAcceptor&) = delete;

    void start();
    void stop();
    /// Tries again in a later turn, if it had to wait.
    void retry_soon();

   private:
    void await_peers();
    void accept_peers();
    void pause(int error);
    void retry();

    AsioLoop* loop_;  // null once stopped
    ListeningSocket listener_;
    UniqueFunction<void(Descriptor)> accepted_;
    WaitableDescriptor waiting_;  // borrows the listener's number
    LoopTimer retry_timer_;
    bool paused_ = false;
    bool retry_posted_ = false;
    bool pause_told_ = false;
};

}  // namespace wsserver::detail
