// Splits and joins a line of words with the quoting rules of a shell, and helps with words that users mistyped.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// Where and why a line could not be split.
struct QuotingError {
    std::size_t column = 0;  ///< of the character at fault, in bytes, counted from 1
    std::string text{};      ///< what is wrong, for a message to the user
};

/// Splits `line` into words at blanks. Within single quotes every character is literal. Within double quotes a
/// backslash makes a `"` or `\` after it literal; outside quotes it makes any character literal. Nothing is expanded:
/// no `$`, no `*`, no comments. A carriage return is a blank, so lines may end with CR LF.
/// Fails if a quote is not closed or if the line ends with a backslash outside quotes.
Result<std::vector<std::string>, QuotingError> split_words(std::string_view line);

/// Joins `words` to a line that split_words() splits into the same words.
/// Precondition: no word contains a newline, as a newline ends the line.
std::string join_words(std::span<const std::string> words);

/// The candidate that is most similar to `word`, for "did you mean". Empty if no candidate is similar enough for a
/// typing error. The result is valid as long as the candidates' characters are.
std::string_view closest_match(std::string_view word, std::span<const std::string_view> candidates);

/// Makes `text` safe for a terminal or a log line: writes control characters and bytes that are not UTF-8 as `\n` or
/// as `\x` and two hex digits, for example `\x1b`.
std::string escape_control(std::string_view text);

}  // namespace wsserver
