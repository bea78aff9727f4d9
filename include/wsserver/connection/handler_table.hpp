// Maps paths and subprotocols to handlers. Operators change it while reactors read it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/route.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/path_pattern.hpp"

namespace wsserver {

/// Any thread may call the members.
class HandlerTable {
   public:
    /// The handler for an offer; null if no handler serves it.
    struct Choice {
        std::shared_ptr<AnyHandler> handler;         ///< see above
        std::string_view subprotocol;                ///< valid as long as the table
        std::shared_ptr<const PathPattern> route{};  ///< null: the handler serves all paths that have no route
    };

    /// Sets the handler for all paths that have no route.
    void set(std::string subprotocol, std::shared_ptr<AnyHandler> handler);
    /// Sets a handler for the paths that match `pattern`. Throws std::invalid_argument; see
    /// ServerHandlers::handle_path().
    void set_path(std::string_view pattern, std::string subprotocol, std::shared_ptr<AnyHandler> handler);

    /// Removes a handler for all paths. Returns none if there was none.
    std::vector<RemovedHandler> remove(std::string_view subprotocol);
    /// Removes a handler of a route, or all of them. Returns none if there was none.
    std::vector<RemovedHandler> remove_path(std::string_view pattern, std::optional<std::string_view> subprotocol);
    /// Removes all handlers.
    void clear();

    /// Chooses the most specific route that matches the path, or the handlers for all paths if none matches. Of these,
    /// chooses the first subprotocol of the client's list that has a handler (RFC 6455 §4.1: "ordered by preference").
    /// If none has, chooses the default handler and no subprotocol. If `strict`, or if the client is a browser, does so
    /// only for an empty list.
    Choice choose(const Offer& offer, bool strict) const;

    /// The refusal if choose() finds no handler: what the client asked for, and which subprotocols are served.
    Refusal why_none(const Offer& offer) const;

    /// The handlers for all paths, in order of subprotocol.
    std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> all() const;
    /// The handlers of all routes; see ServerHandlers::routes().
    std::vector<Route> routes() const;

   private:
    using Handlers = std::map<std::string, std::shared_ptr<AnyHandler>, std::less<>>;

    /// The handlers for the paths that match a pattern; at least one.
    struct Entry {
        std::shared_ptr<const PathPattern> pattern;
        Handlers handlers;
    };

    std::vector<Entry>::const_iterator place_of(const PathPattern& pattern) const noexcept;
    const Entry* entry_for(std::string_view target) const;

    mutable std::shared_mutex mutex_;
    Handlers handlers_;          ///< for all paths that have no route
    std::vector<Entry> routes_;  ///< the most specific first, so that the first one that matches is chosen
    // All names that were ever served. Connections keep views of them. Operators add only few.
    std::set<std::string, std::less<>> names_;
};

}  // namespace wsserver
