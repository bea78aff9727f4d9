// Which reactors have members of a room. A publication goes to these only.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace wsserver {

namespace detail {

/// Hashes the name of a room, so that a map with std::string keys is searched by std::string_view.
struct RoomNameHash {
    using is_transparent = void;  // NOLINT(readability-identifier-naming): the name that the library looks for
    std::size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
};

}  // namespace detail

/// Shared by all reactors of a server. Any thread may call its members. It changes only when a reactor gets its first
/// member of a room or loses its last one, and for each request to join that comes from another thread. Each name has
/// one of 64 locks, which is held for a search.
class RoomDirectory {
   public:
    /// The reactor has members of the room, or will have. The same call may be made several times, and as many calls of
    /// remove() must follow. Throws std::bad_alloc; then nothing has changed.
    void add(std::string_view room, std::uint16_t reactor);
    /// Reverses one call of add().
    void remove(std::string_view room, std::uint16_t reactor) noexcept;
    /// The reactors that have members, in no particular order. Throws std::bad_alloc.
    std::vector<std::uint16_t> reactors_of(std::string_view room) const;
    /// The number of rooms.
    std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

   private:
    struct Presence {
        std::uint16_t reactor;
        std::uint32_t calls;  ///< of add() without a remove()
    };
    using Rooms = std::unordered_map<std::string, std::vector<Presence>, detail::RoomNameHash, std::equal_to<>>;
    struct Shard {
        mutable std::mutex mutex;
        Rooms rooms;
    };
    static constexpr std::size_t shard_count = 64;

    Shard& shard_of(std::string_view room) noexcept { return shards_[detail::RoomNameHash{}(room) % shard_count]; }
    const Shard& shard_of(std::string_view room) const noexcept {
        return shards_[detail::RoomNameHash{}(room) % shard_count];
    }

    std::array<Shard, shard_count> shards_;
    std::atomic<std::size_t> size_{0};
};

}  // namespace wsserver
