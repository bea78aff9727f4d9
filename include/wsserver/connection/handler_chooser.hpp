// Chooses the handler of an opening handshake, or refuses the client. All servers share it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/handler_table.hpp"
#include "wsserver/connection/http/routes.hpp"
#include "wsserver/connection/item_hub.hpp"
#include "wsserver/connection/upgrade_hook.hpp"
#include "wsserver/handshake/origin.hpp"

namespace wsserver {

/// What a server itself does while its HandlerChooser chooses. As it is, all of it happens at once, on the thread of
/// the connection.
class ChooserServer : public ProgramCaller {
   public:
    /// The client is about to be accepted: the server may replace the handler, or refuse. On the connection's thread.
    virtual OfferDecision accept(OwnedConnection&, const Offer&, Acceptance acceptance) { return acceptance; }
    /// A function of the program has failed. On the connection's thread.
    virtual void log_failure(std::string_view) {}
};

/// What a HandlerChooser goes by.
struct ChooserRules {
    OriginRules origins{};                   ///< which origins and hosts are allowed
    bool strict_subprotocol = false;         ///< see HandlerTable::choose()
    std::vector<std::string> kept_fields{};  ///< the names of the fields that connections keep
};

/// The limits of the client's address come first, then the rules for Origin and Host, then the function of
/// on_upgrade(), then the table of handlers, and last the on_upgrade() of the handler. Any thread may call the members,
/// unless they say otherwise.
class HandlerChooser {
   public:
    /// `hub` reaches the server's connections. Neither may be null.
    explicit HandlerChooser(const std::shared_ptr<ItemHub>& hub,
                            std::shared_ptr<ChooserServer> server = std::make_shared<ChooserServer>());
    HandlerChooser(const HandlerChooser&) = delete;
    HandlerChooser& operator=(const HandlerChooser&) = delete;
    ~HandlerChooser() = default;

    /// See ServerOwner. On the connection's thread.
    OfferDecision choose(OwnedConnection& connection, const Offer& offer);
    /// Same.
    OfferDecision choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision&& decision,
                            PendingAcceptance* pending);

    /// Replaces the rules.
    void set_rules(ChooserRules rules);
    /// Replaces OriginRules::allowed_origins.
    void set_allowed_origins(std::vector<std::string> origins);
    /// Replaces OriginRules::hosts.
    void set_hosts(std::vector<std::string> hosts);
    /// Replaces ChooserRules::kept_fields.
    void set_kept_fields(std::vector<std::string> names);

    /// The handlers of the server.
    HandlerTable& handlers() noexcept { return handlers_; }
    /// Same.
    const HandlerTable& handlers() const noexcept { return handlers_; }
    /// The function of on_upgrade().
    UpgradeHook& upgrade_hook() noexcept { return upgrade_hook_; }
    /// The functions of handle_http().
    HttpRoutes& http_routes() noexcept { return http_routes_; }
    /// Same; null if there are none.
    const HttpRoutes* routes_if_any() const noexcept { return http_routes_.empty() ? nullptr : &http_routes_; }

   private:
    OfferDecision admit(OwnedConnection& connection, const Offer& offer, Admission admission);
    OfferDecision ask_handler(OwnedConnection& connection, const Offer& offer, PendingAcceptance pending);
    OfferDecision admit_pending(OwnedConnection& connection, const Offer& offer, Admission admission,
                                PendingAcceptance&& pending);
    HandlerTable::Choice choose_handler(const Offer& offer) const;
    std::vector<HttpField> kept_fields_of(const HttpRequest& request) const;
    OfferDecision accept(OwnedConnection& connection, const Offer& offer, Acceptance acceptance);
    OfferDecision refuse(const Offer& offer, HttpResponse response) const;
    OfferDecision fail(const Offer& offer, std::string why) const;

    const std::shared_ptr<ChooserServer> server_;
    HandlerTable handlers_;
    UpgradeHook upgrade_hook_;
    HttpRoutes http_routes_;
    mutable std::shared_mutex mutex_;
    ChooserRules rules_;
};

}  // namespace wsserver
