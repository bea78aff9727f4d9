// Counts the connections of each address, or of each user, for all reactors.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "wsserver/connection/limits.hpp"
#include "wsserver/scheduling/shared_token_bucket.hpp"
#include "wsserver/scheduling/token_bucket.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// The connections of one address or user. It stays where it is while it has connections.
class Group {
   public:
    SharedTokenBucket messages;  ///< what all may receive; any thread
    SharedTokenBucket bytes;     ///< the same

   private:
    friend class GroupTable;

    // The rest is used under the mutex of its shard.
    bool is_full(Clock::time_point now) const noexcept {
        return messages.is_full(now) && bytes.is_full(now) && accepted_.is_full(now) && refused_.is_full(now);
    }

    const std::string* key_ = nullptr;  ///< in the shard's map
    std::size_t shard_ = 0;
    std::size_t connections_ = 0;
    TokenBucket accepted_;
    TokenBucket refused_;
    Group* older_ = nullptr;  ///< in the list of groups without connections
    Group* newer_ = nullptr;
};

/// The groups of one kind. Any thread may call the members; they are for the start and the end of connections.
///
/// A group is forgotten when it has no connection and all its tokens, because then a new one is the same. At most
/// `most_idle` groups without connections are kept; of more, the one that has been idle longest is forgotten, and its
/// tokens are there too early. So the memory is bounded by the connections, however many addresses there are, and no
/// group that has a connection is forgotten.
class GroupTable {
   public:
    static constexpr std::size_t most_idle = 16'384;
    /// The refused clients of a group that get a response in a second. Further ones cost no more than their accept.
    static constexpr std::uint32_t answers_per_second = 10;

    /// Why a connection may not join.
    enum class Refusal : std::uint8_t {
        none,
        connections,  ///< over GroupLimits::connections
        rate,         ///< over GroupLimits::connections_per_second
    };
    struct Joined {
        Group* group = nullptr;  ///< until leave(); null: refused
        Refusal refusal = Refusal::none;
        bool is_answered = true;  ///< false: over answers_per_second, too
    };

    explicit GroupTable(const GroupLimits& limits, std::size_t idle = most_idle) noexcept
        : idle_of_shard_(idle / shards) {
        set(limits);
    }
    GroupTable(const GroupTable&) = delete;
    GroupTable& operator=(const GroupTable&) = delete;

    void set(const GroupLimits& limits) noexcept;
    /// A new connection joins the group with this key, unless that is over a limit. Throws std::bad_alloc.
    Joined join(std::string_view key, Clock::time_point now);
    /// Same for a connection that is older than the limits.
    Group& adopt(std::string_view key);
    /// A connection ends. The group may be gone after its last one.
    void leave(Group& group, Clock::time_point now) noexcept;

    /// The number of groups, those without connections among them.
    std::size_t size() const noexcept;
    std::uint64_t over_connections() const noexcept { return over_connections_.load(std::memory_order_relaxed); }
    std::uint64_t over_rate() const noexcept { return over_rate_.load(std::memory_order_relaxed); }
    /// The groups that were forgotten too early.
    std::uint64_t forgotten() const noexcept { return forgotten_.load(std::memory_order_relaxed); }

   private:
    static constexpr std::size_t shards = 16;
    struct Shard {
        mutable std::mutex mutex;
        // Ordered, because clients choose the keys: with hashes they could choose equal ones.
        std::map<std::string, Group, std::less<>> groups;
        Group* oldest = nullptr;  ///< of the groups without connections
        Group* newest = nullptr;
        std::size_t idle = 0;
    };

    static std::size_t number_of(std::string_view key) noexcept { return std::hash<std::string_view>{}(key) % shards; }
    static Group& group_of(Shard& shard, std::size_t number, std::string_view key);
    static void take_out(Shard& shard, Group& group) noexcept;
    static void forget(Shard& shard, Group& group) noexcept;
    static void forget_full(Shard& shard, Clock::time_point now) noexcept;
    void keep_idle(Shard& shard, Group& group, Clock::time_point now) noexcept;
    Refusal take(Group& group, Clock::time_point now) noexcept;

    const std::size_t idle_of_shard_;
    std::atomic<std::size_t> connections_{0};
    std::atomic<std::uint32_t> rate_{0};
    std::array<Shard, shards> shards_;
    std::atomic<std::uint64_t> over_connections_{0};
    std::atomic<std::uint64_t> over_rate_{0};
    std::atomic<std::uint64_t> forgotten_{0};
};

}  // namespace wsserver
