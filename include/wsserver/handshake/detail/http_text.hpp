// HTTP's grammar as far as the opening handshake needs it: tokens, lists, authorities, and lines written safely.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/handshake/http.hpp"

namespace wsserver::http_text {

/// RFC 9110 §5.6.2: what a field's name or a subprotocol consists of.
bool is_token(std::string_view text) noexcept;
/// Visible ASCII and nothing else, at least one: what a target or an authority consists of at most.
bool is_visible(std::string_view text) noexcept;
bool equal_without_case(std::string_view a, std::string_view b) noexcept;
bool starts_without_case(std::string_view text, std::string_view prefix) noexcept;
std::string lower_case(std::string_view text);
/// Without spaces and tabs at both ends.
std::string_view trimmed(std::string_view text) noexcept;

std::size_t count_fields(const std::vector<HttpField>& fields, std::string_view name) noexcept;
/// The values of all fields of that name, joined by commas: for fields that are lists they mean the same
/// (RFC 9110 §5.3).
std::string joined(const std::vector<HttpField>& fields, std::string_view name);

/// The elements between commas, trimmed, empty ones left out (§5.6.1.2). Views into `list`.
std::vector<std::string_view> elements(std::string_view list);
bool list_names(std::string_view list, std::string_view word);
/// Whether `list` is an extension-list of RFC 6455 §9.1: `permessage-deflate; server_max_window_bits="10", foo`.
bool is_extension_list(std::string_view list) noexcept;

/// `example.com`, `example.com:8080`, `[::1]:8080`.
struct Authority {
    std::string_view host;  ///< an IPv6 address in its brackets
    std::optional<std::uint16_t> port;
};
/// Views into `text`. Nothing if it has a user, a path, an empty host, a port that is none or 0.
std::optional<Authority> parse_authority(std::string_view text) noexcept;

/// Adds `name: value` and a line end. Control characters, which could end the line early, become spaces; a name
/// that is no token adds nothing.
void append_field(std::string& out, std::string_view name, std::string_view value);
void append_status_line(std::string& out, unsigned status);

}  // namespace wsserver::http_text
