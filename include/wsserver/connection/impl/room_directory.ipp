#pragma once

#include "wsserver/connection/room_directory.hpp"

#include <algorithm>
#include <cassert>

namespace wsserver {

void RoomDirectory::add(std::string_view room, std::uint16_t reactor) {
    Shard& shard = shard_of(room);
    const std::lock_guard lock(shard.mutex);
    auto found = shard.rooms.find(room);
    if (found == shard.rooms.end()) {
        std::vector<Presence> first{{reactor, 1}};
        shard.rooms.emplace(room, std::move(first));
        size_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    auto& present = found->second;
    const auto its = std::find_if(present.begin(), present.end(), [&](auto& one) { return one.reactor == reactor; });
    its != present.end() ? void(++its->calls) : present.push_back({reactor, 1});
}

void RoomDirectory::remove(std::string_view room, std::uint16_t reactor) noexcept {
    Shard& shard = shard_of(room);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.rooms.find(room);
    assert(found != shard.rooms.end());
    auto& present = found->second;
    const auto its = std::find_if(present.begin(), present.end(), [&](auto& one) { return one.reactor == reactor; });
    assert(its != present.end());
    if (--its->calls > 0) return;
    present.erase(its);
    if (!present.empty()) return;
    shard.rooms.erase(found);
    size_.fetch_sub(1, std::memory_order_relaxed);
}

std::vector<std::uint16_t> RoomDirectory::reactors_of(std::string_view room) const {
    std::vector<std::uint16_t> reactors;
    const Shard& shard = shard_of(room);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.rooms.find(room);
    if (found == shard.rooms.end()) return reactors;
    for (const Presence& one : found->second) reactors.push_back(one.reactor);
    return reactors;
}

}  // namespace wsserver
