#pragma once

#include "wsserver/server/detail/group_table.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

namespace wsserver {

void GroupTable::set(const GroupLimits& limits) noexcept {
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
    connections_.store(limits.connections, std::memory_order_relaxed);
    rate_.store(static_cast<std::uint32_t>(std::min(limits.connections_per_second, most)), std::memory_order_relaxed);
}

GroupTable::Joined GroupTable::join(std::string_view key, Clock::time_point now) {
    const std::size_t number = number_of(key);
    Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    forget_full(shard, now);
    Group& group = group_of(shard, number, key);
    const Refusal refusal = take(group, now);
    if (refusal == Refusal::none) {
        if (group.connections_++ == 0) take_out(shard, group);
        return {&group, refusal, true};
    }
    const bool is_answered = group.refused_.try_take(answers_per_second, now);
    if (group.connections_ == 0) {  // it is the newest one now
        take_out(shard, group);
        keep_idle(shard, group, now);
    }
    return {nullptr, refusal, is_answered};
}

Group& GroupTable::adopt(std::string_view key) {
    const std::size_t number = number_of(key);
    Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    Group& group = group_of(shard, number, key);
    if (group.connections_++ == 0) take_out(shard, group);
    return group;
}

void GroupTable::leave(Group& group, Clock::time_point now) noexcept {
    Shard& shard = shards_[group.shard_];
    const std::lock_guard lock(shard.mutex);
    assert(group.connections_ > 0);
    if (--group.connections_ == 0) keep_idle(shard, group, now);
}

std::size_t GroupTable::size() const noexcept {
    std::size_t sum = 0;
    for (const Shard& shard : shards_) {
        const std::lock_guard lock(shard.mutex);
        sum += shard.groups.size();
    }
    return sum;
}

/// The group with this key. A new one is in no list yet, and has no connection.
Group& GroupTable::group_of(Shard& shard, std::size_t number, std::string_view key) {
    auto found = shard.groups.find(key);
    if (found != shard.groups.end()) return found->second;
    found = shard.groups.try_emplace(std::string{key}).first;
    found->second.key_ = &found->first;
    found->second.shard_ = number;
    return found->second;
}

/// Takes a token and a place, if there are both.
GroupTable::Refusal GroupTable::take(Group& group, Clock::time_point now) noexcept {
    const std::size_t most = connections_.load(std::memory_order_relaxed);
    if (most != 0 && group.connections_ >= most) {
        over_connections_.fetch_add(1, std::memory_order_relaxed);
        return Refusal::connections;
    }
    const std::uint32_t rate = rate_.load(std::memory_order_relaxed);
    if (rate == 0 || group.accepted_.try_take(rate, now)) return Refusal::none;
    over_rate_.fetch_add(1, std::memory_order_relaxed);
    return Refusal::rate;
}

/// Removes a group from the list of idle ones, if it is there.
void GroupTable::take_out(Shard& shard, Group& group) noexcept {
    if (shard.oldest != &group && group.older_ == nullptr) return;
    (group.older_ != nullptr ? group.older_->newer_ : shard.oldest) = group.newer_;
    (group.newer_ != nullptr ? group.newer_->older_ : shard.newest) = group.older_;
    group.older_ = group.newer_ = nullptr;
    --shard.idle;
}

void GroupTable::forget(Shard& shard, Group& group) noexcept {
    take_out(shard, group);
    shard.groups.erase(shard.groups.find(*group.key_));
}

/// Two at a time, so that they are forgotten faster than new ones come.
void GroupTable::forget_full(Shard& shard, Clock::time_point now) noexcept {
    for (int i = 0; i < 2 && shard.oldest != nullptr && shard.oldest->is_full(now); ++i) forget(shard, *shard.oldest);
}

/// Keeps a group without connections until it has its tokens again.
void GroupTable::keep_idle(Shard& shard, Group& group, Clock::time_point now) noexcept {
    if (group.is_full(now)) return forget(shard, group);
    group.older_ = shard.newest;
    (shard.newest != nullptr ? shard.newest->newer_ : shard.oldest) = &group;
    shard.newest = &group;
    if (++shard.idle <= idle_of_shard_) return;
    if (!shard.oldest->is_full(now)) forgotten_.fetch_add(1, std::memory_order_relaxed);
    forget(shard, *shard.oldest);
}

}  // namespace wsserver
