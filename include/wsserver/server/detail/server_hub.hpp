// The server's hub. Passes each request to its reactor, and outlives all reactors.
#pragma once

#include <atomic>
#include <memory>
#include <shared_mutex>
#include <vector>

#include "wsserver/connection/hub.hpp"
#include "wsserver/server/detail/callback_gate.hpp"
#include "wsserver/server/detail/reactor.hpp"

namespace wsserver {

class ServerHub final : public Hub {
   public:
    /// `fragment_size` is the most bytes of payload in a frame of a broadcast.
    explicit ServerHub(std::size_t fragment_size)
        : fragment_size_(fragment_size), gate_(std::make_shared<CallbackGate>()) {}

    /// Must be called before the first request.
    void attach(std::vector<AnyReactor*> reactors);
    /// All later requests return `closed`. After it returns, no call is inside a reactor, except calls on the reactor's
    /// own thread.
    void detach();

    /// The gate of the whole server. Never null.
    const std::shared_ptr<CallbackGate>& gate() const noexcept { return gate_; }

    /// Passes an item of any kind. Returns `closed` if its connection or the whole server is gone.
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
    /// Passes a copy of `all` to each reactor. Calls its `done` exactly once, with the sum of the receivers.
    void put_all(InboxItem::Kind kind, Broadcast all, CloseCode code = CloseCode::normal, Bytes payload = {});

    const std::size_t fragment_size_;
    const std::shared_ptr<CallbackGate> gate_;
    /// Looked at before the lock. Otherwise callers that never pause could keep detach() from ever getting it: glibc's
    /// lock prefers readers.
    std::atomic<bool> detached_{false};
    // Callers lock it shared; attach() and detach() lock it exclusively. So no reactor is destroyed during a call.
    mutable std::shared_mutex mutex_;
    std::vector<AnyReactor*> reactors_;
};

}  // namespace wsserver
