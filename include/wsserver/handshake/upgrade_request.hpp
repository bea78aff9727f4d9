// A client's request for a WebSocket, as a program sees it before it decides.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wsserver/handshake/http.hpp"

namespace wsserver {

/// A view of a valid opening handshake (RFC 6455 §4.2.1). In a function of the program it is valid until that returns.
/// Any thread may read it, one at a time.
class UpgradeRequest {
   public:
    UpgradeRequest(const UpgradeRequest&) = delete;
    UpgradeRequest& operator=(const UpgradeRequest&) = delete;

    /// The path and query, `/chat?room=5`, as the client sent them.
    virtual std::string_view target() const noexcept = 0;
    /// The path alone, still percent-encoded.
    std::string_view path() const noexcept { return target().substr(0, target().find('?')); }
    /// The first value with this name in the query, decoded; empty if there is none or if it is malformed.
    virtual std::optional<std::string> query(std::string_view name) const = 0;
    /// The value of the first header field with this name, without regard to case; empty if there is none.
    virtual std::string_view find(std::string_view name) const noexcept = 0;
    /// The value of the first cookie with this name; empty if there is none.
    virtual std::optional<std::string_view> cookie(std::string_view name) const = 0;
    /// The subprotocols that the client asks for, in its order of preference, distinct.
    virtual std::span<const std::string> subprotocols() const noexcept = 0;
    /// The Origin field as the browser sent it; empty if there was none. It is one that the server allows.
    virtual std::string_view origin() const noexcept = 0;
    /// The client's address, written as in ConnectionInfo::peer.
    virtual std::string_view peer() const noexcept = 0;
    /// The whole request: its method is GET.
    virtual const HttpRequest& request() const = 0;

   protected:
    UpgradeRequest() = default;
    ~UpgradeRequest() = default;
};

}  // namespace wsserver
