#pragma once

#include "wsserver/server/detail/reactor_groups.hpp"

#include <utility>

#include "wsserver/handshake/detail/ip_address.hpp"

namespace wsserver {

std::string address_key(std::string_view peer) {
    const auto parsed = detail::parse_ip_peer(peer);
    if (!parsed) return {};
    const auto& bytes = parsed->address.bytes;
    return parsed->address.is_ipv4() ? std::string(bytes.begin() + 12, bytes.end())
                                     : std::string(bytes.begin(), bytes.begin() + 8);
}

Errc error_of(GroupKind kind, GroupTable::Refusal refusal) noexcept {
    const bool too_fast = refusal == GroupTable::Refusal::rate;
    if (kind == GroupKind::user) return too_fast ? Errc::too_many_new_of_user : Errc::too_many_of_user;
    return too_fast ? Errc::too_many_new_from_address : Errc::too_many_from_address;
}

GroupTable::Joined ReactorGroups::join(std::uint32_t slot, std::string_view key, Clock::time_point now) {
    const GroupTable::Joined joined = table_->join(key, now);
    if (joined.group != nullptr) add(slot, *joined.group, now);
    return joined;
}

GroupTable::Joined ReactorGroups::change(std::uint32_t slot, std::string_view key, Clock::time_point now) {
    Local* const before = has(slot) ? by_slot_[slot] : nullptr;
    const GroupTable::Joined joined = join(slot, key, now);
    if (joined.group != nullptr && before != nullptr) remove_from(*before, now);
    return joined;
}

void ReactorGroups::adopt(std::uint32_t slot, std::string_view key, Clock::time_point now) {
    add(slot, table_->adopt(key), now);
}

void ReactorGroups::add(std::uint32_t slot, Group& group, Clock::time_point now) {
    try {
        if (slot >= by_slot_.size()) by_slot_.resize(std::size_t{slot} + 1);
        Local& local = locals_.try_emplace(&group, group, rates_, pauses_).first->second;
        ++local.members;
        by_slot_[slot] = &local;
    } catch (...) {
        table_->leave(group, now);
        throw;
    }
}

void ReactorGroups::leave(std::uint32_t slot, Clock::time_point now) noexcept {
    if (has(slot)) remove_from(*std::exchange(by_slot_[slot], nullptr), now);
}

void ReactorGroups::remove_from(Local& local, Clock::time_point now) noexcept {
    Group& group = local.group;
    if (--local.members == 0) {
        local.pace.put_back();
        locals_.erase(&group);
    }
    table_->leave(group, now);
}

}  // namespace wsserver
