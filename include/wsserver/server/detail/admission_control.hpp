// Decides which streams and which opening handshakes a server accepts.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

#include "wsserver/connection/handler_table.hpp"
#include "wsserver/handshake/origin.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/connection_rate.hpp"
#include "wsserver/server/detail/handler_workers.hpp"
#include "wsserver/server/detail/program_callbacks.hpp"
#include "wsserver/server/detail/reactor.hpp"
#include "wsserver/server/detail/server_hub.hpp"
#include "wsserver/server/detail/upgrade_hook.hpp"

namespace wsserver {

/// Any thread may call the members.
class AdmissionControl {
   public:
    AdmissionControl(const ServerOptions& options, std::shared_ptr<ServerHub> hub, HandlerWorkers& workers,
                     const ProgramCallbacks& callbacks);

    /// See ReactorShared.
    ReactorShared::StreamAdmission admit() noexcept;
    void released() noexcept { open_.fetch_sub(1, std::memory_order_relaxed); }
    void released_without_place() noexcept { refused_.fetch_sub(1, std::memory_order_relaxed); }
    bool give_up_place() noexcept;
    OfferDecision choose(OwnedConnection& connection, const Offer& offer);
    OfferDecision choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision decision);

    /// The streams that have a place. Those that are refused are not among them.
    std::size_t open() const noexcept { return open_.load(std::memory_order_relaxed); }
    /// Replaces the rules for opening handshakes. Does not change max_connections.
    void reconfigure(const ServerOptions& changed);
    HandlerTable& handlers() noexcept { return handlers_; }
    UpgradeHook& upgrade_hook() noexcept { return upgrade_hook_; }
    const HandlerTable& handlers() const noexcept { return handlers_; }

   private:
    struct HandshakeRules {
        explicit HandshakeRules(const ServerOptions& options)
            : strict_subprotocol(options.strict_subprotocol), origins{options.allowed_origins, options.hosts} {}

        bool strict_subprotocol;
        OriginRules origins;
    };

    /// Returns false if there are too many refused streams.
    bool count_refused() noexcept;
    OfferDecision ask(OwnedConnection& connection, const Offer& offer);
    OfferDecision admit(OwnedConnection& connection, const Offer& offer, Admission admission);
    HandlerTable::Choice choose_handler(const Offer& offer) const;
    OfferDecision fail(const Offer& offer, std::string_view why) const;
    OfferDecision no_worker(const std::system_error& why) const;
    OfferDecision accept(OwnedConnection& connection, const Offer& offer, HandlerTable::Choice choice,
                         std::vector<HttpField> fields);

    const std::shared_ptr<ServerHub> hub_;
    HandlerWorkers& workers_;
    const ProgramCallbacks& callbacks_;
    HandlerTable handlers_;
    UpgradeHook upgrade_hook_;
    const std::size_t max_connections_;
    std::atomic<std::size_t> open_{0};
    std::atomic<std::size_t> refused_{0};  ///< streams without a place, until they are released
    ConnectionRate rate_;
    mutable std::shared_mutex mutex_;
    HandshakeRules rules_;
};

}  // namespace wsserver
