// Words with any bytes. A line that can be split is joined to one with the same words, and escaped text is harmless.
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8_character.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

constexpr std::string_view pieces[] = {" ",    "'", "\"",  "\\",   "\\\"", "\\\\", "word",     "\t",
                                       "\r\n", "=", "--x", "\x1b", "\xff", "ä",    "\xc2\x85", "\xef\xbb\xbf"};

void check_line(std::string_view line) {
    const auto words = split_words(line);
    if (!words) {
        require(words.error().column >= 1 && words.error().column <= line.size(), "an error is within the line");
        require(!words.error().text.empty(), "an error has a text");
        return;
    }
    const auto again = split_words(join_words(*words));
    require(again && *again == *words, "a joined line has the same words");
}

/// Any words, even those that no line has without quotes.
void check_words(fuzz::FuzzInput input) {
    std::vector<std::string> words;
    while (!input.empty()) words.emplace_back(text_of(input.take(input.byte() % 12)));
    const auto again = split_words(join_words(words));
    require(again && *again == words, "words survive being joined");
}

void check_escaped(std::string_view text) {
    const auto escaped = escape_control(text);
    require(is_valid_utf8(bytes_of(escaped)), "an escaped text is UTF-8");
    for (std::string_view rest = escaped; !rest.empty();) {
        const auto character = first_character(rest);
        require(!is_control_character(character.code), "an escaped text has no control characters");
        rest.remove_prefix(character.length);
    }
    require(escape_control(escaped) == escaped, "escaping twice changes nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    check_words(fuzz::FuzzInput{{data, size}});
    fuzz::FuzzInput input{{data, size}};
    const auto text = fuzz::text_from(input, pieces);
    const fuzz::ExactCopy copy{bytes_of(text)};
    check_line(text_of(copy.bytes()));
    check_escaped(text_of(copy.bytes()));
    return 0;
}
