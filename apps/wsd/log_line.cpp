// Writes an event as one line. Text from outside can neither forge a second line nor control a terminal.
#include <fmt/format.h>

#include <algorithm>

#include "wsd/log.hpp"
#include "wsserver/base/utf8_character.hpp"
#include "wsserver/control/json.hpp"

namespace wsd {

namespace {

using wsserver::first_character;
using wsserver::is_deceptive;

std::string escaped_for_text(std::string_view text, bool in_quotes) {
    std::string out;
    out.reserve(text.size() + 2);
    while (!text.empty()) {
        const auto character = first_character(text);
        const auto code = static_cast<std::uint32_t>(character.code);
        if (!character.valid) {
            out += fmt::format("\\x{:02x}", code);
        } else if (code == '\n') {
            out += "\\n";
        } else if (is_deceptive(code)) {
            out += code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
        } else if (in_quotes && (code == '"' || code == '\\')) {
            out += {'\\', text.front()};
        } else {
            out += text.substr(0, character.length);
        }
        text.remove_prefix(character.length);
    }
    return out;
}

/// True if `text` needs no quotes after `key=`.
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

}  // namespace

std::string text_line(std::string_view message, std::span<const LogField> fields) {
    std::string line = escaped_for_text(message, false);
    for (const LogField& field : fields) {
        line += fmt::format(" {}={}", field.name, std::visit(TextValue{}, field.value));
    }
    return line;
}

std::string json_members(std::string_view message, std::span<const LogField> fields) {
    wsserver::JsonObject object;
    object.add("message", message);
    for (const LogField& field : fields) {
        if (const auto* real = std::get_if<double>(&field.value)) {
            object.add(field.name, *real, 3);
        } else if (const auto* number = std::get_if<std::uint64_t>(&field.value)) {
            object.add(field.name, *number);
        } else {
            object.add(field.name, std::get<std::string_view>(field.value));
        }
    }
    return object.members();
}

}  // namespace wsd
