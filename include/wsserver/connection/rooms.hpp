// The rooms of one reactor: which of its connections are in which room.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "wsserver/connection/room_directory.hpp"

namespace wsserver {

/// The longest name of a room, in bytes.
inline constexpr std::size_t max_room_name = 255;

/// True if `name` may be the name of a room: 1 to 255 bytes of UTF-8.
bool is_room_name(std::string_view name) noexcept;

/// Rooms and their members. A member is the slot of a connection in its reactor's pool. A room exists as long as it has
/// members, and a connection is in a room at most once. Used on the reactor's thread, except where a member says
/// otherwise.
///
/// A membership has an entry in the room's array of members and one in the connection's array of rooms. Each entry has
/// the place of the other, so a membership ends without a search. They take 16 bytes together, and at most half as much
/// again for growth. A connection without a room takes 4 bytes, once any connection has been in one.
class RoomIndex {
   public:
    RoomIndex() = default;
    RoomIndex(const RoomIndex&) = delete;
    RoomIndex& operator=(const RoomIndex&) = delete;
    /// Removes what is left from the directory.
    ~RoomIndex();

    /// `directory` is told when a room of this reactor gets its first member and loses its last one. Precondition: no
    /// one has joined.
    void use_directory(std::shared_ptr<RoomDirectory> directory, std::uint16_t reactor) noexcept {
        directory_ = std::move(directory);
        reactor_ = reactor;
    }
    /// The directory; null if there is none. Any thread.
    const std::shared_ptr<RoomDirectory>& directory() const noexcept { return directory_; }

    /// Adds a member. Returns false, and does nothing, if the connection is in `most` rooms. True if it was a member
    /// before. Throws std::bad_alloc; then nothing has changed. Precondition: is_room_name(room).
    bool join(std::uint32_t slot, std::string_view room, std::size_t most);
    /// Removes a member. Returns false if it is not one.
    bool leave(std::uint32_t slot, std::string_view room) noexcept;
    /// Removes the connection from all rooms.
    void leave_all(std::uint32_t slot) noexcept;

    /// True if the connection is in the room.
    bool has(std::uint32_t slot, std::string_view room) const noexcept;
    /// The name of a room of the connection, for one that is in at most one; empty: it is in none. Valid until it
    /// leaves the room.
    std::string_view room_of(std::uint32_t slot) const noexcept;
    /// The names of the connection's rooms, in no particular order. Throws std::bad_alloc.
    std::vector<std::string> rooms_of(std::uint32_t slot) const;
    /// The number of rooms. Any thread.
    std::size_t rooms() const noexcept { return room_count_.load(std::memory_order_relaxed); }
    /// The number of memberships. Any thread.
    std::size_t memberships() const noexcept { return membership_count_.load(std::memory_order_relaxed); }

    /// Calls f(slot) for each member of the room. `f` may change any room: one that leaves before its turn is left out,
    /// and so is one that joins during the visit. The others are visited once, in the same order as without a change.
    template <class F>
    void for_each_member(std::string_view room, F&& f) {
        for_each_member(room, std::forward<F>(f), [](std::uint32_t) {});
    }
    /// Same. Calls expect(slot) for each member that is in the room a few calls before, so that it can be loaded into
    /// the cache: members are spread over the memory of all connections.
    template <class F, class Expect>
    void for_each_member(std::string_view room, F&& f, Expect&& expect) {
        const std::uint32_t number = find(room);
        if (number == none) return;
        const Visit visit{*this};
        const std::size_t end = rooms_[number].members.size();
        for (std::size_t i = 0; i < end; ++i) {
            const auto& members = rooms_[number].members;
            const std::uint32_t slot = members[i].slot;
            if (i + expected_ahead < end) expect(members[i + expected_ahead].slot);
            if (slot != none) f(slot);
        }
    }

   private:
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    static constexpr std::size_t expected_ahead = 4;

    struct Member {
        std::uint32_t slot;   ///< `none`: it left during a visit
        std::uint32_t place;  ///< of the room in the connection's array
    };
    struct Joined {
        std::uint32_t room;
        std::uint32_t place;  ///< of the connection in the room's array
    };
    struct Room {
        const std::string* name = nullptr;  ///< the key in `names_`; null: free
        std::vector<Member> members{};
        std::uint32_t holes = 0;    ///< members that left during a visit
        std::uint32_t next = none;  ///< free room, or room with holes
    };
    struct Joiner {
        std::vector<Joined> rooms{};
        std::uint32_t next_free = none;
    };
    /// While one exists, members keep their places, and rooms their numbers.
    class Visit {
       public:
        explicit Visit(RoomIndex& index) noexcept : index_(index) { ++index_.visits_; }
        Visit(const Visit&) = delete;
        Visit& operator=(const Visit&) = delete;
        ~Visit() {
            if (--index_.visits_ == 0) index_.fill_holes();
        }

       private:
        RoomIndex& index_;
    };

    std::uint32_t find(std::string_view room) const noexcept {
        const auto found = names_.find(room);
        return found != names_.end() ? found->second : none;
    }
    std::uint32_t joiner_of(std::uint32_t slot) const noexcept {
        return slot < joiner_of_slot_.size() ? joiner_of_slot_[slot] : none;
    }
    std::uint32_t place_in(std::uint32_t joiner, std::uint32_t room, std::uint32_t slot) const noexcept;
    std::uint32_t add_room(std::string_view name);
    std::uint32_t add_joiner(std::uint32_t slot);
    void link(std::uint32_t slot, std::uint32_t joiner, std::uint32_t room);
    void unlink(std::uint32_t joiner, std::uint32_t place) noexcept;
    void remove_member(std::uint32_t room, std::uint32_t place) noexcept;
    void remove_unused(std::uint32_t room) noexcept;
    void remove_unused_joiner(std::uint32_t slot) noexcept;
    void fill_holes() noexcept;
    void fill_holes_of(Room& room) noexcept;
    static std::size_t size_of(const Room& room) noexcept { return room.members.size() - room.holes; }
    /// Changes a number that other threads read.
    static void add_to(std::atomic<std::size_t>& count, std::size_t difference) noexcept {
        count.store(count.load(std::memory_order_relaxed) + difference, std::memory_order_relaxed);
    }

    std::unordered_map<std::string, std::uint32_t, detail::RoomNameHash, std::equal_to<>> names_;
    std::vector<Room> rooms_;
    std::vector<Joiner> joiners_;                ///< the connections that are in a room
    std::vector<std::uint32_t> joiner_of_slot_;  ///< by slot; `none`: it is in no room
    std::uint32_t first_free_room_ = none;
    std::uint32_t first_free_joiner_ = none;
    std::uint32_t first_with_holes_ = none;
    std::uint32_t visits_ = 0;
    std::uint16_t reactor_ = 0;
    std::shared_ptr<RoomDirectory> directory_;
    std::atomic<std::size_t> room_count_{0};
    std::atomic<std::size_t> membership_count_{0};
};

/// How the connections of one reactor are found by name.
struct Memberships {
    RoomIndex rooms;  ///< by room
    RoomIndex users;  ///< by user: all connections of a user are in a room of that name, and each is in at most one

    /// The connection ends.
    void leave_all(std::uint32_t slot) noexcept {
        rooms.leave_all(slot);
        users.leave_all(slot);
    }
};

}  // namespace wsserver
