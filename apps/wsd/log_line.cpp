// How an event becomes a line: what comes from outside can neither forge a second line nor steer a terminal.
#include <fmt/format.h>

#include <algorithm>

#include "wsd/log.hpp"
#include "wsserver/base/bytes.hpp"
#include "wsserver/base/utf8.hpp"

namespace wsd {

namespace {

struct Character {
    std::size_t length = 1;
    std::uint32_t code = 0;
    bool valid = false;
};

/// The character at the front of `text`; an byte that is no UTF-8 stands for itself.
Character first_character(std::string_view text) {
    const auto first = static_cast<std::uint8_t>(text.front());
    const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    const auto bytes = wsserver::bytes_of(text.substr(0, length));
    if (bytes.size() < length || !wsserver::is_valid_utf8(bytes)) return {1, first, false};
    constexpr std::uint8_t lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    std::uint32_t code = first & lead_bits[length];
    for (const std::uint8_t byte : bytes.subspan(1)) code = (code << 6) | (byte & 0x3Fu);
    return {length, code, true};
}

/// Control characters, and what moves text about that looks innocent in a log: line and paragraph separators, the
/// marks, overrides and isolates of writing direction, the byte order mark.
bool is_treacherous(std::uint32_t code) {
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || (code >= 0x200B && code <= 0x200F) ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

std::string escaped_for_text(std::string_view text, bool in_quotes) {
    std::string out;
    out.reserve(text.size() + 2);
    while (!text.empty()) {
        const auto character = first_character(text);
        if (!character.valid) {
            out += fmt::format("\\x{:02x}", character.code);
        } else if (character.code == '\n') {
            out += "\\n";
        } else if (is_treacherous(character.code)) {
            out += character.code < 0x80 ? fmt::format("\\x{:02x}", character.code)
                                         : fmt::format("\\u{:04x}", character.code);
        } else if (in_quotes && (character.code == '"' || character.code == '\\')) {
            out += {'\\', text.front()};
        } else {
            out += text.substr(0, character.length);
        }
        text.remove_prefix(character.length);
    }
    return out;
}

std::string escaped_for_json(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const auto character = first_character(text);
        if (!character.valid) {
            out += "\\ufffd";
        } else if (is_treacherous(character.code)) {
            out += fmt::format("\\u{:04x}", character.code);
        } else if (character.code == '"' || character.code == '\\') {
            out += {'\\', text.front()};
        } else {
            out += text.substr(0, character.length);
        }
        text.remove_prefix(character.length);
    }
    return out + "\"";
}

/// A word that can stand behind `key=` as it is.
bool is_plain(std::string_view text) {
    return !text.empty() && std::none_of(text.begin(), text.end(), [](unsigned char c) {
        return c <= 0x20 || c >= 0x7F || c == '"' || c == '\\' || c == '=';
    });
}

struct TextValue {
    std::string operator()(std::string_view text) const {
        return is_plain(text) ? std::string{text} : "\"" + escaped_for_text(text, true) + "\"";
    }
    std::string operator()(std::uint64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return fmt::format("{:.3f}", number); }
};

struct JsonValue {
    std::string operator()(std::string_view text) const { return escaped_for_json(text); }
    std::string operator()(std::uint64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return fmt::format("{:.3f}", number); }
};

}  // namespace

std::string text_line(std::string_view message, std::span<const LogField> fields) {
    std::string line = escaped_for_text(message, false);
    for (const LogField& field : fields) {
        line += fmt::format(" {}={}", field.name, std::visit(TextValue{}, field.value));
    }
    return line;
}

std::string json_members(std::string_view message, std::span<const LogField> fields) {
    std::string members = "\"message\":" + escaped_for_json(message);
    for (const LogField& field : fields) {
        members += fmt::format(",\"{}\":{}", field.name, std::visit(JsonValue{}, field.value));
    }
    return members;
}

}  // namespace wsd
