// A connection of the server for a class in a shared object.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/any_connection.hpp"
#include "wsserver/handler.h"
#include "wsserver/handler/detail/host_calls.hpp"
#include "wsserver/handler/detail/host_hub.hpp"

namespace wsserver::detail {

/// A connection of the server as a shared object sees it.
class HostConnection final : public AnyConnection {
   public:
    /// `has_data`: the handler wants data of its own for each connection. Then the pointer that the server keeps for
    /// the handler is that of the data.
    HostConnection(const wsserver_host& host, const std::shared_ptr<Hub>& hub, wsserver_connection* connection,
                   bool has_data = false) noexcept
        : host_(host), hub_(hub), connection_(connection), has_data_(has_data) {}

    SendStatus send(const AnyMessage& message) override {
        return status_of(message.visit(overloaded{
            [this](const Text& m) { return host_.send_text(connection_, m.text.data(), m.text.size()); },
            [this](const Binary& m) { return host_.send_binary(connection_, m.bytes.data(), m.bytes.size()); },
        }));
    }
    SendStatus ping(Bytes payload = {}) override {
        return status_of(host_.ping(connection_, payload.data(), payload.size()));
    }
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) override {
        return status_of(host_.close(connection_, static_cast<std::uint16_t>(code), reason.data(), reason.size()));
    }
    ConnectionId id() const noexcept override {
        const auto id = host_.id(connection_);
        return {static_cast<std::uint16_t>(id.reactor), id.slot, id.generation};
    }
    std::string_view subprotocol() const noexcept override { return text_from(host_.subprotocol(connection_)); }
    std::string peer() const override { return std::string{text_from(host_.peer(connection_))}; }
    std::string_view target() const noexcept override { return text_from(host_.target(connection_)); }
    std::optional<std::string> parameter(std::string_view name) const override {
        if (!WSSERVER_HOST_HAS(&host_, parameter)) return std::nullopt;
        const auto value = host_.parameter(connection_, name.data(), name.size());
        return value.data != nullptr ? std::optional{std::string{text_from(value)}} : std::nullopt;
    }
    std::optional<std::string_view> request_field(std::string_view name) const noexcept override {
        if (!has_rooms(host_)) return std::nullopt;
        const auto value = host_.request_field(connection_, name.data(), name.size());
        return value.data != nullptr ? std::optional{text_from(value)} : std::nullopt;
    }
    SendStatus join(std::string_view room) override {
        return has_rooms(host_) ? status_of(host_.join(connection_, room.data(), room.size())) : SendStatus::refused;
    }
    SendStatus leave(std::string_view room) override {
        return has_rooms(host_) ? status_of(host_.leave(connection_, room.data(), room.size())) : SendStatus::refused;
    }
    std::vector<std::string> rooms() const override {
        std::vector<std::string> all;
        for (std::size_t i = 0; has_rooms(host_); ++i) {
            const auto room = host_.room(connection_, i);
            if (room.data == nullptr) break;
            all.emplace_back(text_from(room));
        }
        return all;
    }
    std::string_view user() const noexcept override {
        return has_rooms(host_) ? text_from(host_.user(connection_)) : std::string_view{};
    }
    SendStatus set_user(std::string_view user) override {
        return has_rooms(host_) ? status_of(host_.set_user(connection_, user.data(), user.size()))
                                : SendStatus::refused;
    }
    std::size_t queued() const noexcept override { return has_rooms(host_) ? host_.queued(connection_) : 0; }
    bool has_space() override { return !has_rooms(host_) || host_.has_space(connection_) != 0; }
    SendStatus send_waiting(const AnyMessage& message) override {
        if (!has_rooms(host_)) return SendStatus::refused;
        return status_of(message.visit(overloaded{
            [this](const Text& m) { return host_.send_text_waiting(connection_, m.text.data(), m.text.size()); },
            [this](const Binary& m) { return host_.send_binary_waiting(connection_, m.bytes.data(), m.bytes.size()); },
        }));
    }
    SendStatus pause_receiving() override {
        return has_rooms(host_) ? status_of(host_.pause_receiving(connection_)) : SendStatus::refused;
    }
    SendStatus resume_receiving() override {
        return has_rooms(host_) ? status_of(host_.resume_receiving(connection_)) : SendStatus::refused;
    }
    const std::shared_ptr<Hub>& hub() const noexcept override { return hub_; }
    ConnectionData* owned_data() const noexcept override {
        return has_data_ ? static_cast<ConnectionData*>(host_.user_data(connection_)) : nullptr;
    }
    void own_data(std::unique_ptr<ConnectionData> data) noexcept override {
        if (!has_data_) return;
        const std::unique_ptr<ConnectionData> before(owned_data());
        host_.set_user_data(connection_, data.release());
    }
    void* user_data() const noexcept override {
        if (!has_data_) return host_.user_data(connection_);
        return owned_data() != nullptr ? owned_data()->user_data : nullptr;
    }
    void set_user_data(void* data) noexcept override {
        if (!has_data_) return host_.set_user_data(connection_, data);
        if (owned_data() != nullptr) owned_data()->user_data = data;
    }

   private:
    const wsserver_host& host_;
    const std::shared_ptr<Hub>& hub_;
    wsserver_connection* connection_;
    const bool has_data_;
};

inline int HostHub::call(void* context, wsserver_connection* connection) noexcept {
    const std::unique_ptr<CallForC> posted{static_cast<CallForC*>(context)};
    if (connection == nullptr) return 0;
    return guarded_for_host(*posted->host, [&] {
        HostConnection seen{*posted->host, posted->hub, connection, posted->has_data};
        posted->call(seen);
    });
}

inline SendStatus HostHub::post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) {
    if (!call || !has_rooms(*host_)) return SendStatus::refused;
    constexpr std::int64_t longest = std::numeric_limits<std::uint32_t>::max();
    const auto time = static_cast<std::uint32_t>(std::clamp<std::int64_t>(delay.count(), 0, longest));
    auto* const context = new CallForC{host_, shared_from_this(), has_data_, std::move(call)};
    return status_of(host_->post(host_, id_for_host(to), time, &HostHub::call, context));
}

}  // namespace wsserver::detail
