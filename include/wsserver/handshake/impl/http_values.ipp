// Percent-encoding, queries and cookies.
#pragma once

#include "wsserver/handshake/http_values.hpp"

#include <algorithm>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handshake/detail/http_text.hpp"

namespace wsserver {
namespace {

constexpr std::string_view upper_hex_digits = "0123456789ABCDEF";

/// RFC 3986 §2.3
constexpr bool is_unreserved(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/// 0 to 15, or 16 if `c` is not a hex digit.
constexpr unsigned hex_digit_value(char c) noexcept {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
    return 16;
}

std::optional<std::string> decode_percent(std::string_view text, char plus) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i] == '+' ? plus : text[i];
            continue;
        }
        if (text.size() - i < 3) return std::nullopt;
        const unsigned high = hex_digit_value(text[i + 1]), low = hex_digit_value(text[i + 2]);
        if (high > 15 || low > 15) return std::nullopt;
        decoded += static_cast<char>(high << 4 | low);
        i += 2;
    }
    return decoded;
}

/// Removes the text up to the first `separator`, and the separator, from the front of `rest`. Returns the text.
std::string_view take_part(std::string_view& rest, char separator) noexcept {
    const auto part = rest.substr(0, rest.find(separator));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    return part;
}

std::optional<std::string_view> cookie_in(std::string_view field, std::string_view name) noexcept {
    while (!field.empty()) {
        auto value = http_text::trimmed(take_part(field, ';'));
        if (value.find('=') == std::string_view::npos) continue;
        if (http_text::trimmed(take_part(value, '=')) != name) continue;
        value = http_text::trimmed(value);
        // The quotes are a part of the grammar of cookie-value (RFC 6265 §4.1.1) and not of the value.
        const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
        return quoted ? value.substr(1, value.size() - 2) : value;
    }
    return std::nullopt;
}

/// RFC 6265 §4.1.1: "US-ASCII characters excluding CTLs, whitespace, DQUOTE, comma, semicolon, and backslash"
constexpr bool is_cookie_character(char c) noexcept {
    return c > 0x20 && c < 0x7F && c != '"' && c != ',' && c != ';' && c != '\\';
}

/// Visible ASCII without the semicolon, which ends the attribute.
bool is_cookie_path(std::string_view path) noexcept {
    return path.starts_with('/') && http_text::is_visible(path) && path.find(';') == std::string_view::npos;
}

Unexpected<std::string> cookie_problem(std::string_view what, std::string_view text, std::string_view why) {
    std::string message = "cookie ";
    ((message += what) += " '") += escape_control(http_text::shortened(text));
    return Unexpected{(message += "': ") += why};
}

constexpr std::string_view same_site_name(SameSite same_site) noexcept {
    return same_site == SameSite::strict ? "Strict" : same_site == SameSite::lax ? "Lax" : "None";
}

}  // namespace

std::string percent_encoded(std::string_view text) {
    std::string encoded;
    encoded.reserve(text.size());
    for (const char c : text) {
        if (is_unreserved(c)) {
            encoded += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            encoded += {'%', upper_hex_digits[byte >> 4], upper_hex_digits[byte & 0xF]};
        }
    }
    return encoded;
}

std::optional<std::string> percent_decoded(std::string_view text) { return decode_percent(text, '+'); }

std::string_view path_of(std::string_view target) noexcept { return target.substr(0, target.find('?')); }

std::string_view query_of(std::string_view target) noexcept {
    take_part(target, '?');
    return target;
}

std::optional<std::vector<std::pair<std::string, std::string>>> query_pairs(std::string_view target) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (auto rest = query_of(target); !rest.empty();) {
        auto part = take_part(rest, '&');
        if (part.empty()) continue;
        auto name = decode_percent(take_part(part, '='), ' ');
        auto value = decode_percent(part, ' ');
        if (!name || !value) return std::nullopt;
        pairs.emplace_back(std::move(*name), std::move(*value));
    }
    return pairs;
}

std::optional<std::string> query_value(std::string_view target, std::string_view name) {
    for (auto rest = query_of(target); !rest.empty();) {
        auto part = take_part(rest, '&');
        if (!part.empty() && decode_percent(take_part(part, '='), ' ') == name) return decode_percent(part, ' ');
    }
    return std::nullopt;
}

std::optional<std::string_view> cookie(const HttpRequest& request, std::string_view name) noexcept {
    for (const auto& field : request.fields) {
        if (!http_text::equal_without_case(field.name, "Cookie")) continue;
        if (const auto value = cookie_in(field.value, name)) return value;
    }
    return std::nullopt;
}

Result<std::string, std::string> set_cookie(std::string_view name, std::string_view value,
                                            const CookieOptions& options) {
    if (!http_text::is_token(name)) {
        return cookie_problem("name", name, "use letters, digits and !#$%&'*+-.^_`|~ only");
    }
    if (!std::all_of(value.begin(), value.end(), is_cookie_character)) {
        return cookie_problem("value", value, "it has a character that must be percent-encoded");
    }
    if (!is_cookie_path(options.path)) {
        return cookie_problem("path", options.path, "it must begin with a slash and be visible ASCII without ';'");
    }
    if (options.max_age && *options.max_age < 0) {
        return cookie_problem("max_age", std::to_string(*options.max_age), "it must not be negative");
    }
    if (options.same_site == SameSite::none && !options.secure) {
        return cookie_problem("name", name, "SameSite::none needs secure");
    }
    std::string field{name};
    ((((field += '=') += value) += "; Path=") += options.path);
    if (options.max_age) (field += "; Max-Age=") += std::to_string(*options.max_age);
    if (options.secure) field += "; Secure";
    if (options.http_only) field += "; HttpOnly";
    if (options.same_site) (field += "; SameSite=") += same_site_name(*options.same_site);
    return field;
}

}  // namespace wsserver
