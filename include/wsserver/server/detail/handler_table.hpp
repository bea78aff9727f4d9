// Maps subprotocols to handlers. Operators change it while reactors read it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/any_handler.hpp"
#include "wsserver/handshake/detail/http_text.hpp"
#include "wsserver/handshake/handshake.hpp"

namespace wsserver {

class HandlerTable {
   public:
    /// The handler for an offer; null if no handler serves it.
    struct Choice {
        std::shared_ptr<AnyHandler> handler;
        std::string_view subprotocol;  ///< valid as long as the table
    };

    void set(std::string subprotocol, std::shared_ptr<AnyHandler> handler) {
        // Destroyed after the lock is released: the destructor of the old handler may be slow and may use this table.
        std::shared_ptr<AnyHandler> before = std::move(handler);
        const std::unique_lock lock(mutex_);
        names_.insert(subprotocol);
        std::swap(handlers_[std::move(subprotocol)], before);
    }

    /// Returns the removed handler; null if there was none.
    std::shared_ptr<AnyHandler> remove(std::string_view subprotocol) {
        const std::unique_lock lock(mutex_);
        const auto found = handlers_.find(subprotocol);
        if (found == handlers_.end()) return nullptr;
        auto handler = std::move(found->second);
        handlers_.erase(found);
        return handler;
    }

    /// Removes all handlers.
    void clear() {
        decltype(handlers_) removed;  // destroyed after the lock is released
        const std::unique_lock lock(mutex_);
        removed.swap(handlers_);
    }

    /// Chooses the first subprotocol of the client's list that has a handler (RFC 6455 §4.1: "ordered by preference").
    /// If none has, chooses the default handler and no subprotocol. If `strict`, or if the client is a browser, does so
    /// only for an empty list.
    Choice choose(const Offer& offer, bool strict) const {
        const std::shared_lock lock(mutex_);
        for (const std::string& subprotocol : offer.subprotocols) {
            const auto found = handlers_.find(subprotocol);
            if (found != handlers_.end()) return {found->second, *names_.find(found->first)};
        }
        if (needs_subprotocol(offer) || (strict && !offer.subprotocols.empty())) return {};
        const auto found = handlers_.find(std::string_view{});
        return found != handlers_.end() ? Choice{found->second, {}} : Choice{};
    }

    /// The detail of the refusal if choose() finds no handler: what the client asked for, and what is served.
    std::string why_none(const Offer& offer) const {
        std::string asked, served;
        for (const auto& name : offer.subprotocols) asked += (asked.empty() ? "" : ", ") + name;
        for (const auto& [name, handler] : all()) {
            if (!name.empty()) served += (served.empty() ? "" : ", ") + name;
        }
        return "the client asked for " + (asked.empty() ? "none" : http_text::shortened(asked)) + "; the server has " +
               (served.empty() ? "none" : http_text::shortened(served));
    }

    std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> all() const {
        const std::shared_lock lock(mutex_);
        return {handlers_.begin(), handlers_.end()};
    }

   private:
    mutable std::shared_mutex mutex_;
    std::map<std::string, std::shared_ptr<AnyHandler>, std::less<>> handlers_;
    // All names that were ever served. Connections keep views of them. Operators add only few.
    std::set<std::string, std::less<>> names_;
};

}  // namespace wsserver
