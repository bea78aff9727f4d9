// A line of words as a shell would read it, written back, and the word that was probably meant.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// Where a line could not be split, and why.
struct QuotingError {
    std::size_t column = 0;  ///< of the character at fault, counted in bytes from 1
    std::string text{};
};

/// Splits at blanks. Within single quotes everything stands for itself; within double quotes a backslash takes the
/// meaning from `"` and `\`; outside of quotes from whatever follows. Nothing is expanded: no `$`, no `*`, no comments.
/// A carriage return is a blank, so a line that ends with CR LF reads as any other.
Result<std::vector<std::string>, QuotingError> split_words(std::string_view line);

/// The line that split_words() takes apart into `words` again.
/// Precondition: no word holds a newline, for that ends a line.
std::string join_words(std::span<const std::string> words);

/// The candidate nearest to `word`; empty if none is so near that a slip of the fingers explains it.
std::string_view closest_match(std::string_view word, std::span<const std::string_view> candidates);

/// `text` on one line and harmless to a terminal or a log: control characters and bytes that are no UTF-8 are
/// written as `\n` or `\x1b`.
std::string escape_control(std::string_view text);

}  // namespace wsserver
