// Path patterns and targets with any bytes. The order of patterns is strict, and values are found again.
#include <algorithm>
#include <optional>
#include <string>

#include "fuzz_input.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/handshake/http_values.hpp"
#include "wsserver/handshake/path_pattern.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

constexpr std::string_view pieces[] = {"/",   "/",    "/{",       "}",  "{a}", "{b}",  "{a...}", "/{a}/", "/{b...}",
                                       "...", "a",    "b",        "%",  "%61", "%2F",  "%7B",    "%zz",   "%C3",
                                       "%A9", "\xC3", "\xC3\xA9", "?",  "#",   "..",   "_",      "1",     " ",
                                       "/a",  "/{a}", "//",       "{}", "%00", "/a/b", "{{",     " /a",   " /%61"};

/// Removes the text up to the first space, and the space, from the front of `rest`. Returns the text.
std::string_view take_word(std::string_view& rest) {
    const auto word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    return word;
}

std::optional<PathPattern> parsed(std::string_view text) {
    auto pattern = PathPattern::parse(text);
    if (!pattern) {
        require(!pattern.error().empty() && pattern.error().find('\n') == std::string::npos, "an error is one line");
        require(is_valid_utf8(bytes_of(pattern.error())), "an error is UTF-8");
        return std::nullopt;
    }
    require(pattern->text() == text, "a pattern keeps its text");
    require(*pattern == *PathPattern::parse(text), "the same text is the same pattern");
    require(pattern->matches_same_paths_as(*pattern), "a pattern is not more specific than itself");
    if (text.find('{') == std::string_view::npos) require(pattern->matches(text), "a literal matches itself");
    return *std::move(pattern);
}

void check_target(const PathPattern& pattern, std::string_view target) {
    const bool matches = pattern.matches(target);
    require(pattern.matches(std::string{path_of(target)} + "?a/b") == matches, "the query is ignored");
    for (const auto* const name : {"a", "b", "_", "c", ""}) {
        const auto value = pattern.parameter(target, name);
        if (!value) continue;
        require(matches, "only a match has values");
        require(is_valid_utf8(bytes_of(*value)) && value->size() <= target.size(), "a value is UTF-8 and a part");
    }
}

void check_pair(const PathPattern& a, const PathPattern& b, std::string_view target) {
    require(!a.is_more_specific_than(b) || !b.is_more_specific_than(a), "only one is more specific");
    if (a == b) require(a.matches_same_paths_as(b), "equal patterns match the same paths");
    if (a.matches_same_paths_as(b)) require(a.matches(target) == b.matches(target), "and this one, too");
}

void check_value(std::string_view text) {
    static const auto one = *PathPattern::parse("/x/{a}"), rest = *PathPattern::parse("/x/{a...}");
    const std::string target = "/x/" + percent_encoded(text);
    const bool valid = is_valid_utf8(bytes_of(text));
    require(one.matches(target) == (valid && !text.empty()), "any text but none may be a parameter");
    require(rest.matches(target) == valid, "any text may be a rest");
    if (one.matches(target)) require(one.parameter(target, "a") == text, "a parameter is decoded");
    if (valid) require(rest.parameter(target, "a") == text, "a rest is decoded");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const auto text = fuzz::text_from(input, pieces);
    const fuzz::ExactCopy copy{bytes_of(text)};
    check_value(text_of(copy.bytes()));
    std::string_view target = text_of(copy.bytes());
    const auto a = parsed(take_word(target)), b = parsed(take_word(target));
    if (a) check_target(*a, target);
    if (b) check_target(*b, target);
    if (a && b) check_pair(*a, *b, target);
    return 0;
}
