// A client's request for a WebSocket, as a program sees it before it decides.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/handshake/http_values.hpp"

namespace wsserver {

/// A view of a valid opening handshake (RFC 6455 §4.2.1). Valid as long as the offer that it was made from: in a
/// function of the program, until that returns. Any thread may read it.
class UpgradeRequest {
   public:
    /// `offer` and `peer` must outlive the object. `peer` is the client's address, written as in ConnectionInfo::peer.
    UpgradeRequest(const Offer& offer, std::string_view peer) noexcept : offer_(offer), peer_(peer) {}

    /// The path and query, `/chat?room=5`, as the client sent them.
    std::string_view target() const noexcept { return offer_.request.target; }
    /// The path alone, still percent-encoded.
    std::string_view path() const noexcept { return path_of(target()); }
    /// The first value with this name in the query, decoded; empty if there is none or if it is malformed.
    std::optional<std::string> query(std::string_view name) const { return query_value(target(), name); }
    /// The value of the first header field with this name, without regard to case; empty if there is none.
    std::string_view find(std::string_view name) const noexcept { return offer_.request.find(name); }
    /// The value of the first cookie with this name; empty if there is none.
    std::optional<std::string_view> cookie(std::string_view name) const {
        return wsserver::cookie(offer_.request, name);
    }
    /// The subprotocols that the client asks for, in its order of preference, distinct.
    std::span<const std::string> subprotocols() const noexcept { return offer_.subprotocols; }
    /// The Origin field as the browser sent it; empty if there was none. It is one that the server allows.
    std::string_view origin() const noexcept { return offer_.origin; }
    /// The client's address, written as in ConnectionInfo::peer.
    std::string_view peer() const noexcept { return peer_; }
    /// The whole request: its method is GET.
    const HttpRequest& request() const noexcept { return offer_.request; }

   private:
    const Offer& offer_;
    std::string_view peer_;
};

}  // namespace wsserver
