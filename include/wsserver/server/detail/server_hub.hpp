// The server's hub. Passes each request to its reactor, and outlives all reactors.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <shared_mutex>
#include <span>
#include <string_view>
#include <vector>

#include "wsserver/connection/item_hub.hpp"
#include "wsserver/connection/room_directory.hpp"
#include "wsserver/server/detail/callback_gate.hpp"
#include "wsserver/server/detail/reaction_stops.hpp"
#include "wsserver/server/detail/reactor.hpp"

namespace wsserver {

class ServerHub final : public ItemHub {
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
    /// The stop tokens of its pooled reactions. Never null.
    const std::shared_ptr<ReactionStops>& stops() const noexcept { return stops_; }

    /// Passes an item of any kind. Returns `closed` if its connection or the whole server is gone.
    SendStatus put(InboxItem item, Bytes payload) override;
    std::size_t queued(ConnectionId of) const noexcept override;
    SendStatus decide(ConnectionId id, UpgradeDecision&& decision) override;
    SendStatus serve_http(ConnectionId id) override;

   private:
    class Tally;
    class Parts;
    /// What a reactor gets of a request to several connections.
    struct Target {
        AnyReactor* reactor;
        std::vector<ConnectionId> to{};  ///< of a list: its connections
    };

    /// Passes a part to each reactor, or to those that have members of the audience's room or user. Calls `done` with
    /// the sum of the receivers.
    SendStatus put_all(InboxItem item, const Audience* audience, const AnyMessage& message, Completion done) override;
    SendStatus put_each(InboxItem item, std::span<const ConnectionId> to, const AnyMessage& message,
                        Completion done) override;
    /// Precondition: mutex_ is locked. Empty if the server has ended.
    std::vector<Target> all_reactors() const;
    std::vector<Target> reactors_of(const Audience& audience) const;
    std::vector<Target> reactors_of_list(std::span<const ConnectionId> to) const;
    template <class FindTargets>
    SendStatus put_parts(Parts& parts, FindTargets&& find_targets);

    const std::size_t fragment_size_;
    const std::shared_ptr<CallbackGate> gate_;
    const std::shared_ptr<ReactionStops> stops_ = std::make_shared<ReactionStops>();
    /// Looked at before the lock. Otherwise callers that never pause could keep detach() from ever getting it: glibc's
    /// lock prefers readers.
    std::atomic<bool> detached_{false};
    // Callers lock it shared; attach() and detach() lock it exclusively. So no reactor is destroyed during a call.
    mutable std::shared_mutex mutex_;
    std::vector<AnyReactor*> reactors_;
    std::shared_ptr<RoomDirectory> rooms_;  ///< of the reactors
    std::shared_ptr<RoomDirectory> users_;  ///< the same
};

}  // namespace wsserver
