// An opening handshake for a class in a shared object, and its decision for the server.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/connection/admission.hpp"
#include "wsserver/handler.h"
#include "wsserver/handler/detail/host_calls.hpp"
#include "wsserver/handshake/upgrade_request.hpp"

namespace wsserver::detail {

/// An opening handshake as a shared object sees it.
class HostUpgradeRequest final : public UpgradeRequest {
   public:
    HostUpgradeRequest(const wsserver_host& host, wsserver_upgrade* upgrade) : host_(host), upgrade_(upgrade) {
        for (std::size_t i = 0;; ++i) {
            const auto subprotocol = host.upgrade_subprotocol(upgrade, i);
            if (subprotocol.data == nullptr) break;
            subprotocols_.emplace_back(text_from(subprotocol));
        }
        request_.method = text_from(host.upgrade_method(upgrade));
        request_.target = text_from(host.upgrade_target(upgrade));
        wsserver_view name{}, value{};
        for (std::size_t i = 0; host.upgrade_field(upgrade, i, &name, &value) != 0; ++i) {
            request_.fields.push_back({std::string{text_from(name)}, std::string{text_from(value)}});
        }
    }

    std::string_view target() const noexcept override { return request_.target; }
    std::optional<std::string> query(std::string_view name) const override {
        const auto value = this->value(WSSERVER_QUERY, name);
        return value ? std::optional{std::string{*value}} : std::nullopt;
    }
    std::string_view find(std::string_view name) const noexcept override {
        return value(WSSERVER_FIELD, name).value_or(std::string_view{});
    }
    std::optional<std::string_view> cookie(std::string_view name) const override {
        return value(WSSERVER_COOKIE, name);
    }
    std::span<const std::string> subprotocols() const noexcept override { return subprotocols_; }
    std::string_view origin() const noexcept override { return find("origin"); }
    std::string_view peer() const noexcept override { return text_from(host_.upgrade_peer(upgrade_)); }
    const HttpRequest& request() const override { return request_; }

   private:
    std::optional<std::string_view> value(int kind, std::string_view name) const noexcept {
        const auto value = host_.upgrade_value(upgrade_, kind, name.data(), name.size());
        return value.data != nullptr ? std::optional{text_from(value)} : std::nullopt;
    }

    const wsserver_host& host_;
    wsserver_upgrade* upgrade_;
    HttpRequest request_;
    std::vector<std::string> subprotocols_;
};

/// Passes the decision of a class to the server. Throws if the server does not take it.
inline void decide_upgrade(const wsserver_host& host, wsserver_upgrade* upgrade, const Admission& admission) {
    if (admission.subprotocol || admission.handler) {
        throw std::invalid_argument{"a handler chooses no subprotocol and no other handler"};
    }
    if (admission.data) throw std::invalid_argument{"a handler in a shared object gives no data of a connection"};
    const auto done = [](int answer) {
        if (answer == WSSERVER_DROPPED) throw std::bad_alloc{};
        if (answer != WSSERVER_QUEUED) throw std::invalid_argument{"a handler refuses with a status of 300 to 999"};
    };
    const auto& refusal = admission.refusal;
    for (const HttpField& field : refusal ? refusal->fields : admission.fields) {
        done(host.upgrade_add_field(upgrade, field.name.data(), field.name.size(), field.value.data(),
                                    field.value.size()));
    }
    if (!refusal && !admission.user.empty()) {
        if (!has_rooms(host)) throw std::runtime_error{"the server is too old: it has no users"};
        const std::string& user = admission.user;
        if (host.upgrade_set_user(upgrade, user.data(), user.size()) == WSSERVER_REFUSED) {
            throw std::invalid_argument{"a user id has 1 to 255 bytes of UTF-8"};
        }
    }
    if (!refusal) return;
    done(host.upgrade_refuse(upgrade, refusal->status, refusal->content_type.c_str(), refusal->body.data(),
                             refusal->body.size()));
}

}  // namespace wsserver::detail
