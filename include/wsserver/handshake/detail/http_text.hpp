// The part of HTTP's grammar that the opening handshake needs: tokens, lists, authorities, and safe header lines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/handshake/http.hpp"

namespace wsserver::http_text {

/// Whether `text` is a token (RFC 9110 §5.6.2), like the name of a field or of a subprotocol.
bool is_token(std::string_view text) noexcept;
/// Whether `text` is not empty and all visible ASCII. Targets, authorities and origins must be.
bool is_visible(std::string_view text) noexcept;
bool equal_without_case(std::string_view a, std::string_view b) noexcept;
bool starts_without_case(std::string_view text, std::string_view prefix) noexcept;
std::string lower_case(std::string_view text);
/// `text` without the spaces and tabs at both ends. A view into `text`.
std::string_view trimmed(std::string_view text) noexcept;

/// Enough of what a client sent to recognise it in a log line: at most 100 characters, and `...` if there are more.
std::string shortened(std::string_view text);

std::size_t count_fields(const std::vector<HttpField>& fields, std::string_view name) noexcept;
/// The values of all fields with this name, joined by commas. For fields that are lists this is equivalent
/// (RFC 9110 §5.3).
std::string joined(const std::vector<HttpField>& fields, std::string_view name);

/// The elements of a list, trimmed and without empty ones (RFC 9110 §5.6.1.2). Views into `list`.
std::vector<std::string_view> elements(std::string_view list);
/// Whether `word` is an element of `list`, without regard to case.
bool list_names(std::string_view list, std::string_view word);
/// Whether `list` is an extension-list (RFC 6455 §9.1): `permessage-deflate; server_max_window_bits="10", foo`.
bool is_extension_list(std::string_view list) noexcept;

/// A host and an optional port: `example.com`, `example.com:8080`, `[::1]:8080`.
struct Authority {
    std::string_view host;  ///< an IPv6 address is in brackets
    std::optional<std::uint16_t> port;
};
/// Parses an authority into views of `text`. Fails if it has a user, a path, an empty host or an invalid port, such as
/// 0.
std::optional<Authority> parse_authority(std::string_view text) noexcept;

/// Appends `name: value` and a line end. Control characters in the value, which could end the line, become spaces.
/// Appends nothing if `name` is not a token.
void append_field(std::string& out, std::string_view name, std::string_view value);
/// Appends the status line of HTTP/1.1. A status without three digits becomes 500.
void append_status_line(std::string& out, unsigned status);

}  // namespace wsserver::http_text
