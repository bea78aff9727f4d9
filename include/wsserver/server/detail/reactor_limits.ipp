// The bodies of Reactor for the limits of addresses and users. Included by reactor.hpp only.
#pragma once

namespace wsserver {

/// A client over a limit of its address must not use up what all clients share, so that limit is first.
template <Transport T>
void Reactor<T>::accept_by_address(typename T::Socket socket, bool proxy_protocol) {
    ServerConnection* const connection = add_counted(std::move(socket), proxy_protocol);
    if (connection == nullptr) return;
    GroupTable::Joined joined;
    const bool has_memory = within_memory([&] {
        const std::string peer = connection->peer();
        if (!shared_.trusts_proxy(peer)) joined = join_group(connection->id(), GroupKind::address, peer);
    });
    if (!has_memory) {
        counters_.turned_away.add();
        return discard(connection->id());
    }
    if (joined.refusal != GroupTable::Refusal::none) {
        const ConnectionId id = connection->id();
        if (!joined.is_answered || !shared_.admit_refused()) return discard(id);
        connection->start_turned_away(error_of(GroupKind::address, joined.refusal));
        return give_received(id);
    }
    const auto admission = shared_.admit();
    count(admission) ? start(*connection, admission) : discard(connection->id());
}

/// Closes a stream that was not started.
template <Transport T>
void Reactor<T>::discard(ConnectionId id) {
    leave_groups(id);
    pool_.erase(id);
}

/// An empty result without a refusal: it need not join.
template <Transport T>
GroupTable::Joined Reactor<T>::join_group(ConnectionId id, GroupKind kind, std::string_view name) {
    ReactorGroups& groups = groups_of(kind);
    if (!groups.is_on() || groups.has(id.slot)) return {};
    const std::string key = kind == GroupKind::address ? address_key(name) : std::string{name};
    return key.empty() ? GroupTable::Joined{} : groups.join(id.slot, key, transport().now());
}

template <Transport T>
std::optional<Errc> Reactor<T>::join(ConnectionId id, GroupKind kind, std::string_view name) {
    const auto joined = join_group(id, kind, name);
    if (joined.refusal == GroupTable::Refusal::none) return std::nullopt;
    return error_of(kind, joined.refusal);
}

template <Transport T>
std::optional<Errc> Reactor<T>::change_user_group(ConnectionId id, std::string_view user) {
    ReactorGroups& groups = groups_of(GroupKind::user);
    if (!groups.is_on() || user.empty()) {
        groups.leave(id.slot, transport().now());
        return std::nullopt;
    }
    const auto joined = groups.change(id.slot, user, transport().now());
    if (joined.refusal == GroupTable::Refusal::none) return std::nullopt;
    return error_of(GroupKind::user, joined.refusal);
}

/// Connections that are older than the limits count, too. Without memory, some do not.
template <Transport T>
void Reactor<T>::adopt_all() {
    pool_.for_each([this](const ServerConnection& connection) {
        if (!connection.has_place()) return;
        (void)within_memory([&] {
            const std::string peer = connection.peer();
            if (connection.is_opening() && shared_.trusts_proxy(peer)) return;  // joins when its request was read
            const std::string key = address_key(peer);
            const auto slot = connection.id().slot;
            ReactorGroups& groups = groups_of(GroupKind::address);
            if (groups.is_on() && !key.empty() && !groups.has(slot)) groups.adopt(slot, key, transport().now());
            ReactorGroups& users = groups_of(GroupKind::user);
            const std::string_view user = connection.user();
            if (users.is_on() && !user.empty() && !users.has(slot)) users.adopt(slot, user, transport().now());
        });
    });
}

template <Transport T>
bool Reactor<T>::give_up_place(ConnectionId id) noexcept {
    if (!shared_.give_up_place()) return false;
    leave_groups(id);
    return true;
}

}  // namespace wsserver
