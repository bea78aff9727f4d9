// Which handler serves which subprotocol; changed by operators while reactors read it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/any_handler.hpp"

namespace wsserver {

class HandlerTable {
   public:
    /// What serves an offer; no handler: nothing does.
    struct Choice {
        std::shared_ptr<AnyHandler> handler;
        std::string_view subprotocol;  ///< lives as long as the table
    };

    void set(std::string subprotocol, std::shared_ptr<AnyHandler> handler) {
        // Outlives the lock: the end of what served it may take its time, and need this table.
        std::shared_ptr<AnyHandler> before = std::move(handler);
        const std::unique_lock lock(mutex_);
        names_.insert(subprotocol);
        std::swap(handlers_[std::move(subprotocol)], before);
    }

    /// Returns what served it.
    std::shared_ptr<AnyHandler> remove(std::string_view subprotocol) {
        const std::unique_lock lock(mutex_);
        const auto found = handlers_.find(subprotocol);
        if (found == handlers_.end()) return nullptr;
        auto handler = std::move(found->second);
        handlers_.erase(found);
        return handler;
    }

    /// The first subprotocol of the client's list that is served (RFC 6455 §4.1: "ordered by preference"), or
    /// else, unless `strict`, none and the default handler.
    Choice choose(std::span<const std::string> offered, bool strict) const {
        const std::shared_lock lock(mutex_);
        for (const std::string& subprotocol : offered) {
            const auto found = handlers_.find(subprotocol);
            if (found != handlers_.end()) return {found->second, *names_.find(found->first)};
        }
        if (strict && !offered.empty()) return {};
        const auto found = handlers_.find(std::string_view{});
        return found != handlers_.end() ? Choice{found->second, {}} : Choice{};
    }

    std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> all() const {
        const std::shared_lock lock(mutex_);
        return {handlers_.begin(), handlers_.end()};
    }

   private:
    mutable std::shared_mutex mutex_;
    std::map<std::string, std::shared_ptr<AnyHandler>, std::less<>> handlers_;
    // Every name ever served: connections keep views of them. An operator makes few.
    std::set<std::string, std::less<>> names_;
};

}  // namespace wsserver
