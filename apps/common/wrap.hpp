// Wraps text into lines of bounded width.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace wsd {

/// Appends the words of `text` to `begin`, and breaks lines between words so that no line is longer than `width` bytes,
/// unless a word is. Further lines begin with `margin`. The result ends with a newline.
inline std::string wrap(std::string_view text, std::string begin, std::string_view margin, std::size_t width) {
    std::string result;
    std::string line = std::move(begin);
    bool first_word = true;
    while (!text.empty()) {
        const auto word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(word.size() + 1, text.size()));
        if (!first_word && line.size() + 1 + word.size() > width) {
            result += line + "\n";
            line = margin;
            first_word = true;
        }
        if (!first_word) line += ' ';
        line += word;
        first_word = false;
    }
    return result + line + "\n";
}

}  // namespace wsd
