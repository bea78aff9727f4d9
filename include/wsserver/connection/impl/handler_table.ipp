#pragma once

#include "wsserver/connection/handler_table.hpp"

#include <algorithm>
#include <stdexcept>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handshake/detail/http_text.hpp"

namespace wsserver {

void HandlerTable::set(std::string subprotocol, std::shared_ptr<AnyHandler> handler) {
    // Destroyed after the lock is released: the destructor of the old handler may be slow and may use this table.
    std::shared_ptr<AnyHandler> before = std::move(handler);
    const std::unique_lock lock(mutex_);
    names_.insert(subprotocol);
    std::swap(handlers_[std::move(subprotocol)], before);
}

void HandlerTable::set_path(std::string_view pattern, std::string subprotocol, std::shared_ptr<AnyHandler> handler) {
    auto parsed = PathPattern::parse(pattern);
    if (!parsed) throw std::invalid_argument(parsed.error());
    std::shared_ptr<AnyHandler> before = std::move(handler);  // as in set()
    const std::unique_lock lock(mutex_);
    const auto place = routes_.begin() + (place_of(*parsed) - routes_.cbegin());
    const bool is_new = place == routes_.end() || !place->pattern->matches_same_paths_as(*parsed);
    if (!is_new && *place->pattern != *parsed) {
        throw std::invalid_argument("path pattern '" + escape_control(pattern) + "': '" +
                                    escape_control(place->pattern->text()) +
                                    "' matches the same paths; use the same names");
    }
    names_.insert(subprotocol);
    if (!is_new) return std::swap(place->handlers[std::move(subprotocol)], before);
    Entry entry{std::make_shared<const PathPattern>(*std::move(parsed)), {}};
    entry.handlers.emplace(std::move(subprotocol), before);
    routes_.insert(place, std::move(entry));
}

std::vector<RemovedHandler> HandlerTable::remove(std::string_view subprotocol) {
    std::vector<RemovedHandler> removed;  // destroyed after the lock is released
    const std::unique_lock lock(mutex_);
    const auto found = handlers_.find(subprotocol);
    if (found == handlers_.end()) return removed;
    removed.push_back({found->second, found->first});
    handlers_.erase(found);
    return removed;
}

std::vector<RemovedHandler> HandlerTable::remove_path(std::string_view pattern,
                                                      std::optional<std::string_view> subprotocol) {
    std::vector<RemovedHandler> removed;
    const auto parsed = PathPattern::parse(pattern);
    if (!parsed) return removed;
    const std::unique_lock lock(mutex_);
    const auto place = routes_.begin() + (place_of(*parsed) - routes_.cbegin());
    if (place == routes_.end() || !place->pattern->matches_same_paths_as(*parsed)) return removed;
    for (const auto& [name, handler] : place->handlers) {
        if (!subprotocol || *subprotocol == name) removed.push_back({handler, name, place->pattern});
    }
    for (const RemovedHandler& one : removed) place->handlers.erase(one.subprotocol);
    if (place->handlers.empty()) routes_.erase(place);
    return removed;
}

void HandlerTable::clear() {
    Handlers removed;  // destroyed after the lock is released
    std::vector<Entry> removed_routes;
    const std::unique_lock lock(mutex_);
    removed.swap(handlers_);
    removed_routes.swap(routes_);
}

HandlerTable::Choice HandlerTable::choose(const Offer& offer, bool strict) const {
    const std::shared_lock lock(mutex_);
    const Entry* entry = entry_for(offer.request.target);
    const Handlers& handlers = entry != nullptr ? entry->handlers : handlers_;
    const auto route = entry != nullptr ? entry->pattern : nullptr;
    for (const std::string& subprotocol : offer.subprotocols) {
        const auto found = handlers.find(subprotocol);
        if (found != handlers.end()) return {found->second, *names_.find(found->first), route};
    }
    if (needs_subprotocol(offer) || (strict && !offer.subprotocols.empty())) return {{}, {}, route};
    const auto found = handlers.find(std::string_view{});
    return {found != handlers.end() ? found->second : nullptr, {}, route};
}

Refusal HandlerTable::why_none(const Offer& offer) const {
    const std::string_view target = offer.request.target;
    const std::string path = http_text::shortened(target.substr(0, target.find('?')));
    const std::shared_lock lock(mutex_);
    const Entry* entry = entry_for(target);
    if (entry == nullptr && handlers_.empty()) return {Errc::no_such_path, "the client asked for " + path};

    std::string asked, served;
    for (const auto& name : offer.subprotocols) asked += (asked.empty() ? "" : ", ") + name;
    for (const auto& [name, handler] : entry != nullptr ? entry->handlers : handlers_) {
        if (!name.empty()) served += (served.empty() ? "" : ", ") + name;
    }
    return {Errc::unknown_subprotocol, "the client asked for " +
                                           (asked.empty() ? "none" : http_text::shortened(asked)) + "; " +
                                           (entry != nullptr ? "the path " + path : "the server") + " has " +
                                           (served.empty() ? "none" : http_text::shortened(served))};
}

std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> HandlerTable::all() const {
    const std::shared_lock lock(mutex_);
    return {handlers_.begin(), handlers_.end()};
}

std::vector<Route> HandlerTable::routes() const {
    std::vector<Route> all;
    const std::shared_lock lock(mutex_);
    for (const Entry& entry : routes_) {
        for (const auto& [subprotocol, handler] : entry.handlers) {
            all.push_back({entry.pattern->text(), subprotocol, handler});
        }
    }
    return all;
}

/// Where the pattern is in the order of specificity, or would be. The mutex is locked.
std::vector<HandlerTable::Entry>::const_iterator HandlerTable::place_of(const PathPattern& pattern) const noexcept {
    return std::lower_bound(
        routes_.begin(), routes_.end(), pattern,
        [](const Entry& entry, const PathPattern& another) { return entry.pattern->is_more_specific_than(another); });
}

/// The route for a target; null if none matches. The mutex is locked.
const HandlerTable::Entry* HandlerTable::entry_for(std::string_view target) const {
    const auto found =
        std::ranges::find_if(routes_, [&](const Entry& entry) { return entry.pattern->matches(target); });
    return found != routes_.end() ? &*found : nullptr;
}

}  // namespace wsserver
