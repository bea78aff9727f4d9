// The bodies of Reactor. Included by reactor.hpp only.
#pragma once

namespace wsserver {

// --- Start and end of connections ---

template <Transport T>
void Reactor<T>::accept(typename T::Socket socket, bool proxy_protocol) {
    accepted_.add();
    if (!stopping_ && groups_of(GroupKind::address).is_on()) {
        return accept_by_address(std::move(socket), proxy_protocol);
    }
    const auto admission = stopping_ ? StreamAdmission::close_at_once : shared_.admit();
    if (!count(admission)) return;  // closes the socket
    if (ServerConnection* connection = add_counted(std::move(socket), proxy_protocol))
        return start(*connection, admission);
    release(admission == StreamAdmission::welcome);
}

/// Null without memory, or if there are too many.
template <Transport T>
auto Reactor<T>::add_counted(typename T::Socket socket, bool proxy_protocol) -> ServerConnection* {
    ServerConnection* connection = nullptr;
    (void)within_memory([&] { connection = this->add(std::move(socket)); });
    if (connection == nullptr) counters_.turned_away.add();
    if (connection != nullptr && proxy_protocol) connection->expect_proxy_header();
    return connection;
}

/// Returns false if the stream must be closed.
template <Transport T>
bool Reactor<T>::count(StreamAdmission admission) noexcept {
    const bool closes_for_rate = admission == StreamAdmission::close_for_rate;
    if (closes_for_rate || admission == StreamAdmission::answer_503_for_rate) over_connection_rate_.add();
    if (admission == StreamAdmission::close_at_once) counters_.turned_away.add();
    return !closes_for_rate && admission != StreamAdmission::close_at_once;
}

template <Transport T>
void Reactor<T>::start(ServerConnection& connection, StreamAdmission admission) {
    const ConnectionId id = connection.id();
    start_as(connection, admission);
    give_received(id);
}

/// Passes on the bytes that were read before the stream was made. Its transport knows nothing of them.
template <Transport T>
void Reactor<T>::give_received(ConnectionId id) {
    if (received_first_.empty()) return;
    ServerConnection* const started = pool_.find(id);  // it may be gone
    if (started != nullptr) started->receive_first(mutable_bytes_of(received_first_));
}

template <Transport T>
void Reactor<T>::start_as(ServerConnection& connection, StreamAdmission admission) {
    if (admission == StreamAdmission::welcome) return connection.start();
    leave_groups(connection.id());
    const bool too_fast = admission == StreamAdmission::answer_503_for_rate;
    connection.start_turned_away(too_fast ? Errc::too_many_new_connections : Errc::too_many_connections);
}

template <Transport T>
void Reactor<T>::on_released(ConnectionId id) {
    const ServerConnection* connection = pool_.find(id);
    const bool has_place = connection == nullptr || connection->has_place();
    leave_groups(id);
    Owner::erase(id);
    release(has_place);
    stopped_if_empty();
}

template <Transport T>
ConnectionPage Reactor<T>::list(std::uint32_t first_slot, std::uint32_t most) {
    ConnectionPage page;
    page.is_last = pool_.for_each_in(
        first_slot, most, [&](const ServerConnection& connection) { page.connections.push_back(connection.info()); });
    return page;
}

template <Transport T>
std::optional<ConnectionInfo> Reactor<T>::info(ConnectionId id) {
    const ServerConnection* connection = pool_.find(id);
    if (connection == nullptr) return std::nullopt;
    return connection->info();
}

// --- Requests ---

template <Transport T>
SendStatus Reactor<T>::put(InboxItem&& item, Bytes payload) {
    // `fail` is counted even if the connection is about to end. `resume` and `acknowledge` matter in the closing
    // handshake, too: the peer's Close frame is after bytes that are not read yet.
    const bool for_open_one = item.to.generation != 0 && !item.may_pass_limit();
    if (for_open_one && !pool_.is_open(item.to)) return SendStatus::closed;
    if (on_own_thread() && may_execute_at_once(item)) return execute(item, payload);
    const auto wake = [this] { transport().post([this] { take_items(); }); };
    // What the caller publishes next must reach this reactor, although it has not executed the request by then.
    RoomDirectory* const directory = directory_for(item, payload);
    if (directory != nullptr) directory->add(text_of(payload), number_);
    bool is_put = false;
    const bool had_memory = within_memory([&] { is_put = inbox_.put(std::move(item), payload, wake); });
    if (is_put) return SendStatus::queued;
    if (directory != nullptr) directory->remove(text_of(payload), number_);
    if (!had_memory) throw std::bad_alloc{};
    inbox_dropped_.fetch_add(1, std::memory_order_relaxed);
    return SendStatus::dropped;
}

/// The directory that knows of the request before it is executed; null: there is none.
template <Transport T>
RoomDirectory* Reactor<T>::directory_for(const InboxItem& item, Bytes payload) const noexcept {
    if (item.kind == InboxItem::Kind::join) return shared_.room_directory().get();
    return item.kind == InboxItem::Kind::set_user && !payload.empty() ? shared_.user_directory().get() : nullptr;
}

/// A request of another thread to join a room or to belong to a user was executed or dropped.
template <Transport T>
void Reactor<T>::announced_join_done(const InboxItem& item, Bytes payload) noexcept {
    if (RoomDirectory* const directory = directory_for(item, payload)) directory->remove(text_of(payload), number_);
}

template <Transport T>
void Reactor<T>::take_items() {
    Inbox::Batch batch = std::exchange(spare_batch_, {});  // not in place, as a call may run the loop again
    inbox_.take(batch);
    for (auto next = batch.items.begin(); next != batch.items.end();) {
        // A worker's items for one connection are usually adjacent. They are sent together, without the send queue.
        const auto end =
            std::find_if(next, batch.items.end(), [to = next->to](const InboxItem& item) { return item.to != to; });
        const auto execute_run = [&] {
            for (; next != end; ++next) execute_taken(*next, batch.payload_of(*next));
        };
        ServerConnection* connection = next->to.generation != 0 ? pool_.find(next->to) : nullptr;
        connection != nullptr ? connection->in_one_turn(execute_run) : execute_run();
    }
    batch.clear();  // releases the shared messages early
    spare_batch_ = std::move(batch);
}

template <Transport T>
void Reactor<T>::execute_taken(InboxItem& item, Bytes payload) {
    const bool is_message = item.is_message();
    auto result = SendStatus::dropped;
    const bool had_memory = within_memory([&] { result = execute(item, payload); });
    announced_join_done(item, payload);
    if (!had_memory) return drop(item);
    // The connection was open when put() returned `queued`, so the message is lost.
    if (result == SendStatus::closed && is_message) counters_.messages_dropped.add();
}

/// There is no memory to execute the item.
template <Transport T>
void Reactor<T>::drop(const InboxItem& item) noexcept {
    inbox_dropped_.fetch_add(1, std::memory_order_relaxed);
    if (item.to_all) item.to_all->done(0);
}

template <Transport T>
SendStatus Reactor<T>::execute(InboxItem& item, Bytes payload) {
    if (item.to.generation != 0) {
        ServerConnection* connection = pool_.find(item.to);
        return connection != nullptr ? execute_item(item, payload, *connection) : SendStatus::closed;
    }
    if (item.kind == InboxItem::Kind::broadcast) {
        broadcast_later(*item.to_all);
        return SendStatus::queued;
    }
    item.to_all->done(execute_for_each(item, payload));
    return SendStatus::queued;
}

template <Transport T>
std::size_t Reactor<T>::execute_for_each(InboxItem& item, Bytes payload) {
    std::size_t receivers = 0;
    pool_.for_each([&](ServerConnection& connection) {
        if (!connection.is_open()) return;
        if (execute_item(item, payload, connection) == SendStatus::queued) ++receivers;
    });
    return receivers;
}

// --- Broadcasts ---

/// Broadcasts of one turn are sent together: eight messages to a thousand peers need a thousand sends, not eight
/// thousand.
template <Transport T>
void Reactor<T>::broadcast_later(Broadcast& broadcast) {
    broadcasts_.push_back(std::move(broadcast));  // if it throws, `broadcast` is unchanged
    if (!std::exchange(broadcasts_wait_, true)) (void)this->soon([this] { send_broadcasts(); });
}

template <Transport T>
void Reactor<T>::send_broadcasts() {
    if (!leaving_.broadcasts.empty())
        return;  // a callback of those that leave now has broadcast again: in a later turn
    if (!std::exchange(broadcasts_wait_, false)) return;
    if (!within_memory([this] { leaving_.receivers.assign(broadcasts_.size(), 0); })) return drop_broadcasts();
    std::swap(leaving_.broadcasts, broadcasts_);
    for (std::size_t first = 0; first < leaving_.broadcasts.size();) first = send_group(first);
    leaving_.together.reset();
    if (std::exchange(broadcast_counted_, false)) watch_broadcasts();
    report_broadcasts();
}

/// Sends a group of broadcasts: consecutive ones to the same room and user, or to neither. Returns the end of the
/// group. A list of connections is a group of its own, and so is a message whose frames are not in one place.
template <Transport T>
std::size_t Reactor<T>::send_group(std::size_t first) {
    const auto& all = leaving_.broadcasts;
    const auto is_alone = [](const Broadcast& broadcast) {
        return !broadcast.to.empty() || broadcast.shared->is_apart();
    };
    const auto is_like_first = [&](const Broadcast& other) {
        return !is_alone(other) && other.audience->room == all[first].audience->room &&
               other.audience->user == all[first].audience->user;
    };
    std::size_t end = first + 1;
    while (!is_alone(all[first]) && end < all.size() && is_like_first(all[end])) ++end;
    if (!within_memory([&] { leaving_.together = join(first, end); })) {
        inbox_dropped_.fetch_add(end - first, std::memory_order_relaxed);
        return end;
    }
    for_each_receiver(all[first], [&](ServerConnection& connection) {
        if (connection.is_open()) send_broadcasts_to(connection, first, end);
    });
    return end;
}

/// Calls `f` for each connection of the room, the user or the list; for all if there is none of these.
template <Transport T>
template <class F>
void Reactor<T>::for_each_receiver(const Broadcast& broadcast, F&& f) {
    for (const ConnectionId id : broadcast.to) {
        if (ServerConnection* connection = pool_.find(id)) f(*connection);
    }
    if (!broadcast.to.empty()) return;
    if (!selects_members(*broadcast.audience)) return pool_.for_each(f);
    const auto visit = [&](std::uint32_t slot) {
        if (ServerConnection* connection = pool_.in_slot(slot)) f(*connection);
    };
    for_each_selected(this->memberships_, *broadcast.audience, visit,
                      [this](std::uint32_t slot) { pool_.expect(slot); });
}

template <Transport T>
void Reactor<T>::report_broadcasts() {
    // Moved out first: a Completion may broadcast again.
    auto reported = std::exchange(leaving_.broadcasts, {});
    const auto receivers = std::exchange(leaving_.receivers, {});
    if (receipts_.has_noted()) {
        const auto now = transport().now();
        receipts_.keep(reported, receivers, now);
        next_receipts_ = std::min(next_receipts_, later(now, look_interval));
        timers_.arm(next_wake());
        (void)this->soon([this] { look_at_receipts(); });  // after the receivers were sent what they take at once
    }
    for (std::size_t i = 0; i < reported.size(); ++i) reported[i].done(receivers[i]);
}

/// A receiver that takes less than the slowest_receiver-th part of the high mark in close_timeout is closed.
template <Transport T>
void Reactor<T>::look_at_receipts() {
    const auto now = transport().now();
    const ConnectionOptions& options = this->options();
    const std::uint64_t least = options.send_queue.high_mark / slowest_receiver + 1;
    (void)within_memory([&] { receipts_.look(now, options.close_timeout, least); });
    next_receipts_ = receipts_.empty() ? Clock::time_point::max() : later(now, look_interval);
    if (!receipts_.empty()) timers_.arm(next_wake());
}

/// Notes where each broadcast of a group begins, and returns the frames of all.
template <Transport T>
std::shared_ptr<const SharedMessage> Reactor<T>::join(std::size_t first, std::size_t end) {
    const auto& all = leaving_.broadcasts;
    leaving_.begins.assign(1, 0);
    for (std::size_t i = first; i < end; ++i) {
        leaving_.begins.push_back(leaving_.begins.back() + all[i].shared->frames.size());
    }
    if (end - first == 1) return all[first].shared;
    auto together = std::make_shared<SharedMessage>();
    together->frames.reserve(leaving_.begins.back());
    for (std::size_t i = first; i < end; ++i) together->frames.append(all[i].shared->frames.bytes());
    return together;
}

/// There is no memory to send them.
template <Transport T>
void Reactor<T>::drop_broadcasts() noexcept {
    const auto dropped = std::exchange(broadcasts_, {});  // moved out first: a Completion may broadcast again
    inbox_dropped_.fetch_add(dropped.size(), std::memory_order_relaxed);
}

/// Sends each run of consecutive broadcasts of a group for this connection with one send. If it cannot be sent
/// directly, queues each message separately, so that the policy for slow consumers applies to each.
template <Transport T>
void Reactor<T>::send_broadcasts_to(ServerConnection& connection, std::size_t group, std::size_t group_end) {
    const auto& all = leaving_.broadcasts;
    for (std::size_t first = group; first < group_end;) {
        std::size_t end = first;
        while (end < group_end && hears(*all[end].audience, connection)) ++end;
        const std::size_t begin = leaving_.begins[first - group];
        const Bytes frames = leaving_.together->frames.bytes().subspan(begin, leaving_.begins[end - group] - begin);
        const bool sent = !frames.empty() && connection.send_directly(leaving_.together, frames, end - first);
        for (std::size_t i = first; i < end; ++i) {
            const bool taken = sent || send_shared_to(connection, all[i]) == SendStatus::queued;
            if (taken) ++leaving_.receivers[i];
            if (all[i].acknowledged && connection.is_lagging()) receipts_.note(i, connection.id(), connection.taken());
        }
        if (!connection.has_sent_all()) {
            broadcast_counted_ = true;
            if (sent) leaving_.together->count_in(shared_.waiting_broadcasts());
            for (std::size_t i = first; !sent && i < end; ++i) all[i].shared->count_in(shared_.waiting_broadcasts());
        }
        first = end + 1;
    }
}

template <Transport T>
SendStatus Reactor<T>::send_shared_to(ServerConnection& connection, const Broadcast& broadcast) {
    const auto kind = broadcast.audience->waits ? SendKind::reply : SendKind::message;
    return connection.send_shared(broadcast.shared, kind);
}

// --- Timers ---

template <Transport T>
void Reactor<T>::wake() {
    const auto now = timers_.fire();
    if (now >= stop_deadline_) {
        stop_deadline_ = Clock::time_point::max();
        cut_all();
    }
    this->catch_up();
    if (now >= next_look_) look_at_memory();
    if (now >= next_receipts_) look_at_receipts();
    timers_.arm(next_wake());
}

// --- Memory ---

template <Transport T>
void Reactor<T>::use(const ReactorOptions& options) {
    this->server_name_ = options.server_name;  // first: only this may throw
    this->use_limits(options.connection, options.memory_limit);
    this->protocol_options_.fragment_size = options.fragment_size;
    inbox_.set_limit(Inbox::limit_within(options.memory_limit));
    const bool adopts_by_address = groups_of(GroupKind::address).use(options.per_address);
    const bool adopts_by_user = groups_of(GroupKind::user).use(options.per_user);
    this->has_shared_paces_ = groups_[0].has_rates() || groups_[1].has_rates();
    if (adopts_by_address || adopts_by_user) adopt_all();
}

template <Transport T>
void Reactor<T>::look_at_memory() {
    const MemoryUse use = shared_.memory_use();
    Owner::look_at_memory(use);
    broadcasts_watched_ =
        shared_.waiting_broadcasts()->load(std::memory_order_relaxed) + this->budget().step(use.total);
    timers_.arm(next_wake());
}

template <Transport T>
void Reactor<T>::look_at_memory_soon() {
    if (look_posted_.exchange(true)) return;
    const bool posted = within_memory([this] {
        transport().post([this] {
            look_posted_ = false;
            look_at_memory();
        });
    });
    if (!posted) look_posted_ = false;
}

/// Broadcasts that wait are in no account, so it looks at their sum.
template <Transport T>
void Reactor<T>::watch_broadcasts() {
    if (shared_.waiting_broadcasts()->load(std::memory_order_relaxed) < broadcasts_watched_) return;
    const std::size_t watched = std::exchange(broadcasts_watched_, std::numeric_limits<std::size_t>::max());
    if (!this->soon([this] { on_memory_growth(); })) broadcasts_watched_ = watched;
}

/// The connections of this reactor have grown by a step. While memory is short, it looks at intervals.
template <Transport T>
void Reactor<T>::on_memory_growth() {
    look_at_memory();
    // The largest holders may be on a reactor whose connections do not grow.
    if (next_look_ != Clock::time_point::max()) shared_.on_memory_short();
}

// --- Stop ---

template <Transport T>
void Reactor<T>::stop(Clock::time_point deadline) {
    if (!std::exchange(stopping_, true)) {
        transport().stop_listening();
        broadcasts_first();
        pool_.for_each([](ServerConnection& connection) { connection.going_away(); });
    }
    stop_deadline_ = deadline;
    if constexpr (requires { transport().send_until(deadline); }) transport().send_until(deadline);
    timers_.arm(stop_deadline_);
    stopped_if_empty();
}

template <Transport T>
void Reactor<T>::stopped_if_empty() {
    if (!stopping_ || !pool_.empty() || std::exchange(stopped_, true)) return;
    stop_deadline_ = Clock::time_point::max();
    drop_requests();
    transport().stop();
    shared_.on_stopped(number_);
}

template <Transport T>
void Reactor<T>::drop_requests() {
    std::exchange(broadcasts_, {}).clear();
    receipts_.clear();
    drop_inbox();
}

template <Transport T>
void Reactor<T>::drop_inbox() noexcept {
    Inbox::Batch dropped;
    inbox_.take(dropped);
    for (const InboxItem& item : dropped.items) announced_join_done(item, dropped.payload_of(item));
}

}  // namespace wsserver
