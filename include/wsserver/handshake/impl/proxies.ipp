// Parses the list of trusted proxies, and reads the fields that they add.
#pragma once

#include "wsserver/handshake/proxies.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handshake/detail/http_text.hpp"
#include "wsserver/handshake/detail/ip_address.hpp"

namespace wsserver {

// --- the list of proxies ---

namespace {

Unexpected<std::string> proxy_problem(std::string_view entry, std::string_view why) {
    std::string message = "trusted proxy '" + escape_control(http_text::shortened(entry)) + "': ";
    return Unexpected{message += why};
}

std::optional<unsigned> parse_prefix(std::string_view digits, unsigned most) noexcept {
    unsigned prefix = 0;
    const auto* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, prefix);
    if (error != std::errc{} || stop != end || prefix > most) return std::nullopt;
    return prefix;
}

/// `address` with zeros after the first `prefix` bits.
detail::IpAddress masked(detail::IpAddress address, unsigned prefix) noexcept {
    for (unsigned bit = prefix; bit < 128; ++bit) {
        address.bytes[bit / 8] = static_cast<std::uint8_t>(address.bytes[bit / 8] & ~(0x80u >> bit % 8));
    }
    return address;
}

}  // namespace

Result<TrustedProxies::Network, std::string> TrustedProxies::parse_network(std::string_view entry) {
    const auto slash = entry.find('/');
    const auto text = entry.substr(0, slash);
    const auto address = detail::parse_ip_address(text);
    if (!address) return proxy_problem(entry, "write an IP address, a network such as 10.0.0.0/8, or unix");
    if (slash == std::string_view::npos) return Network{address->bytes, 128};

    const bool is_ipv4 = text.find(':') == std::string_view::npos;
    auto prefix = parse_prefix(entry.substr(slash + 1), is_ipv4 ? 32 : 128);
    if (!prefix) {
        return proxy_problem(
            entry, is_ipv4 ? "the prefix must be a number from 0 to 32" : "the prefix must be a number from 0 to 128");
    }
    const unsigned mapped_prefix = is_ipv4 ? *prefix + 96 : *prefix;
    const auto network = masked(*address, mapped_prefix);
    if (network != *address) {
        // A mistyped prefix could trust the whole world.
        return proxy_problem(entry,
                             "the address has bits after the prefix; shorten the address or lengthen the prefix");
    }
    return Network{network.bytes, mapped_prefix};
}

Result<TrustedProxies, std::string> TrustedProxies::parse(const std::vector<std::string>& entries) {
    TrustedProxies proxies;
    for (const auto& entry : entries) {
        if (entry == "unix") {
            proxies.unix_ = true;
            continue;
        }
        const auto network = parse_network(entry);
        if (!network) return Unexpected{network.error()};
        proxies.networks_.push_back(*network);
    }
    return proxies;
}

bool TrustedProxies::trusts(std::string_view peer) const noexcept {
    if (peer.starts_with("unix:")) return unix_;
    const auto parsed = detail::parse_ip_peer(peer);
    if (!parsed) return false;
    return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
        const detail::IpAddress address{network.address};
        // ::/0 is IPv6 only, although the mapped form of IPv4 begins with zeros.
        return address.is_ipv4() == parsed->address.is_ipv4() &&
               detail::has_equal_prefix(address, parsed->address, network.prefix);
    });
}

// --- the fields ---

namespace {

/// Whether the character at `index` is preceded by an odd number of backslashes.
bool is_escaped(std::string_view text, std::size_t index) noexcept {
    std::size_t first = index;
    while (first > 0 && text[first - 1] == '\\') --first;
    return (index - first) % 2 != 0;
}

/// Removes the last element, and the comma before it, from `list`. A comma in quotes does not separate elements. Reads
/// from the end: a quote that a client leaves open cannot swallow the element that a proxy appends.
std::string_view take_last_element(std::string_view& list) noexcept {
    bool quoted = false;
    for (std::size_t i = list.size(); i-- > 0;) {
        if (list[i] == '"' && !is_escaped(list, i)) {
            quoted = !quoted;
        } else if (list[i] == ',' && !quoted) {
            const auto element = list.substr(i + 1);
            list = list.substr(0, i);
            return http_text::trimmed(element);
        }
    }
    return http_text::trimmed(std::exchange(list, {}));
}

/// Removes a value from the front of `rest`: a quoted-string (RFC 9110 §5.6.4), returned without quotes and
/// backslashes, or the text up to a semicolon. Nothing if the quotes are not closed.
std::optional<std::string> take_parameter_value(std::string_view& rest) {
    std::string value;
    if (!rest.starts_with('"')) {
        value = http_text::trimmed(rest.substr(0, rest.find(';')));
        rest.remove_prefix(std::min(rest.find(';'), rest.size()));
        return value;
    }
    for (std::size_t i = 1; i < rest.size(); ++i) {
        if (rest[i] == '"') {
            rest.remove_prefix(i + 1);
            return value;
        }
        if (rest[i] == '\\' && ++i == rest.size()) break;
        value += rest[i];
    }
    return std::nullopt;
}

/// The parameter `for` of a forwarded-element (RFC 7239 §4). Nothing if there is none, or if the element is malformed.
std::optional<std::string> forwarded_for(std::string_view element) {
    std::optional<std::string> found;
    while (!element.empty()) {
        element = http_text::trimmed(element);
        if (element.starts_with(';')) {
            element.remove_prefix(1);
            continue;
        }
        const auto equals = element.find('=');
        if (equals == std::string_view::npos || !http_text::is_token(element.substr(0, equals))) return std::nullopt;
        const bool is_for = http_text::equal_without_case(element.substr(0, equals), "for");
        element.remove_prefix(equals + 1);
        auto value = take_parameter_value(element);
        element = http_text::trimmed(element);
        if (!value || (!element.empty() && element.front() != ';')) return std::nullopt;
        // "Each parameter MUST NOT occur more than once per field-value."
        if (is_for && found) return std::nullopt;
        if (is_for) found = std::move(value);
    }
    return found;
}

bool is_obfuscated_port(std::string_view port) noexcept {
    return port.size() > 1 && http_text::is_token(port) && port.find_first_of("!#$%&'*+^`|~") == std::string_view::npos;
}

std::optional<detail::IpPeer> read_forwarded(std::string_view element) {
    const auto node = forwarded_for(element);
    if (!node) return std::nullopt;
    auto peer = detail::parse_ip_peer(*node);
    if (peer) return peer;
    // RFC 7239 §6: obfport = "_" 1*(ALPHA / DIGIT / "." / "_" / "-"). An address has no underscore.
    const auto colon = node->find(":_");
    if (colon == std::string::npos || !is_obfuscated_port(std::string_view{*node}.substr(colon + 1))) {
        return std::nullopt;
    }
    peer = detail::parse_ip_peer(std::string_view{*node}.substr(0, colon));
    if (peer && peer->port) return std::nullopt;
    return peer;
}

std::optional<detail::IpPeer> read_x_forwarded_for(std::string_view element) { return detail::parse_ip_peer(element); }

/// Walks from the end of the list in all fields of this name to the first address that is not a trusted proxy.
std::optional<std::string> walk_proxies(const std::vector<HttpField>& fields, std::string_view name,
                                        const TrustedProxies& proxies,
                                        std::optional<detail::IpPeer> (*read)(std::string_view)) {
    std::optional<std::string> client;
    for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
        if (!http_text::equal_without_case(field->name, name)) continue;
        for (std::string_view rest = field->value; !rest.empty();) {
            const auto element = take_last_element(rest);
            if (element.empty()) continue;  // RFC 9110 §5.6.1.2
            const auto address = read(element);
            if (!address) return client;
            client = detail::to_string(*address);
            if (!proxies.trusts(*client)) return client;
        }
    }
    return client;
}

/// The address in the last field of this name.
std::optional<std::string> single_address(const std::vector<HttpField>& fields, std::string_view name) {
    const auto last = std::find_if(fields.rbegin(), fields.rend(), [&](const HttpField& field) {
        return http_text::equal_without_case(field.name, name);
    });
    if (last == fields.rend()) return std::nullopt;
    const auto address = detail::parse_ip_peer(http_text::trimmed(last->value));
    if (!address) return std::nullopt;
    return detail::to_string(*address);
}

}  // namespace

std::optional<std::string> client_address(std::string_view peer, const HttpRequest& request,
                                          const TrustedProxies& proxies, std::string_view field) {
    if (!proxies.trusts(peer)) return std::nullopt;
    const auto is = [&](std::string_view name) { return http_text::equal_without_case(field, name); };
    if (is("Forwarded")) return walk_proxies(request.fields, field, proxies, read_forwarded);
    if (is(x_forwarded_for_field)) return walk_proxies(request.fields, field, proxies, read_x_forwarded_for);
    return single_address(request.fields, field);
}

}  // namespace wsserver
