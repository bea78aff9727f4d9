// Decides which web pages may connect (RFC 6455 §10.2).
#pragma once

#include <algorithm>

#include "wsserver/handshake/detail/http_text.hpp"
#include "wsserver/handshake/handshake.hpp"

namespace wsserver {
namespace {

using http_text::equal_without_case;

/// RFC 6454 §4: scheme, host and port. Views into the text that was parsed.
struct Origin {
    std::string_view scheme;
    std::string_view host;
    unsigned port;  ///< the scheme's default if the text has none; 0 if the scheme has no default

    friend bool operator==(const Origin& a, const Origin& b) noexcept {
        return equal_without_case(a.scheme, b.scheme) && equal_without_case(a.host, b.host) && a.port == b.port;
    }
};

unsigned default_port(std::string_view scheme) noexcept {
    if (equal_without_case(scheme, "http") || equal_without_case(scheme, "ws")) return 80;
    if (equal_without_case(scheme, "https") || equal_without_case(scheme, "wss")) return 443;
    return 0;
}

bool is_scheme(std::string_view text) noexcept {
    return http_text::is_token(text) && text.find_first_of("!#$%&'*^_`|~") == std::string_view::npos;
}

std::optional<Origin> parse_origin(std::string_view text) noexcept {
    const auto end = text.find("://");
    if (end == std::string_view::npos || !is_scheme(text.substr(0, end))) return std::nullopt;
    const auto scheme = text.substr(0, end);
    const auto authority = http_text::parse_authority(text.substr(end + 3));
    if (!authority) return std::nullopt;
    return Origin{scheme, authority->host, authority->port ? *authority->port : default_port(scheme)};
}

/// Whether the origin has the host and port of the Host field. A Host field without a port has the default port of the
/// origin's scheme: TLS may end at a proxy, so the server does not know the scheme of the request.
bool is_same_host(const Origin& origin, std::string_view host_field) noexcept {
    const auto host = http_text::parse_authority(host_field);
    const unsigned standard = default_port(origin.scheme);
    if (!host || standard == 0) return false;
    return equal_without_case(origin.host, host->host) && origin.port == (host->port ? *host->port : standard);
}

}  // namespace

bool is_origin(std::string_view text) noexcept {
    return text == "*" || equal_without_case(text, "null") || parse_origin(text).has_value();
}

bool origin_allowed(const Offer& offer, std::span<const std::string> allowed_origins) {
    if (offer.origin.empty()) return true;
    const auto origin = parse_origin(offer.origin);
    if (origin && is_same_host(*origin, offer.request.find("Host"))) return true;
    return std::any_of(allowed_origins.begin(), allowed_origins.end(), [&](const std::string& allowed) {
        if (allowed == "*" || equal_without_case(allowed, offer.origin)) return true;
        return origin && parse_origin(allowed) == origin;
    });
}

}  // namespace wsserver
