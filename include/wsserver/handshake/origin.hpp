// Decides which web pages may connect, and by which names a server is reached (RFC 6455 §10.2).
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/handshake/handshake.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsserver {

/// The origins and hosts that a server accepts. Entries that are not valid match nothing.
struct OriginRules {
    /// Pages of these origins may connect, in addition to those of the server's own host; see is_origin().
    std::vector<std::string> allowed_origins{};
    /// The names of the server besides the loopback names; see is_host_name(). Empty: see check_offer().
    std::vector<std::string> hosts{};
};

/// Why a client is refused.
struct OriginError {
    Errc error;          ///< origin_forbidden or unknown_host
    std::string detail;  ///< names the field, and the option that would allow it; one line
};

/// Checks the Host and Origin fields of an offer.
///
/// Host     If `hosts` is not empty, the host must be in it or be a loopback name: localhost, *.localhost, 127.0.0.0/8
///          or [::1]. Otherwise unknown_host.
/// Origin   There is none, as only browsers send one; or it is in `allowed_origins`; or its host and port are those of
///          the Host field. A default port may be omitted, and case is ignored. Otherwise origin_forbidden.
///
/// DNS rebinding: a web page can make its own name resolve to a loopback address, so that its Origin equals its Host.
/// So if `peer_is_loopback`, equality counts only for loopback names and for names in `hosts`.
std::optional<OriginError> check_offer(const Offer& offer, const OriginRules& rules, bool peer_is_loopback);

/// Whether `text` is valid in `allowed_origins`: `*` for all, `null`, `file://` or `SCHEME://HOST[:PORT]`. The first
/// label of the host may be `*`, which matches one or more labels: `https://*.example.org` is every subdomain of
/// example.org, but not example.org. `null` is the origin of a sandboxed page, and in most browsers of a local file.
bool is_origin(std::string_view text) noexcept;

/// Whether `text` is valid in `hosts`: `*` for all, a name or an IP address without a port. IPv6 is in brackets. The
/// first label may be `*`, as for is_origin().
bool is_host_name(std::string_view text) noexcept;

}  // namespace wsserver
