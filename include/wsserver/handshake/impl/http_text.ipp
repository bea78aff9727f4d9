// Header fields, tokens, lists and authorities of HTTP.
#pragma once

#include "wsserver/handshake/detail/http_text.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/http/status.hpp>
#include <charconv>
#include <ostream>  // missing in Beast's header

namespace wsserver {

const HttpField* find_field(const std::vector<HttpField>& fields, std::string_view name) noexcept {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const HttpField& field) {
        return http_text::equal_without_case(field.name, name);
    });
    return found == fields.end() ? nullptr : &*found;
}

namespace {

std::string_view value_of(const HttpField* field) noexcept {
    return field ? std::string_view{field->value} : std::string_view{};
}

}  // namespace

std::string_view HttpRequest::find(std::string_view name) const noexcept { return value_of(find_field(fields, name)); }
std::string_view HttpResponse::find(std::string_view name) const noexcept { return value_of(find_field(fields, name)); }

std::string_view reason_phrase(unsigned status) noexcept {
    namespace http = boost::beast::http;
    const auto known = http::int_to_status(status);
    if (known == http::status::unknown) return {};
    const auto phrase = http::obsolete_reason(known);
    return {phrase.data(), phrase.size()};
}

namespace http_text {
namespace {

constexpr bool is_alphanumeric(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// Letters, digits and some other characters.
class CharacterClass {
   public:
    explicit constexpr CharacterClass(std::string_view others) noexcept {
        for (std::size_t i = 0; i < has_.size(); ++i) has_[i] = is_alphanumeric(static_cast<char>(i));
        for (const char c : others) has_[static_cast<unsigned char>(c)] = true;
    }
    constexpr bool operator()(char c) const noexcept { return has_[static_cast<unsigned char>(c)]; }

   private:
    std::array<bool, 256> has_{};
};

constexpr CharacterClass is_token_character{"!#$%&'*+-.^_`|~"};
/// RFC 3986 §3.2.2, without the comma, which would begin another element in a field.
constexpr CharacterClass is_host_character{"-._~%!$&'()*+;="};

constexpr bool is_address_character(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

// std::tolower depends on the locale.
constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

constexpr bool is_control(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

bool is_token(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

bool is_visible(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

bool equal_without_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

bool starts_without_case(std::string_view text, std::string_view prefix) noexcept {
    return equal_without_case(text.substr(0, prefix.size()), prefix);
}

std::string lower_case(std::string_view text) {
    std::string result{text};
    std::transform(result.begin(), result.end(), result.begin(), lower);
    return result;
}

std::string_view trimmed(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string shortened(std::string_view text) {
    constexpr std::size_t most = 100;
    return std::string{text.substr(0, most)} + (text.size() > most ? "..." : "");
}

std::size_t count_fields(const std::vector<HttpField>& fields, std::string_view name) noexcept {
    return static_cast<std::size_t>(std::count_if(
        fields.begin(), fields.end(), [&](const HttpField& field) { return equal_without_case(field.name, name); }));
}

std::string joined(const std::vector<HttpField>& fields, std::string_view name) {
    std::string list;
    for (const auto& field : fields) {
        if (!equal_without_case(field.name, name)) continue;
        if (!list.empty()) list += ',';
        list += field.value;
    }
    return list;
}

std::vector<std::string_view> elements(std::string_view list) {
    std::vector<std::string_view> found;
    while (true) {
        const auto comma = list.find(',');
        const auto element = trimmed(list.substr(0, comma));
        if (!element.empty()) found.push_back(element);
        if (comma == std::string_view::npos) return found;
        list.remove_prefix(comma + 1);
    }
}

bool list_names(std::string_view list, std::string_view word) {
    const auto words = elements(list);
    return std::any_of(words.begin(), words.end(), [&](auto element) { return equal_without_case(element, word); });
}

namespace {

/// Parses the grammar of RFC 6455 §9.1 from front to back. Each take function returns whether its item was there.
class ExtensionListReader {
   public:
    explicit ExtensionListReader(std::string_view rest) noexcept : rest_(rest) {}

    bool read() noexcept {
        bool any = false;
        do {
            skip_space();
            if (at_element_end()) continue;  // an empty element (RFC 9110 §5.6.1.2)
            if (!take_extension()) return false;
            any = true;
        } while (take(','));
        return any && rest_.empty();
    }

   private:
    bool take_extension() noexcept {
        if (!take_token()) return false;
        while (take(';')) {
            if (!take_token()) return false;
            if (take('=') && !take_value()) return false;
        }
        return true;
    }

    bool take_value() noexcept {
        skip_space();
        return rest_.starts_with('"') ? take_quoted_token() : take_token();
    }

    /// "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST conform to the
    /// 'token' ABNF." So a comma in the quotes is an error and does not end the element.
    bool take_quoted_token() noexcept {
        rest_.remove_prefix(1);
        bool any = false;
        while (!rest_.empty() && rest_.front() != '"') {
            if (rest_.front() == '\\') rest_.remove_prefix(1);
            if (rest_.empty() || !is_token_character(rest_.front())) return false;
            rest_.remove_prefix(1);
            any = true;
        }
        return any && take('"');
    }

    bool take_token() noexcept {
        skip_space();
        const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_token_character);
        if (end == rest_.begin()) return false;
        rest_.remove_prefix(static_cast<std::size_t>(end - rest_.begin()));
        return true;
    }

    bool take(char c) noexcept {
        skip_space();
        if (!rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        skip_space();
        return true;
    }

    bool at_element_end() const noexcept { return rest_.empty() || rest_.front() == ','; }
    void skip_space() noexcept { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }

    std::string_view rest_;
};

}  // namespace

bool is_extension_list(std::string_view list) noexcept { return ExtensionListReader{list}.read(); }

namespace {

std::optional<std::uint16_t> parse_host_port(std::string_view digits) noexcept {
    std::uint16_t port = 0;
    const auto* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, port);
    if (error != std::errc{} || stop != end || port == 0) return std::nullopt;
    return port;
}

/// The length of the host at the front of `text`; npos if it is not a valid host.
std::size_t host_length(std::string_view text) noexcept {
    const bool address = text.starts_with('[');
    const auto first = text.begin() + (address ? 1 : 0);
    const auto end = address ? std::find_if_not(first, text.end(), is_address_character)
                             : std::find_if_not(first, text.end(), is_host_character);
    if (end == first || (address && (end == text.end() || *end != ']'))) return std::string_view::npos;
    return static_cast<std::size_t>(end - text.begin()) + (address ? 1 : 0);
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) noexcept {
    const auto length = host_length(text);
    if (length == std::string_view::npos) return std::nullopt;
    Authority authority{text.substr(0, length), std::nullopt};
    text.remove_prefix(length);
    if (text.empty()) return authority;
    if (text.front() != ':') return std::nullopt;
    text.remove_prefix(1);
    if (text.empty()) return authority;  // RFC 3986 §3.2.3: port = *DIGIT
    authority.port = parse_host_port(text);
    if (!authority.port) return std::nullopt;
    return authority;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    if (!is_token(name)) return;
    out += name;
    out += ": ";
    const auto begin = static_cast<std::ptrdiff_t>(out.size());
    out += value;
    std::replace_if(out.begin() + begin, out.end(), is_control, ' ');
    out += "\r\n";
}

void append_status_line(std::string& out, unsigned status) {
    // "status-code = 3DIGIT" (RFC 9112 §4): a client cannot parse any other number.
    if (status < 100 || status > 999) status = 500;
    out += "HTTP/1.1 ";
    out += std::to_string(status);
    out += ' ';
    out += reason_phrase(status);
    out += "\r\n";
}

}  // namespace http_text
}  // namespace wsserver
