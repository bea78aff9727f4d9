// The state of a MemoryListener: the peers that wait to be accepted.
#pragma once

#include <deque>
#include <memory>

#include "wsserver/transport/memory.hpp"

namespace wsserver::detail {

/// Passes one peer per turn to its transport.
class MemoryAcceptor : public std::enable_shared_from_this<MemoryAcceptor> {
   public:
    explicit MemoryAcceptor(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}

    const Endpoint& endpoint() const noexcept { return endpoint_; }
    bool closed() const noexcept { return closed_; }

    void arrive(MemorySocket peer);
    void listen(MemoryTransport& transport, UniqueFunction<void(MemorySocket)> accepted);
    /// Closes the peers that are still waiting, too.
    void close();
    void retry_soon();

   private:
    void accept_soon();
    void accept_turn();
    void pause(std::error_code error);

    Endpoint endpoint_;
    MemoryTransport* transport_ = nullptr;
    UniqueFunction<void(MemorySocket)> accepted_;
    std::deque<MemorySocket> waiting_;
    bool posted_ = false;
    bool paused_ = false;
    bool pause_reported_ = false;
    bool closed_ = false;
};

}  // namespace wsserver::detail
