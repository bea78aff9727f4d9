// An offer as the program sees it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/http_values.hpp"
#include "wsserver/handshake/upgrade_request.hpp"

namespace wsserver {

/// A view of an offer.
class OfferRequest final : public UpgradeRequest {
   public:
    /// `offer` and `peer` must outlive the object. `peer` is the client's address, written as in ConnectionInfo::peer.
    OfferRequest(const Offer& offer, std::string_view peer) noexcept : offer_(offer), peer_(peer) {}

    std::string_view target() const noexcept override { return offer_.request.target; }
    std::optional<std::string> query(std::string_view name) const override { return query_value(target(), name); }
    std::string_view find(std::string_view name) const noexcept override { return offer_.request.find(name); }
    std::optional<std::string_view> cookie(std::string_view name) const override {
        return wsserver::cookie(offer_.request, name);
    }
    std::span<const std::string> subprotocols() const noexcept override { return offer_.subprotocols; }
    std::string_view origin() const noexcept override { return offer_.origin; }
    std::string_view peer() const noexcept override { return peer_; }
    const HttpRequest& request() const override { return offer_.request; }

   private:
    const Offer& offer_;
    std::string_view peer_;
};

}  // namespace wsserver
