// A listening socket on an AsioLoop.
#pragma once

#include <memory>

#include "wsserver/transport/detail/asio/loop.hpp"

namespace wsserver::detail {

/// Accepts peers until stop(). Its pending operations keep it alive.
class AsioAcceptor : public std::enable_shared_from_this<AsioAcceptor> {
   public:
    AsioAcceptor(AsioLoop& loop, ListeningSocket listener, UniqueFunction<void(Descriptor)> accepted);
    ~AsioAcceptor();
    AsioAcceptor(const AsioAcceptor&) = delete;
    AsioAcceptor& operator=(const AsioAcceptor&) = delete;

    void start();
    void stop();
    /// If accepting is paused, tries again in a later turn.
    void retry_soon() noexcept;

   private:
    int register_listener();
    void await_peers();
    void accept_peers();
    void pause(int error);
    void await_retry();
    void retry();

    AsioLoop* loop_;  // null after stop()
    ListeningSocket listener_;
    UniqueFunction<void(Descriptor)> accepted_;
    WaitableDescriptor waiting_;  // borrows the descriptor of listener_
    OperationMemory waiting_memory_;
    LoopTimer retry_timer_;
    OperationMemory retry_memory_;
    bool retry_waits_ = false;
    bool is_refused_ = false;  // epoll has not taken the descriptor
    bool paused_ = false;
    bool retry_posted_ = false;
    bool pause_reported_ = false;
};

}  // namespace wsserver::detail
