// Single characters of a UTF-8 text: where one ends, and whether it is safe to show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/utf8.hpp"

namespace wsserver {

/// The character at the front of a text, as first_character() decodes it.
struct Utf8Character {
    std::size_t length = 1;  ///< bytes, 1 to 4
    char32_t code = 0;       ///< the code point; the byte itself if it is not valid
    bool valid = false;      ///< false: the text does not begin with a UTF-8 character; `length` is 1
};

/// The character at the front of `text`. Precondition: `text` is not empty.
inline Utf8Character first_character(std::string_view text) noexcept {
    const auto first = static_cast<std::uint8_t>(text.front());
    const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    const Bytes bytes = bytes_of(text.substr(0, length));
    if (bytes.size() < length || !is_valid_utf8(bytes)) return {1, first, false};
    constexpr std::uint8_t lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    char32_t code = first & lead_bits[length];
    for (const std::uint8_t byte : bytes.subspan(1)) code = (code << 6) | (byte & 0x3Fu);
    return {length, code, true};
}

/// C0, DEL and C1 (U+0080 to U+009F): a terminal may obey them.
constexpr bool is_control_character(char32_t code) noexcept { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

/// Control characters, and characters that make a line look different from what it says: line and paragraph
/// separators, marks, overrides and isolates of the writing direction, zero-width characters, the byte order mark.
constexpr bool is_deceptive(char32_t code) noexcept {
    return is_control_character(code) || code == 0x061C || (code >= 0x200B && code <= 0x200F) ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

}  // namespace wsserver
