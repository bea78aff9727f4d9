#pragma once

#include "wsserver/control/json.hpp"

#include <fmt/core.h>

#include "wsserver/base/utf8_character.hpp"

namespace wsserver {

namespace {

/// RFC 8259 §7: `"`, `\` and U+0000 to U+001F must be escaped, any other character may be.
void append_json_character(std::string& out, std::string_view bytes, const Utf8Character& character) {
    if (!character.valid) {
        out += "\\ufffd";
    } else if (character.code == '"' || character.code == '\\') {
        out += {'\\', bytes.front()};
    } else if (character.code == '\n') {
        out += "\\n";
    } else if (character.code == '\r') {
        out += "\\r";
    } else if (character.code == '\t') {
        out += "\\t";
    } else if (is_deceptive(character.code)) {
        out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(character.code));
    } else {
        out += bytes;
    }
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string out{'"'};
    out.reserve(text.size() + 2);
    while (!text.empty()) {
        const auto character = first_character(text);
        append_json_character(out, text.substr(0, character.length), character);
        text.remove_prefix(character.length);
    }
    return out + '"';
}

std::string json_array(const std::vector<std::string>& elements) {
    std::string out{'['};
    for (const std::string& element : elements) {
        if (out.size() > 1) out += ',';
        out += element;
    }
    return out + ']';
}

JsonObject& JsonObject::add(std::string_view key, std::string_view value) { return raw(key, json_string(value)); }

JsonObject& JsonObject::add(std::string_view key, std::optional<std::chrono::microseconds> time) {
    return time ? add(key, static_cast<double>(time->count()) / 1e3, 3) : raw(key, "null");
}

JsonObject& JsonObject::add(std::string_view key, double value, int decimals) {
    return raw(key, fmt::format("{:.{}f}", value, decimals));
}

JsonObject& JsonObject::raw(std::string_view key, std::string_view json) {
    if (!members_.empty()) members_ += ',';
    members_ += json_string(key);
    members_ += ':';
    members_ += json;
    return *this;
}

}  // namespace wsserver
