// The server's hub for a class in a shared object.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/hub.hpp"
#include "wsserver/handler.h"
#include "wsserver/handler/detail/host_calls.hpp"

namespace wsserver::detail {

/// The server's hub as a shared object sees it.
class HostHub final : public Hub, public std::enable_shared_from_this<HostHub> {
   public:
    /// `has_data` is as for HostConnection.
    explicit HostHub(const wsserver_host& host, bool has_data = false) noexcept : host_(&host), has_data_(has_data) {}

    SendStatus send(ConnectionId to, const AnyMessage& message) override {
        const wsserver_connection_id id = id_for_host(to);
        return status_of(message.visit(overloaded{
            [&](const Text& m) { return host_->send_text_to(host_, id, m.text.data(), m.text.size()); },
            [&](const Binary& m) { return host_->send_binary_to(host_, id, m.bytes.data(), m.bytes.size()); },
        }));
    }
    SendStatus ping(ConnectionId to, Bytes payload) override {
        return status_of(host_->ping_to(host_, id_for_host(to), payload.data(), payload.size()));
    }
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override {
        const auto number = static_cast<std::uint16_t>(code);
        return status_of(host_->close_to(host_, id_for_host(to), number, reason.data(), reason.size()));
    }
    SendStatus send(std::span<const ConnectionId> to, const AnyMessage& message, Completion done = {}) override {
        if (!has_rooms(*host_)) return Hub::send(to, message, std::move(done));
        std::vector<wsserver_connection_id> ids;
        for (const ConnectionId id : to) ids.push_back(id_for_host(id));
        const CompletionForC completion{std::move(done)};
        return status_of(message.visit(overloaded{
            [&](const Text& m) {
                return host_->send_text_to_each(host_, ids.data(), ids.size(), m.text.data(), m.text.size(),
                                                completion.through, completion.context);
            },
            [&](const Binary& m) {
                return host_->send_binary_to_each(host_, ids.data(), ids.size(), m.bytes.data(), m.bytes.size(),
                                                  completion.through, completion.context);
            },
        }));
    }
    SendStatus join(ConnectionId member, std::string_view room) override {
        if (!has_rooms(*host_)) return SendStatus::refused;
        return status_of(host_->add_to_room(host_, id_for_host(member), room.data(), room.size()));
    }
    SendStatus leave(ConnectionId member, std::string_view room) override {
        if (!has_rooms(*host_)) return SendStatus::refused;
        return status_of(host_->remove_from_room(host_, id_for_host(member), room.data(), room.size()));
    }
    SendStatus set_user(ConnectionId of, std::string_view user) override {
        if (!has_rooms(*host_)) return SendStatus::refused;
        return status_of(host_->set_user_of(host_, id_for_host(of), user.data(), user.size()));
    }
    SendStatus post(ConnectionId to, ConnectionCall call) override { return post_after(to, {}, std::move(call)); }
    SendStatus post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) override;
    SendStatus pause_receiving(ConnectionId of) override {
        return has_rooms(*host_) ? status_of(host_->pause_receiving_of(host_, id_for_host(of))) : SendStatus::refused;
    }
    SendStatus resume_receiving(ConnectionId of) override {
        return has_rooms(*host_) ? status_of(host_->resume_receiving_of(host_, id_for_host(of))) : SendStatus::refused;
    }
    std::size_t queued(ConnectionId of) const noexcept override {
        return has_rooms(*host_) ? host_->queued_of(host_, id_for_host(of)) : 0;
    }
    SendStatus broadcast(const Audience& audience, const AnyMessage& message, Completion done = {}) override {
        if (audience.room || audience.user) return broadcast_to_members(audience, message, std::move(done));
        const Address to{audience};
        const CompletionForC completion{std::move(done)};
        return status_of(message.visit(overloaded{
            [&](const Text& m) {
                return host_->broadcast_text(host_, to.subprotocol, to.except, m.text.data(), m.text.size(),
                                             completion.through, completion.context);
            },
            [&](const Binary& m) {
                return host_->broadcast_binary(host_, to.subprotocol, to.except, m.bytes.data(), m.bytes.size(),
                                               completion.through, completion.context);
            },
        }));
    }
    void ping_all(Completion done = {}) override {
        const CompletionForC completion{std::move(done)};
        host_->ping_all(host_, completion.through, completion.context);
    }
    void close_all(CloseCode code, std::string_view reason, Completion done = {}) override {
        const CompletionForC completion{std::move(done)};
        host_->close_all(host_, static_cast<std::uint16_t>(code), reason.data(), reason.size(), completion.through,
                         completion.context);
    }

   private:
    SendStatus broadcast_to_members(const Audience& audience, const AnyMessage& message, Completion done) {
        if (!has_rooms(*host_)) return SendStatus::refused;  // the end of `done` reports 0
        const Address to{audience};
        const auto view = [](const std::optional<std::string>& text) {
            return text ? wsserver_view{text->data(), text->size()} : wsserver_view{nullptr, 0};
        };
        const wsserver_audience members{sizeof(wsserver_audience), to.subprotocol, to.except, view(audience.room),
                                        view(audience.user)};
        const CompletionForC completion{std::move(done)};
        return status_of(message.visit(overloaded{
            [&](const Text& m) {
                return host_->broadcast_text_to(host_, &members, m.text.data(), m.text.size(), completion.through,
                                                completion.context);
            },
            [&](const Binary& m) {
                return host_->broadcast_binary_to(host_, &members, m.bytes.data(), m.bytes.size(), completion.through,
                                                  completion.context);
            },
        }));
    }

    /// A call for C. The host calls it exactly once, and that call deletes it.
    struct CallForC {
        const wsserver_host* host;
        std::shared_ptr<Hub> hub;
        bool has_data;
        ConnectionCall call;
    };
    static int call(void* context, wsserver_connection* connection) noexcept;

    /// An Audience for C. Valid as long as the Audience.
    struct Address {
        explicit Address(const Audience& audience)
            : subprotocol(audience.subprotocol ? audience.subprotocol->c_str() : nullptr),
              id(id_for_host(audience.except.value_or(ConnectionId{}))),
              except(audience.except ? &id : nullptr) {}
        Address(const Address&) = delete;

        const char* subprotocol;
        wsserver_connection_id id;
        const wsserver_connection_id* except;
    };

    /// A Completion for C. The host calls it exactly once, and that call deletes it.
    struct CompletionForC {
        explicit CompletionForC(Completion done)
            : through(done ? &tell : nullptr),
              context(through != nullptr ? new Completion{std::move(done)} : nullptr) {}

        wsserver_count through;
        void* context;
    };

    static void tell(void* context, std::size_t receivers) noexcept {
        const std::unique_ptr<Completion> done{static_cast<Completion*>(context)};
        (*done)(receivers);
    }

    const wsserver_host* host_;
    const bool has_data_;
};

}  // namespace wsserver::detail
