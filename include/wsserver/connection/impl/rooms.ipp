#pragma once

#include "wsserver/connection/rooms.hpp"

#include <cassert>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/base/within_memory.hpp"

namespace wsserver {

namespace {

/// Makes space for one more element. By half, because twice as much could waste half of a large index.
template <class T>
void grow_room_array(std::vector<T>& array) {
    if (array.size() == array.capacity()) array.reserve(array.size() + array.size() / 2 + 1);
}

/// Frees memory after most elements were removed. Without memory for the smaller array nothing changes.
template <class T>
void shrink_room_array(std::vector<T>& array) noexcept {
    constexpr std::size_t kept = 16;
    if (array.capacity() <= kept || array.size() > array.capacity() / 4) return;
    (void)within_memory([&] {
        std::vector<T> smaller;
        smaller.reserve(array.capacity() / 2);
        smaller.assign(array.begin(), array.end());
        array.swap(smaller);
    });
}

}  // namespace

bool is_room_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= max_room_name && is_valid_utf8(bytes_of(name));
}

RoomIndex::~RoomIndex() {
    for (std::uint32_t slot = 0; slot < joiner_of_slot_.size(); ++slot) leave_all(slot);
}

bool RoomIndex::join(std::uint32_t slot, std::string_view room, std::size_t most) {
    assert(is_room_name(room) && slot != none);
    std::uint32_t number = find(room);
    std::uint32_t joiner = joiner_of(slot);
    if (number != none && joiner != none && place_in(joiner, number, slot) != none) return true;
    if ((joiner != none ? joiners_[joiner].rooms.size() : 0) >= most) return false;
    try {
        if (number == none) number = add_room(room);
        if (joiner == none) joiner = add_joiner(slot);
        link(slot, joiner, number);
    } catch (...) {
        if (number != none) remove_unused(number);
        remove_unused_joiner(slot);
        throw;
    }
    return true;
}

bool RoomIndex::leave(std::uint32_t slot, std::string_view room) noexcept {
    const std::uint32_t number = find(room);
    const std::uint32_t joiner = joiner_of(slot);
    if (number == none || joiner == none) return false;
    const std::uint32_t place = place_in(joiner, number, slot);
    if (place == none) return false;
    unlink(joiner, place);
    remove_unused_joiner(slot);
    return true;
}

void RoomIndex::leave_all(std::uint32_t slot) noexcept {
    const std::uint32_t joiner = joiner_of(slot);
    if (joiner == none) return;
    while (!joiners_[joiner].rooms.empty()) {
        unlink(joiner, static_cast<std::uint32_t>(joiners_[joiner].rooms.size() - 1));
    }
    remove_unused_joiner(slot);
}

bool RoomIndex::has(std::uint32_t slot, std::string_view room) const noexcept {
    const std::uint32_t number = find(room);
    const std::uint32_t joiner = joiner_of(slot);
    return number != none && joiner != none && place_in(joiner, number, slot) != none;
}

std::string_view RoomIndex::room_of(std::uint32_t slot) const noexcept {
    const std::uint32_t joiner = joiner_of(slot);
    if (joiner == none) return {};
    const auto& rooms = joiners_[joiner].rooms;
    return rooms.empty() ? std::string_view{} : std::string_view{*rooms_[rooms.front().room].name};
}

std::vector<std::string> RoomIndex::rooms_of(std::uint32_t slot) const {
    std::vector<std::string> names;
    const std::uint32_t joiner = joiner_of(slot);
    if (joiner == none) return names;
    names.reserve(joiners_[joiner].rooms.size());
    for (const Joined& joined : joiners_[joiner].rooms) names.push_back(*rooms_[joined.room].name);
    return names;
}

/// The place of the room in the connection's array; `none`: it is not in the room. Searches the shorter array.
std::uint32_t RoomIndex::place_in(std::uint32_t joiner, std::uint32_t room, std::uint32_t slot) const noexcept {
    const auto& rooms = joiners_[joiner].rooms;
    const auto& members = rooms_[room].members;
    if (rooms.size() <= members.size()) {
        for (std::uint32_t place = 0; place < rooms.size(); ++place) {
            if (rooms[place].room == room) return place;
        }
        return none;
    }
    for (const Member& member : members) {
        if (member.slot == slot) return member.place;
    }
    return none;
}

std::uint32_t RoomIndex::add_room(std::string_view name) {
    if (first_free_room_ == none) {
        rooms_.emplace_back();
        first_free_room_ = static_cast<std::uint32_t>(rooms_.size() - 1);
    }
    const std::uint32_t number = first_free_room_;
    const auto added = names_.try_emplace(std::string{name}, number).first;
    Room& room = rooms_[number];
    first_free_room_ = std::exchange(room.next, none);
    room.name = &added->first;
    return number;
}

std::uint32_t RoomIndex::add_joiner(std::uint32_t slot) {
    if (slot >= joiner_of_slot_.size()) joiner_of_slot_.resize(std::size_t{slot} + 1, none);
    if (first_free_joiner_ == none) {
        joiners_.emplace_back();
        first_free_joiner_ = static_cast<std::uint32_t>(joiners_.size() - 1);
    }
    const std::uint32_t joiner = first_free_joiner_;
    first_free_joiner_ = std::exchange(joiners_[joiner].next_free, none);
    joiner_of_slot_[slot] = joiner;
    return joiner;
}

void RoomIndex::link(std::uint32_t slot, std::uint32_t joiner, std::uint32_t room) {
    auto& members = rooms_[room].members;
    auto& rooms = joiners_[joiner].rooms;
    grow_room_array(members);
    grow_room_array(rooms);
    const bool is_first = size_of(rooms_[room]) == 0;
    if (is_first && directory_) directory_->add(*rooms_[room].name, reactor_);
    members.push_back({slot, static_cast<std::uint32_t>(rooms.size())});
    rooms.push_back({room, static_cast<std::uint32_t>(members.size() - 1)});
    if (is_first) add_to(room_count_, 1);
    add_to(membership_count_, 1);
}

/// Ends the membership at `place` of the connection's array.
void RoomIndex::unlink(std::uint32_t joiner, std::uint32_t place) noexcept {
    auto& rooms = joiners_[joiner].rooms;
    const Joined ended = std::exchange(rooms[place], rooms.back());
    rooms_[rooms[place].room].members[rooms[place].place].place = place;
    rooms.pop_back();
    shrink_room_array(rooms);
    remove_member(ended.room, ended.place);
}

void RoomIndex::remove_member(std::uint32_t number, std::uint32_t place) noexcept {
    Room& room = rooms_[number];
    add_to(membership_count_, ~std::size_t{0});
    if (size_of(room) == 1) {
        add_to(room_count_, ~std::size_t{0});
        if (directory_) directory_->remove(*room.name, reactor_);
    }
    if (visits_ > 0) {
        room.members[place].slot = none;
        if (room.holes++ == 0) room.next = std::exchange(first_with_holes_, number);
        return;
    }
    const Member last = room.members.back();
    room.members.pop_back();
    if (place < room.members.size()) {
        room.members[place] = last;
        joiners_[joiner_of_slot_[last.slot]].rooms[last.place].place = place;
    }
    shrink_room_array(room.members);
    remove_unused(number);
}

/// Frees the room if it has no members, and no holes, which belong to a visit.
void RoomIndex::remove_unused(std::uint32_t number) noexcept {
    Room& room = rooms_[number];
    if (!room.members.empty() || room.name == nullptr) return;
    names_.erase(names_.find(*room.name));
    room = Room{};
    room.next = std::exchange(first_free_room_, number);
}

void RoomIndex::remove_unused_joiner(std::uint32_t slot) noexcept {
    const std::uint32_t number = joiner_of(slot);
    if (number == none || !joiners_[number].rooms.empty()) return;
    joiner_of_slot_[slot] = none;
    joiners_[number] = Joiner{};
    joiners_[number].next_free = std::exchange(first_free_joiner_, number);
}

void RoomIndex::fill_holes() noexcept {
    while (first_with_holes_ != none) {
        const std::uint32_t number = first_with_holes_;
        Room& room = rooms_[number];
        first_with_holes_ = std::exchange(room.next, none);
        fill_holes_of(room);
        remove_unused(number);
    }
}

void RoomIndex::fill_holes_of(Room& room) noexcept {
    std::uint32_t place = 0;
    for (const Member member : room.members) {
        if (member.slot == none) continue;
        room.members[place] = member;
        joiners_[joiner_of_slot_[member.slot]].rooms[member.place].place = place++;
    }
    room.members.resize(place);
    room.holes = 0;
    shrink_room_array(room.members);
}

}  // namespace wsserver
