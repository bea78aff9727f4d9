// A plain HTTP request, as the program's function for its route sees it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/handshake/http.hpp"
#include "wsserver/handshake/http_values.hpp"
#include "wsserver/handshake/path_pattern.hpp"

namespace wsserver {

/// A request that a route of ServerHandlers::handle_http() answers. A function of the program gets a reference that is
/// valid until it returns; a copy stays valid. Any thread may read it, one at a time.
class RoutedRequest {
   public:
    RoutedRequest() = default;
    /// request  as it was received
    /// body     of the request, all of it
    /// peer     the client's address, written as in ConnectionInfo::peer
    /// pattern  that of the route; null: the request has no parameters
    RoutedRequest(HttpRequest request, std::string body, std::string peer,
                  std::shared_ptr<const PathPattern> pattern = nullptr) noexcept
        : request_(std::move(request)), body_(std::move(body)), peer_(std::move(peer)), pattern_(std::move(pattern)) {}

    /// As sent; upper case, such as `POST`. `HEAD` also if it is the function for GET that is called.
    std::string_view method() const noexcept { return request_.method; }
    /// The path and query, `/rooms/5/messages?limit=10`, as the client sent them.
    std::string_view target() const noexcept { return request_.target; }
    /// The path alone, still percent-encoded.
    std::string_view path() const noexcept { return path_of(request_.target); }
    /// The value of a parameter of the route's pattern, decoded; see PathPattern::parameter().
    std::optional<std::string> parameter(std::string_view name) const {
        return pattern_ ? pattern_->parameter(request_.target, name) : std::nullopt;
    }
    /// The first value with this name in the query, decoded; empty if there is none or if it is malformed.
    std::optional<std::string> query(std::string_view name) const { return query_value(request_.target, name); }
    /// The value of the first header field with this name, without regard to case; empty if there is none.
    std::string_view find(std::string_view name) const noexcept { return request_.find(name); }
    /// The value of the first cookie with this name; empty if there is none.
    std::optional<std::string_view> cookie(std::string_view name) const { return wsserver::cookie(request_, name); }
    /// The client's address, written as in ConnectionInfo::peer.
    std::string_view peer() const noexcept { return peer_; }
    /// The whole body. Empty if there is none, or if the route takes it in pieces (HttpUpload).
    std::string_view body() const noexcept { return body_; }
    /// The request with all its header fields.
    const HttpRequest& request() const noexcept { return request_; }

   private:
    friend class HttpExchange;

    HttpRequest request_{};
    std::string body_{};
    std::string peer_{};
    std::shared_ptr<const PathPattern> pattern_{};
};

}  // namespace wsserver
