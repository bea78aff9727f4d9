// The bodies of Reactor. Included by reactor.hpp only.
#pragma once

namespace wsserver {

// --- Start and end of connections ---

template <Transport T>
void Reactor<T>::accept(typename T::Socket socket) {
    accepted_.add();
    const auto admission = stopping_ ? ReactorShared::Admission::close_at_once : shared_.admit();
    if (admission == ReactorShared::Admission::close_at_once) {
        counters_.turned_away.add();
        return;  // the socket closes itself
    }
    ServerConnection* connection = this->add(std::move(socket));
    if (connection == nullptr) {
        counters_.turned_away.add();
        shared_.released();
        return;
    }
    if (admission == ReactorShared::Admission::answer_503) connection->turn_away();
    connection->start();
}

template <Transport T>
void Reactor<T>::on_released(ConnectionId id) {
    pool_.erase(id);
    shared_.released();
    stopped_if_empty();
}

template <Transport T>
std::vector<ConnectionInfo> Reactor<T>::list() {
    std::vector<ConnectionInfo> infos;
    infos.reserve(pool_.size());
    pool_.for_each([&](const ServerConnection& connection) { infos.push_back(connection.info()); });
    return infos;
}

template <Transport T>
std::optional<ConnectionInfo> Reactor<T>::info(ConnectionId id) {
    const ServerConnection* connection = pool_.find(id);
    if (connection == nullptr) return std::nullopt;
    return connection->info();
}

// --- Requests ---

template <Transport T>
SendStatus Reactor<T>::put(InboxItem item, Bytes payload) {
    // `fail` is counted even if the connection is about to end. `resume` matters in the closing handshake, too: the
    // peer's Close frame is after bytes that are not read yet.
    const bool for_open_one =
        item.to.generation != 0 && item.kind != InboxItem::Kind::fail && item.kind != InboxItem::Kind::resume;
    if (for_open_one && !pool_.is_open(item.to)) return SendStatus::closed;
    if (on_own_thread()) return execute(item, payload);
    const auto wake = [this] { transport().post([this] { take_items(); }); };
    if (inbox_.put(std::move(item), payload, wake)) return SendStatus::queued;
    inbox_dropped_.fetch_add(1, std::memory_order_relaxed);
    return SendStatus::dropped;
}

template <Transport T>
void Reactor<T>::take_items() {
    inbox_.take(taken_);
    for (auto next = taken_.items.begin(); next != taken_.items.end();) {
        // A worker's items for one connection are usually adjacent. They are sent together, without the send queue.
        const auto end =
            std::find_if(next, taken_.items.end(), [to = next->to](const InboxItem& item) { return item.to != to; });
        const auto execute_run = [&] {
            for (; next != end; ++next) execute_taken(*next);
        };
        ServerConnection* connection = next->to.generation != 0 ? pool_.find(next->to) : nullptr;
        connection != nullptr ? connection->in_one_turn(execute_run) : execute_run();
    }
    taken_.clear();  // releases the shared messages early
}

template <Transport T>
void Reactor<T>::execute_taken(InboxItem& item) {
    const bool is_message = item.kind == InboxItem::Kind::send_text || item.kind == InboxItem::Kind::send_binary;
    // The connection was open when put() returned `queued`, so the message is lost.
    if (execute(item, taken_.payload_of(item)) == SendStatus::closed && is_message) counters_.messages_dropped.add();
}

template <Transport T>
SendStatus Reactor<T>::execute(InboxItem& item, Bytes payload) {
    if (item.to.generation != 0) {
        ServerConnection* connection = pool_.find(item.to);
        return connection != nullptr ? execute_for_one(*connection, item, payload) : SendStatus::closed;
    }
    if (item.kind == InboxItem::Kind::broadcast) {
        broadcast_later(std::move(*item.to_all));
        return SendStatus::queued;
    }
    item.to_all->report(execute_for_each(item, payload));
    return SendStatus::queued;
}

template <Transport T>
SendStatus Reactor<T>::execute_for_one(ServerConnection& connection, const InboxItem& item, Bytes payload) {
    switch (item.kind) {
        case InboxItem::Kind::send_text:
            return connection.send_as(item.send_as, Text::from_payload(payload));
        case InboxItem::Kind::send_binary:
            return connection.send_as(item.send_as, Binary::from_payload(payload));
        case InboxItem::Kind::ping:
            return connection.ping(payload);
        case InboxItem::Kind::close:
            return connection.close(item.code, text_of(payload));
        case InboxItem::Kind::fail:
            connection.fail_handler(text_of(payload));
            return SendStatus::queued;
        case InboxItem::Kind::resume:
            connection.resume_receiving();
            return SendStatus::queued;
        case InboxItem::Kind::broadcast:
        case InboxItem::Kind::ping_all:
        case InboxItem::Kind::close_all:
            break;
    }
    return SendStatus::refused;
}

template <Transport T>
std::size_t Reactor<T>::execute_for_each(const InboxItem& item, Bytes payload) {
    std::size_t receivers = 0;
    pool_.for_each([&](ServerConnection& connection) {
        if (!connection.is_open()) return;
        const SendStatus status = item.kind == InboxItem::Kind::ping_all
                                      ? connection.ping(payload)
                                      : connection.close(item.code, text_of(payload));
        if (status == SendStatus::queued) ++receivers;
    });
    return receivers;
}

// --- Broadcasts ---

/// Broadcasts of one turn are sent together: eight messages to a thousand peers need a thousand sends, not eight
/// thousand.
template <Transport T>
void Reactor<T>::broadcast_later(Broadcast broadcast) {
    if (!broadcasts_wait_) transport().post([this] { send_broadcasts(); });
    broadcasts_wait_ = true;
    broadcasts_.push_back(std::move(broadcast));
}

template <Transport T>
void Reactor<T>::send_broadcasts() {
    if (!std::exchange(broadcasts_wait_, false)) return;
    std::swap(leaving_.broadcasts, broadcasts_);
    leaving_.receivers.assign(leaving_.broadcasts.size(), 0);
    join_broadcasts();
    pool_.for_each([this](ServerConnection& connection) {
        if (connection.is_open()) send_broadcasts_to(connection);
    });
    leaving_.together.reset();
    // Moved out first: a Count may broadcast again.
    const auto reported = std::exchange(leaving_.broadcasts, {});
    const auto receivers = std::exchange(leaving_.receivers, {});
    for (std::size_t i = 0; i < reported.size(); ++i) reported[i].report(receivers[i]);
}

template <Transport T>
void Reactor<T>::join_broadcasts() {
    leaving_.begins.assign(1, 0);
    for (const Broadcast& broadcast : leaving_.broadcasts) {
        leaving_.begins.push_back(leaving_.begins.back() + broadcast.shared->frames.size());
    }
    if (leaving_.broadcasts.size() == 1) {
        leaving_.together = leaving_.broadcasts.front().shared;
        return;
    }
    const auto together = std::make_shared<SharedMessage>();
    together->frames.reserve(leaving_.begins.back());
    for (const Broadcast& broadcast : leaving_.broadcasts) {
        together->frames.append(broadcast.shared->frames.bytes());
    }
    leaving_.together = together;
}

/// Sends each run of consecutive broadcasts for this connection with one send. If it cannot be sent directly, queues
/// each message separately, so that the policy for slow consumers applies to each.
template <Transport T>
void Reactor<T>::send_broadcasts_to(ServerConnection& connection) {
    const auto& all = leaving_.broadcasts;
    for (std::size_t first = 0; first < all.size();) {
        std::size_t end = first;
        while (end < all.size() && hears(*all[end].audience, connection)) ++end;
        const Bytes frames = leaving_.together->frames.bytes().subspan(leaving_.begins[first],
                                                                       leaving_.begins[end] - leaving_.begins[first]);
        const bool sent = end > first && connection.send_directly(leaving_.together, frames, end - first);
        for (std::size_t i = first; i < end; ++i) {
            const bool taken =
                sent || connection.send_shared(all[i].shared, all[i].shared->frames.bytes()) == SendStatus::queued;
            if (taken) ++leaving_.receivers[i];
        }
        first = end + 1;
    }
}

template <Transport T>
void Reactor<T>::close_served_by(const AnyHandler& handler, std::string_view subprotocol, CloseCode code) {
    pool_.for_each([&](ServerConnection& connection) {
        const auto* served_by = connection.handler();
        if (served_by == nullptr || &served_by->underlying() != &handler) return;
        if (connection.subprotocol() == subprotocol) connection.close(code, "the handler was removed");
    });
}

// --- Timers ---

template <Transport T>
void Reactor<T>::wake() {
    if (timers_.fire() >= stop_deadline_) {
        stop_deadline_ = Clock::time_point::max();
        cut_all();
    }
    timers_.arm(stop_deadline_);
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
    for (const Broadcast& broadcast : std::exchange(broadcasts_, {})) broadcast.report(0);
    drop_inbox();
}

template <Transport T>
void Reactor<T>::drop_inbox() noexcept {
    Inbox::Batch dropped;
    inbox_.take(dropped);
    for (const InboxItem& item : dropped.items) {
        if (item.to_all) item.to_all->report(0);
    }
}

}  // namespace wsserver
