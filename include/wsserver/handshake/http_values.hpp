// Reads and writes the values in a request's target and cookies.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsserver {

/// Writes each byte of `text` that is not a letter, a digit or one of `-._~` as `%` and two hex digits, upper case.
/// RFC 3986 §2.1, §2.3
std::string percent_encoded(std::string_view text);

/// Replaces each `%` and two hex digits by their byte. The result may contain any bytes: zero, line ends, and text that
/// is not UTF-8. A `+` stays a `+`. Nothing if a `%` is not followed by two hex digits.
/// RFC 3986 §2.1
std::optional<std::string> percent_decoded(std::string_view text);

/// The part of `target` before the first `?`, not percent-decoded. Valid as long as the text of `target`.
std::string_view path_of(std::string_view target) noexcept;

/// The part of `target` after the first `?`, not percent-decoded; empty if there is none. Valid as long as the text of
/// `target`.
std::string_view query_of(std::string_view target) noexcept;

/// The names and values of the query of `target`, such as `?room=5&name=J%C3%B6rg`, in their order. They are separated
/// by `&`; empty ones are left out. Names and values are percent-decoded, and a `+` is a space. The value of a name
/// without `=` is empty. Nothing if one of them has a malformed escape.
/// WHATWG URL §5.1, except for malformed escapes
std::optional<std::vector<std::pair<std::string, std::string>>> query_pairs(std::string_view target);

/// The first value of `name` in the query of `target`, decoded as by query_pairs(). `name` is not encoded, and case
/// matters. Nothing if the query does not have the name, or if this value has a malformed escape. Malformed escapes
/// elsewhere in the query do not matter.
std::optional<std::string> query_value(std::string_view target, std::string_view name);

/// The value of the first cookie with this name in all Cookie fields, without double quotes around it, not decoded in
/// any other way. Case matters in the name. Nothing if there is none; text without `=` is not a cookie. Valid until the
/// request is changed.
/// RFC 6265 §4.2
std::optional<std::string_view> cookie(const HttpRequest& request, std::string_view name) noexcept;

/// Which requests from pages of other sites contain a cookie.
enum class SameSite : std::uint8_t {
    strict,  ///< none
    lax,     ///< only those that open a page: no opening handshake of a WebSocket
    none,    ///< all; browsers then require CookieOptions::secure
};

/// The attributes of a cookie (RFC 6265 §4.1.2).
struct CookieOptions {
    std::string path = "/";                             ///< begins with `/`; the cookie is sent for what is below it
    std::optional<std::int64_t> max_age{};              ///< in seconds, 0 deletes it; none: until the browser ends
    bool secure = false;                                ///< the browser sends it over TLS only
    bool http_only = true;                              ///< scripts of the page cannot read it
    std::optional<SameSite> same_site = SameSite::lax;  ///< none: the browser's default
};

/// The value of a Set-Cookie field that sets a cookie. One field sets one cookie.
///
/// name    a token (RFC 9110 §5.6.2)
/// value   visible ASCII without `"`, `,`, `;` and `\`; may be empty. percent_encoded() writes any text this way
/// errors  one line for the programmer: a name, a value or a path with other characters, a negative max_age, or
///         SameSite::none without `secure`
/// RFC 6265 §4.1.1; SameSite is in draft-ietf-httpbis-rfc6265bis §4.1.2.7
Result<std::string, std::string> set_cookie(std::string_view name, std::string_view value,
                                            const CookieOptions& options = {});

}  // namespace wsserver
