// Compares Origin and Host with the server's rules.
#pragma once

#include "wsserver/handshake/origin.hpp"

#include <algorithm>

#include "wsserver/handshake/detail/http_text.hpp"

namespace wsserver {
namespace {

using http_text::Authority;
using http_text::equal_without_case;

/// RFC 6454 §4: scheme, host and port. Views into the text that was parsed.
struct Origin {
    std::string_view scheme;
    std::string_view host;  ///< empty only for `file://`
    unsigned port;          ///< the scheme's default if the text has none; 0 if the scheme has no default
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
    const auto rest = text.substr(end + 3);
    if (rest.empty() && equal_without_case(scheme, "file")) return Origin{scheme, {}, 0};
    const auto authority = http_text::parse_authority(rest);
    if (!authority) return std::nullopt;
    return Origin{scheme, authority->host, authority->port ? *authority->port : default_port(scheme)};
}

// --- Patterns ---

constexpr std::string_view any_labels = "*.";

/// Whether `*` is in `host` at most as the first label.
bool is_host_pattern(std::string_view host) noexcept {
    if (host.starts_with(any_labels)) host.remove_prefix(any_labels.size());
    return !host.empty() && host.front() != '.' && host.find('*') == std::string_view::npos;
}

/// Whether `host`, which has no `*`, is that of `pattern`.
bool host_matches(std::string_view pattern, std::string_view host) noexcept {
    if (!pattern.starts_with(any_labels)) return equal_without_case(pattern, host);
    const auto suffix = pattern.substr(1);  // with the point: whole labels only
    return suffix.size() > 1 && host.size() > suffix.size() && host.front() != '.' &&
           equal_without_case(host.substr(host.size() - suffix.size()), suffix);
}

bool origin_matches(std::string_view pattern, std::string_view text, const std::optional<Origin>& origin) noexcept {
    if (pattern == "*") return true;
    if (equal_without_case(pattern, "null")) return equal_without_case(text, "null");
    const auto allowed = parse_origin(pattern);
    return allowed && origin && equal_without_case(allowed->scheme, origin->scheme) && allowed->port == origin->port &&
           host_matches(allowed->host, origin->host);
}

// --- The server's own host ---

/// The names that always resolve to a loopback address (RFC 6761 §6.3), and these addresses.
bool is_loopback_name(std::string_view host) noexcept {
    if (host_matches("localhost", host) || host_matches("*.localhost", host) || host == "[::1]") return true;
    return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool is_named(const std::vector<std::string>& hosts, std::string_view host) noexcept {
    return std::any_of(hosts.begin(), hosts.end(),
                       [host](const std::string& name) { return name == "*" || host_matches(name, host); });
}

/// Whether the origin has the host and port of the Host field. A Host field without a port has the default port of the
/// origin's scheme: TLS may end at a proxy, so the server does not know the scheme of the request.
bool is_same_host(const Origin& origin, const Authority& host) noexcept {
    const unsigned standard = default_port(origin.scheme);
    if (standard == 0) return false;
    return equal_without_case(origin.host, host.host) && origin.port == (host.port ? *host.port : standard);
}

bool is_without_wildcard(std::string_view host) noexcept { return host.find('*') == std::string_view::npos; }

}  // namespace

bool is_origin(std::string_view text) noexcept {
    if (text == "*" || equal_without_case(text, "null")) return true;
    const auto origin = parse_origin(text);
    return origin && (origin->host.empty() || is_host_pattern(origin->host));
}

bool is_host_name(std::string_view text) noexcept {
    if (text == "*") return true;
    const auto authority = http_text::parse_authority(text);
    return authority && authority->host.size() == text.size() && is_host_pattern(text);
}

std::optional<OriginError> check_offer(const Offer& offer, const OriginRules& rules, bool peer_is_loopback) {
    const auto field = offer.request.find("Host");
    auto host = http_text::parse_authority(field);
    if (host && !is_without_wildcard(host->host)) host.reset();
    const bool is_ours = host && (is_loopback_name(host->host) || is_named(rules.hosts, host->host));
    if (!is_ours && !rules.hosts.empty()) {
        return OriginError{Errc::unknown_host, "the Host " + http_text::shortened(field) + " is not in hosts"};
    }
    if (offer.origin.empty()) return std::nullopt;

    auto origin = parse_origin(offer.origin);
    if (origin && !is_without_wildcard(origin->host)) origin.reset();
    if (std::any_of(rules.allowed_origins.begin(), rules.allowed_origins.end(),
                    [&](const std::string& pattern) { return origin_matches(pattern, offer.origin, origin); })) {
        return std::nullopt;
    }
    if (!origin || !host || !is_same_host(*origin, *host)) {
        return OriginError{Errc::origin_forbidden, "the Origin " + http_text::shortened(offer.origin) +
                                                       " is neither that of the Host " + http_text::shortened(field) +
                                                       " nor in allowed_origins"};
    }
    if (is_ours || !peer_is_loopback) return std::nullopt;
    const auto name = http_text::shortened(host->host);
    return OriginError{
        Errc::origin_forbidden,
        "the Host " + name + " is not a loopback name; if a proxy passes it on, write hosts = [\"" + name + "\"]"};
}

}  // namespace wsserver
