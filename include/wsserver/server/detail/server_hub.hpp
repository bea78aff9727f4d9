// The server's hub: finds the reactor that an order is for, and outlives them all.
#pragma once

#include <memory>
#include <shared_mutex>
#include <vector>

#include "wsserver/connection/hub.hpp"
#include "wsserver/server/detail/reactor.hpp"

namespace wsserver {

class ServerHub final : public Hub {
   public:
    /// `fragment_size`: bytes of payload in a frame of a broadcast.
    explicit ServerHub(std::size_t fragment_size) noexcept : fragment_size_(fragment_size) {}

    /// Before anybody sends.
    void attach(std::vector<AnyReactor*> reactors);
    /// From now on the answer is `closed`. When it returns no call is in a reactor any more, but from its own thread.
    void detach();

    /// Any item; `closed` when its connection, or the whole server, is gone.
    SendStatus put(InboxItem item, Bytes payload);

    SendStatus send(ConnectionId to, const Text& message) override;
    SendStatus send(ConnectionId to, const Binary& message) override;
    SendStatus ping(ConnectionId to, Bytes payload) override;
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override;
    void broadcast(const Audience& audience, const Text& message, Count done) override;
    void broadcast(const Audience& audience, const Binary& message, Count done) override;
    void ping_all(Count done) override;
    void close_all(CloseCode code, std::string_view reason, Count done) override;

   private:
    template <class M>
    void broadcast_message(const Audience& audience, const M& message, Count done);
    /// To each reactor a copy of `all`, whose `done` hears once what they reached together.
    void put_all(InboxItem::Kind kind, Broadcast all, CloseCode code = CloseCode::normal, Bytes payload = {});

    const std::size_t fragment_size_;
    // Shared by callers, owned by attach() and detach(): a reactor isn't destroyed under a call.
    mutable std::shared_mutex mutex_;
    std::vector<AnyReactor*> reactors_;
};

}  // namespace wsserver
