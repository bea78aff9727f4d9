// Splits, joins, compares and escapes the words of a line.
#pragma once

#include "wsserver/base/shell_words.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "wsserver/base/utf8_character.hpp"

namespace wsserver {

namespace {

constexpr bool is_blank_char(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// Splits one line from front to back.
class Splitter {
   public:
    explicit Splitter(std::string_view line) : line_(line) {}

    Result<std::vector<std::string>, QuotingError> split() {
        std::vector<std::string> words;
        while (skip_blanks()) {
            words.emplace_back();
            while (at_ < line_.size() && !is_blank_char(line_[at_])) {
                if (!take_piece(words.back())) return Unexpected{std::move(error_)};
            }
        }
        return words;
    }

   private:
    bool skip_blanks() {
        while (at_ < line_.size() && is_blank_char(line_[at_])) ++at_;
        return at_ < line_.size();
    }

    /// Appends a quoted string or one character to `word`.
    bool take_piece(std::string& word) {
        switch (line_[at_]) {
            case '\'':
                return take_single_quoted(word);
            case '"':
                return take_double_quoted(word);
            case '\\':
                if (at_ + 1 == line_.size()) return fail(at_, "the line ends with a backslash");
                word += line_[at_ + 1];
                at_ += 2;
                return true;
            default:
                word += line_[at_++];
                return true;
        }
    }

    bool take_single_quoted(std::string& word) {
        const auto end = line_.find('\'', at_ + 1);
        if (end == std::string_view::npos) return fail(at_, "the quote ' is never closed");
        word += line_.substr(at_ + 1, end - at_ - 1);
        at_ = end + 1;
        return true;
    }

    bool take_double_quoted(std::string& word) {
        const auto begin = at_;
        for (++at_; at_ < line_.size() && line_[at_] != '"'; ++at_) {
            const bool escape =
                line_[at_] == '\\' && at_ + 1 < line_.size() && (line_[at_ + 1] == '"' || line_[at_ + 1] == '\\');
            if (escape) ++at_;
            word += line_[at_];
        }
        if (at_ == line_.size()) return fail(begin, "the quote \" is never closed");
        ++at_;
        return true;
    }

    bool fail(std::size_t at, std::string text) {
        error_ = {at + 1, std::move(text)};
        return false;
    }

    std::string_view line_;
    std::size_t at_ = 0;
    QuotingError error_;
};

bool needs_quotes(std::string_view word) {
    return word.empty() || std::any_of(word.begin(), word.end(),
                                       [](char c) { return is_blank_char(c) || c == '\'' || c == '"' || c == '\\'; });
}

/// The Levenshtein distance: the least number of characters to insert, delete or replace to turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace

Result<std::vector<std::string>, QuotingError> split_words(std::string_view line) { return Splitter{line}.split(); }

std::string join_words(std::span<const std::string> words) {
    std::string line;
    for (const std::string& word : words) {
        if (!line.empty()) line += ' ';
        if (!needs_quotes(word)) {
            line += word;
            continue;
        }
        line += '\'';
        for (const char c : word) {
            if (c == '\'') {
                line += "'\\''";  // close the quotes, an escaped quote, open them again
            } else {
                line += c;
            }
        }
        line += '\'';
    }
    return line;
}

std::string_view closest_match(std::string_view word, std::span<const std::string_view> candidates) {
    if (word.size() > 64) return {};  // not a typing error; and the time grows with both lengths
    std::string_view best;
    std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        // Words without a common letter are not similar, even if they are short.
        if (distance < best_distance && distance < std::max(word.size(), candidate.size())) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

constexpr std::string_view hex_digits = "0123456789abcdef";

std::string escape_control(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto character = first_character(text);
        const auto bytes = text.substr(0, character.length);
        if (character.code == '\n') {
            out += "\\n";
        } else if (character.valid && !is_control_character(character.code)) {
            out += bytes;
        } else {
            for (const char c : bytes) {
                const auto byte = static_cast<std::uint8_t>(c);
                out += {'\\', 'x', hex_digits[byte >> 4], hex_digits[byte & 0xF]};
            }
        }
        text.remove_prefix(character.length);
    }
    return out;
}

}  // namespace wsserver
