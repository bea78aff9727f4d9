// A hub whose calls become items of an inbox.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "wsserver/base/utf8.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/inbox.hpp"
#include "wsserver/connection/rooms.hpp"
#include "wsserver/connection/upgrade_reply.hpp"
#include "wsserver/protocol/encode.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

/// The part of a hub that does not depend on who executes its requests. It refuses what the RFC forbids.
class ItemHub : public Hub {
   public:
    SendStatus send(ConnectionId to, const AnyMessage& message) final {
        if (!may_be_sent(message)) return SendStatus::refused;
        return put(item_for(to, InboxItem::kind_of(message)), message.payload());
    }
    SendStatus ping(ConnectionId to, Bytes payload) final {
        if (payload.size() > max_control_payload) return SendStatus::refused;
        return put(item_for(to, InboxItem::Kind::ping), payload);
    }
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) final {
        if (!is_valid_close(code, reason)) return SendStatus::refused;
        InboxItem item = item_for(to, InboxItem::Kind::close);
        item.code = code;
        return put(std::move(item), bytes_of(reason));
    }
    SendStatus broadcast(const Audience& audience, const AnyMessage& message, Completion done = {}) final {
        if (!may_be_sent(message)) return SendStatus::refused;  // the end of `done` reports 0
        return put_all(item_for({}, InboxItem::kind_of(message)), &audience, message, std::move(done));
    }
    SendStatus send(std::span<const ConnectionId> to, const AnyMessage& message, Completion done = {}) final {
        if (!may_be_sent(message)) return SendStatus::refused;
        return put_each(item_for({}, InboxItem::kind_of(message)), to, message, std::move(done));
    }
    SendStatus join(ConnectionId member, std::string_view room) override {
        if (!is_room_name(room)) return SendStatus::refused;
        return put(item_for(member, InboxItem::Kind::join), bytes_of(room));
    }
    SendStatus leave(ConnectionId member, std::string_view room) override {
        if (!is_room_name(room)) return SendStatus::refused;
        return put(item_for(member, InboxItem::Kind::leave), bytes_of(room));
    }
    SendStatus set_user(ConnectionId of, std::string_view user) override {
        if (!user.empty() && !is_room_name(user)) return SendStatus::refused;
        return put(item_for(of, InboxItem::Kind::set_user), bytes_of(user));
    }
    SendStatus pause_receiving(ConnectionId of) final { return put(item_for(of, InboxItem::Kind::pause), {}); }
    SendStatus resume_receiving(ConnectionId of) final { return put(item_for(of, InboxItem::Kind::unpause), {}); }
    SendStatus post(ConnectionId to, ConnectionCall call) final { return post_after(to, {}, std::move(call)); }
    SendStatus post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) final {
        if (!call) return SendStatus::refused;
        InboxItem item = item_for(to, InboxItem::Kind::call);
        item.call = std::make_unique<PostedCall>(PostedCall{std::move(call), delay});
        return put(std::move(item), {});
    }
    void ping_all(Completion done = {}) final {
        (void)put_all(item_for({}, InboxItem::Kind::ping_all), nullptr, Binary{}, std::move(done));
    }
    void close_all(CloseCode code, std::string_view reason, Completion done = {}) final {
        if (!is_valid_close(code, reason)) return;
        InboxItem item = item_for({}, InboxItem::Kind::close_all);
        item.code = code;
        (void)put_all(std::move(item), nullptr, Text{reason}, std::move(done));
    }

    /// The receivers of a broadcast of `sender` have caught up. Any thread.
    void acknowledge(ConnectionId sender) { (void)put(item_for(sender, InboxItem::Kind::acknowledge), {}); }

    /// Ends an opening handshake about which the program has decided, in a later turn of its thread. Any thread.
    /// Returns `closed` if the owner of the connections is gone, and `dropped` if memory runs out.
    virtual SendStatus decide(ConnectionId, UpgradeDecision&&) { return SendStatus::closed; }

    /// The program has asked something of the HTTP exchange of a connection, which looks in a later turn of its thread.
    /// Any thread. Returns `closed` if the owner of the connections is gone. Throws std::bad_alloc.
    virtual SendStatus serve_http(ConnectionId) { return SendStatus::closed; }

   protected:
    /// Passes a request on. Copies `payload` and returns at once. Any thread. Returns `closed` if the connection, or
    /// the owner of all connections, is gone.
    virtual SendStatus put(InboxItem item, Bytes payload) = 0;
    /// Passes a request to all connections on; to those of `audience` unless it is null. `item` has no Broadcast yet.
    /// `message` has its payload. `done` is not called under a lock, so it may use the hub. Returns `queued` if any
    /// thread of connections takes it.
    virtual SendStatus put_all(InboxItem item, const Audience* audience, const AnyMessage& message,
                               Completion done) = 0;
    /// Passes a message to each connection of `to` on. Otherwise it is the same as put_all().
    virtual SendStatus put_each(InboxItem item, std::span<const ConnectionId> to, const AnyMessage& message,
                                Completion done) = 0;

   private:
    static InboxItem item_for(ConnectionId to, InboxItem::Kind kind) noexcept {
        InboxItem item;
        item.kind = kind;
        item.to = to;
        return item;
    }
    static bool is_valid_close(CloseCode code, std::string_view reason) noexcept {
        return may_be_sent(code) && reason.size() <= max_close_reason && is_valid_utf8(bytes_of(reason));
    }
};

/// Executes a request on one connection. `payload` is that of `item`. Not for `broadcast`, whose message is encoded.
template <class Connection>
SendStatus execute_item(InboxItem& item, Bytes payload, Connection& connection) {
    switch (item.kind) {
        case InboxItem::Kind::send_text:
            return connection.send_as(item.send_as, Text::from_payload(payload));
        case InboxItem::Kind::send_binary:
            return connection.send_as(item.send_as, Binary::from_payload(payload));
        case InboxItem::Kind::begin_text:
        case InboxItem::Kind::begin_binary: {
            const bool is_text = item.kind == InboxItem::Kind::begin_text;
            const SendStatus status = connection.begin_checked_message(is_text ? Opcode::text : Opcode::binary);
            if (status == SendStatus::queued) connection.append(payload);
            return status;  // a message that has begun is counted by the connection if it is lost
        }
        case InboxItem::Kind::append:
            return connection.append(payload);
        case InboxItem::Kind::end_message:
            return connection.end_message();
        case InboxItem::Kind::fail_message:
            connection.fail_message(text_of(payload));
            return SendStatus::queued;
        case InboxItem::Kind::ping:
        case InboxItem::Kind::ping_all:
            return connection.ping(payload);
        case InboxItem::Kind::close:
        case InboxItem::Kind::close_all:
            return connection.close(item.code, text_of(payload));
        case InboxItem::Kind::fail:
            connection.fail_handler(text_of(payload));
            return SendStatus::queued;
        case InboxItem::Kind::resume:
            connection.release_receiving();
            return SendStatus::queued;
        case InboxItem::Kind::pause:
            return connection.pause_receiving();
        case InboxItem::Kind::unpause:
            return connection.resume_receiving();
        case InboxItem::Kind::receipt:
            return connection.ask_for_receipt(load_big_endian<std::uint64_t>(payload));
        case InboxItem::Kind::acknowledge:
            connection.acknowledge();
            return SendStatus::queued;
        case InboxItem::Kind::join:
            return connection.join(text_of(payload));
        case InboxItem::Kind::leave:
            return connection.leave(text_of(payload));
        case InboxItem::Kind::set_user:
            return connection.set_user(text_of(payload));
        case InboxItem::Kind::call:
            return connection.take_call(*item.call);
        case InboxItem::Kind::broadcast:
            break;
    }
    return SendStatus::refused;
}

}  // namespace wsserver
