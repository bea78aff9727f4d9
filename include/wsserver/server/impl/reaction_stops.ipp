#pragma once

#include "wsserver/server/detail/reaction_stops.hpp"

#include <algorithm>

namespace wsserver {

std::stop_token ReactionStops::token(const void* reaction, Clock::time_point deadline) {
    const std::lock_guard lock(mutex_);
    const auto found = running_.find(reaction);
    if (found != running_.end()) return found->second.source.get_token();
    Running running{std::stop_source{}, deadline};
    if (stopping_) running.source.request_stop();
    return running_.emplace(reaction, std::move(running)).first->second.source.get_token();
}

void ReactionStops::end(const void* reaction) noexcept {
    const std::lock_guard lock(mutex_);
    running_.erase(reaction);
}

template <class F>
void ReactionStops::stop_those(F&& f) noexcept {
    for (;;) {
        std::stop_source source{std::nostopstate};
        {
            const std::lock_guard lock(mutex_);
            const auto found = std::ranges::find_if(running_, [&](const auto& entry) {
                return !entry.second.source.stop_requested() && f(entry.first, entry.second);
            });
            if (found == running_.end()) return;
            source = found->second.source;
        }
        source.request_stop();
    }
}

void ReactionStops::stop(const void* reaction) noexcept {
    stop_those([&](const void* one, const Running&) { return one == reaction; });
}

void ReactionStops::stop_all() noexcept {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_those([](const void*, const Running&) { return true; });
}

std::optional<Clock::time_point> ReactionStops::stop_overdue(Clock::time_point now) noexcept {
    stop_those([&](const void*, const Running& running) { return running.deadline <= now; });
    std::optional<Clock::time_point> next;
    const std::lock_guard lock(mutex_);
    for (const auto& [reaction, running] : running_) {
        if (running.deadline > now && (!next || running.deadline < *next)) next = running.deadline;
    }
    return next;
}

}  // namespace wsserver
