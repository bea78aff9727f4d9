// The address of a client whose connection arrives through proxies.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsserver {

/// The proxies that a server believes. Immutable; any thread may use it.
class TrustedProxies {
   public:
    /// Trusts no peer.
    TrustedProxies() = default;

    /// Parses a list. An error is one line for the user: it names the entry, and says what is wrong.
    ///
    /// address   `127.0.0.1`, `::1`
    /// network   `10.0.0.0/8`, `fd00::/8`; the bits after the prefix must be 0. `0.0.0.0/0` is all of IPv4, `::/0` all
    ///           of IPv6. IPv4-mapped IPv6 counts as IPv4
    /// `unix`    all peers that connect over a Unix socket
    static Result<TrustedProxies, std::string> parse(const std::vector<std::string>& entries);

    /// Whether `peer` is one of the proxies. It is written as the transport does: `HOST:PORT`, `[HOST]:PORT` or
    /// `unix:PATH`. The port may be missing; the zone of a link-local address is ignored. False for any other text.
    bool trusts(std::string_view peer) const noexcept;

    /// Whether no peer is trusted.
    bool empty() const noexcept { return networks_.empty() && !unix_; }

    /// Whether the entries are equal, in the same order.
    bool operator==(const TrustedProxies&) const = default;

   private:
    struct Network {
        std::array<std::uint8_t, 16> address;  ///< in network byte order; IPv4 is mapped to IPv6
        unsigned prefix;                       ///< 0 to 128
        bool operator==(const Network&) const = default;
    };

    static Result<Network, std::string> parse_network(std::string_view entry);

    std::vector<Network> networks_{};
    bool unix_ = false;
};

/// The field to which most proxies append their peer.
inline constexpr std::string_view x_forwarded_for_field = "X-Forwarded-For";

/// The address of the client for which trusted proxies pass `request` on; nothing if the server should keep `peer`:
/// `peer` is not trusted, the request does not have the field, or its last element is not an address.
///
/// peer     as for TrustedProxies::trusts()
/// field    the only field that is read; without regard to case:
///          Forwarded        RFC 7239: the parameter `for` of each element. `unknown` and names such as `_hidden` are
///                           not addresses
///          X-Forwarded-For  a list of addresses, with or without ports
///          another          one address, as in X-Real-IP or CF-Connecting-IP; of several fields the last
/// returns  `192.0.2.1:5000` or `[2001:db8::1]:5000`; without the port if it is not known: `192.0.2.1`,
///          `[2001:db8::1]`. IPv4-mapped IPv6 is written as IPv4
///
/// Each proxy appends its own peer to a list. So the list is read from its end: elements that are trusted proxies are
/// skipped, and the first one that is not is the client. The elements before it are the client's own claims. If the
/// list ends, or an element is not an address, the client is the last address that was read.
///
/// The field must be one that each trusted proxy appends to or replaces. Other fields pass through a proxy as the
/// client has written them, and so it could choose its address.
std::optional<std::string> client_address(std::string_view peer, const HttpRequest& request,
                                          const TrustedProxies& proxies,
                                          std::string_view field = x_forwarded_for_field);

}  // namespace wsserver
