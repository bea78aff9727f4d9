// The groups of one kind to which the connections of a reactor belong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/connection_counters.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/connection/shared_pace.hpp"
#include "wsserver/server/detail/group_table.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// Used by one thread. Has memory for each connection only if there are limits.
class ReactorGroups {
   public:
    /// table   shared by all reactors; null: there are no limits
    /// pauses  counts pauses of reading by the shared rates
    ReactorGroups(GroupTable* table, Counter& pauses) noexcept : table_(table), pauses_(pauses) {}
    ReactorGroups(const ReactorGroups&) = delete;
    ReactorGroups& operator=(const ReactorGroups&) = delete;

    /// Returns true if there were no limits before, and are some now: older connections must be adopted.
    bool use(const GroupLimits& limits) noexcept {
        const bool was_on = std::exchange(is_on_, table_ != nullptr && limits.any());
        rates_ = limits.receive_rates;
        return is_on_ && !was_on;
    }
    /// True if new connections must join.
    bool is_on() const noexcept { return is_on_; }
    bool has_rates() const noexcept { return is_on_ && rates_.any(); }
    bool has(std::uint32_t slot) const noexcept { return slot < by_slot_.size() && by_slot_[slot] != nullptr; }

    /// See GroupTable. Precondition: is_on(), and the connection in `slot` has no group.
    GroupTable::Joined join(std::uint32_t slot, std::string_view key, Clock::time_point now);
    /// The same for a connection that may have another group, which it leaves if it has joined. If memory runs out,
    /// nothing has changed.
    GroupTable::Joined change(std::uint32_t slot, std::string_view key, Clock::time_point now);
    /// Same as join() for a connection that is older than the limits.
    void adopt(std::uint32_t slot, std::string_view key, Clock::time_point now);
    /// The connection in `slot` ends. It need not have a group.
    void leave(std::uint32_t slot, Clock::time_point now) noexcept;

    /// What the connection in `slot` shares; null: nothing.
    SharedPace* pace(std::uint32_t slot) noexcept { return has(slot) ? &by_slot_[slot]->pace : nullptr; }

   private:
    /// A group, as this reactor sees it.
    struct Local {
        Local(Group& its_group, const ReceiveRates& rates, Counter& pauses) noexcept
            : group(its_group), pace(its_group.messages, its_group.bytes, rates, pauses) {}

        Group& group;
        SharedPace pace;
        std::size_t members = 0;
    };

    void add(std::uint32_t slot, Group& group, Clock::time_point now);
    void remove_from(Local& local, Clock::time_point now) noexcept;

    GroupTable* const table_;
    Counter& pauses_;
    bool is_on_ = false;
    ReceiveRates rates_{};
    std::vector<Local*> by_slot_;
    std::map<Group*, Local> locals_;
};

/// The error of an opening handshake that is refused so.
Errc error_of(GroupKind kind, GroupTable::Refusal refusal) noexcept;

/// The key of the address of `peer`, which peer_name() or client_address() wrote: all of an IPv4 address, and the first
/// 64 bits of an IPv6 address, since a client has all addresses of its network. Empty if it has none.
std::string address_key(std::string_view peer);

}  // namespace wsserver
