#include "wsserver/handshake/path_pattern.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

namespace {

PathPattern pattern(std::string_view text) {
    CAPTURE(text);
    const auto parsed = PathPattern::parse(text);
    if (!parsed) FAIL(parsed.error());
    CHECK(parsed->text() == text);
    return *parsed;
}

bool matches(std::string_view text, std::string_view target) { return pattern(text).matches(target); }

/// `nothing` if there is no value.
std::string value(std::string_view text, std::string_view target, std::string_view name) {
    return pattern(text).parameter(target, name).value_or("nothing");
}

std::string wrong(std::string_view text) {
    CAPTURE(text);
    const auto parsed = PathPattern::parse(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().starts_with("path pattern '"));
    CHECK(parsed.error().find('\n') == std::string::npos);
    return parsed.error();
}

}  // namespace

TEST_CASE("a literal pattern matches its path only", "[path_pattern]") {
    CHECK(matches("/", "/"));
    CHECK(matches("/chat", "/chat"));
    CHECK(matches("/chat/v1", "/chat/v1"));
    CHECK_FALSE(matches("/chat", "/Chat"));
    CHECK_FALSE(matches("/chat", "/chats"));
    CHECK_FALSE(matches("/chat", "/cha"));
    CHECK_FALSE(matches("/chat", "/"));
    CHECK_FALSE(matches("/chat", ""));
    CHECK_FALSE(matches("/chat", "chat"));
    CHECK_FALSE(matches("/chat", "*"));
    CHECK_FALSE(matches("/chat", "/chat/v1"));
    CHECK_FALSE(matches("/chat/v1", "/chat"));
    CHECK_FALSE(matches("/", "/chat"));
}

TEST_CASE("the query is ignored", "[path_pattern]") {
    CHECK(matches("/chat", "/chat?room=5"));
    CHECK(matches("/chat", "/chat?"));
    CHECK(matches("/chat", "/chat?a/b?c"));
    CHECK(matches("/", "/?x"));
    CHECK(value("/chat/{room}", "/chat/5?room=6", "room") == "5");
    CHECK(value("/files/{path...}", "/files/a/b?c/d", "path") == "a/b");
}

TEST_CASE("slashes at the end and empty segments count", "[path_pattern]") {
    CHECK(matches("/chat/", "/chat/"));
    CHECK_FALSE(matches("/chat/", "/chat"));
    CHECK_FALSE(matches("/chat", "/chat/"));
    CHECK_FALSE(matches("/chat", "//chat"));
    CHECK(matches("//chat", "//chat"));
    CHECK(matches("/{room}/", "/5/"));
    CHECK_FALSE(matches("/{room}/", "/5"));
    CHECK_FALSE(matches("/{room}", "/5/"));
}

TEST_CASE("a parameter takes one segment that is not empty", "[path_pattern]") {
    CHECK(value("/chat/{room}", "/chat/5", "room") == "5");
    CHECK(value("/{a}/x/{b}", "/1/x/2", "a") == "1");
    CHECK(value("/{a}/x/{b}", "/1/x/2", "b") == "2");
    CHECK(value("/{a}/x/{b}", "/1/x/2", "c") == "nothing");
    CHECK(value("/{a}/x/{b}", "/1/x/2", "x") == "nothing");
    CHECK(value("/{a}/x/{b}", "/1/x/2", "") == "nothing");
    CHECK(value("/{a}/x/{b}", "/1/y/2", "a") == "nothing");
    CHECK(value("/{a}", "/{a}", "a") == "{a}");
    CHECK_FALSE(matches("/chat/{room}", "/chat/"));
    CHECK_FALSE(matches("/chat/{room}", "/chat"));
    CHECK_FALSE(matches("/chat/{room}", "/chat/5/6"));
    CHECK_FALSE(matches("/{a}/{b}", "//x"));
    CHECK(value("/chat", "/chat", "room") == "nothing");
}

TEST_CASE("a rest takes all further segments", "[path_pattern]") {
    CHECK(value("/files/{path...}", "/files/a", "path") == "a");
    CHECK(value("/files/{path...}", "/files/a/b/", "path") == "a/b/");
    CHECK(value("/files/{path...}", "/files/", "path").empty());
    CHECK(value("/files/{path...}", "/files//", "path") == "/");
    CHECK(value("/{user}/{path...}", "/ann/x/y", "user") == "ann");
    CHECK(value("/{all...}", "/", "all").empty());
    CHECK(value("/{all...}", "/a/b", "all") == "a/b");
    CHECK_FALSE(matches("/files/{path...}", "/files"));
    CHECK_FALSE(matches("/files/{path...}", "/file/a"));
    CHECK_FALSE(matches("/{all...}", "*"));
    CHECK_FALSE(matches("/{all...}", ""));
}

TEST_CASE("segments are percent-decoded before they are compared", "[path_pattern]") {
    CHECK(matches("/caf%C3%A9", "/caf%c3%a9"));
    CHECK(matches("/caf\xC3\xA9", "/caf%C3%A9"));
    CHECK(matches("/caf%C3%A9", "/%63af\xC3\xA9"));
    CHECK(matches("/a b", "/a%20b"));
    CHECK(matches("/%7Ba%7D", "/{a}"));
    CHECK(matches("/a%2Fb", "/a%2fb"));
    CHECK_FALSE(matches("/a%2Fb", "/a/b"));
    CHECK_FALSE(matches("/a/b", "/a%2Fb"));
    CHECK(matches("/100%25", "/100%25"));
    CHECK_FALSE(matches("/100%25", "/100%"));
    CHECK(matches("/%2541", "/%2541"));
    CHECK_FALSE(matches("/%2541", "/%41"));
    CHECK_FALSE(matches("/a+b", "/a%20b"));
    CHECK(value("/{room}", "/a%2Fb", "room") == "a/b");
    CHECK(value("/{room}", "/a+b%20c", "room") == "a+b c");
    CHECK(value("/{room}", "/%3F%23", "room") == "?#");
    CHECK(value("/{path...}", "/a%20b/c%2Fd", "path") == "a b/c/d");
}

TEST_CASE("a segment that cannot be decoded is not matched", "[path_pattern]") {
    for (const auto* bad : {"%", "%4", "%G1", "%1G", "%%41", "a%", "a%4", "%-1", "%FF", "%C3", "%C0%80", "\xFF"}) {
        CAPTURE(bad);
        const std::string segment{bad};
        CHECK_FALSE(matches("/{room}", "/" + segment));
        CHECK_FALSE(matches("/{room}/x", "/" + segment + "/x"));
        CHECK_FALSE(matches("/{path...}", "/x/" + segment));
        CHECK_FALSE(matches("/chat", "/" + segment));
        CHECK(value("/{room}", "/" + segment, "room") == "nothing");
        CHECK(value("/{a}/{b}", "/x/" + segment, "a") == "nothing");
        CHECK(wrong("/x/" + segment).find("is not valid: after % there must be two") != std::string::npos);
    }
}

TEST_CASE("dots are segments like any other", "[path_pattern]") {
    CHECK_FALSE(matches("/chat", "/x/../chat"));
    CHECK_FALSE(matches("/chat", "/./chat"));
    CHECK(matches("/x/../chat", "/x/%2E%2e/chat"));
    CHECK(value("/{room}", "/..", "room") == "..");
    CHECK(value("/files/{path...}", "/files/../%2e%2e/passwd", "path") == "../../passwd");
}

TEST_CASE("each cut of a target is matched or not, by its segments", "[path_pattern]") {
    const auto chat = pattern("/chat/{room}/{path...}");
    const std::string target = "/chat/caf%C3%A9/x%20y";
    for (std::size_t size = 0; size <= target.size(); ++size) {
        const auto cut = std::string_view{target}.substr(0, size);
        CAPTURE(cut);
        const auto broken = [&](std::string_view end) { return cut.ends_with(end); };
        CHECK(chat.matches(cut) == (size >= 16 && !broken("%") && !broken("%2")));
    }
    CHECK(chat.parameter(target, "room") == "caf\xC3\xA9");
    CHECK(chat.parameter(target, "path") == "x y");
}

TEST_CASE("an invalid pattern is explained", "[path_pattern]") {
    CHECK(wrong("") == "path pattern '': it must begin with / (example: /chat/{room})");
    CHECK(wrong("chat") == "path pattern 'chat': it must begin with / (example: /chat/{room})");
    CHECK(wrong("{room}").find("must begin with /") != std::string::npos);
    CHECK(wrong("/chat?x=1").find("must not have a query or a fragment") != std::string::npos);
    CHECK(wrong("/chat#x").find("must not have a query or a fragment") != std::string::npos);
    CHECK(wrong("/{a}/{b}/{a}") == "path pattern '/{a}/{b}/{a}': the name 'a' is used twice");
    CHECK(wrong("/{a}/{a...}").find("the name 'a' is used twice") != std::string::npos);
    CHECK(wrong("/{a...}/b") == "path pattern '/{a...}/b': {a...} must be the last segment");
    CHECK(wrong("/{a...}/").find("{a...} must be the last segment") != std::string::npos);
    for (const auto* segment : {"x{a}", "{a}x", "{a", "a}", "{", "}", "}{", "{a}{b}", "{{a}}", "{a}}", "{{a}"}) {
        CHECK(wrong("/" + std::string{segment} + "/x") ==
              "path pattern '/" + std::string{segment} + "/x': '" + segment +
                  "' is not valid: a parameter is a whole segment, as in /{name}/; write { and } as %7B and %7D");
    }
    for (const auto* segment :
         {"{}", "{...}", "{1}", "{a-b}", "{a b}", "{a.}", "{a..}", "{a....}", "{%41}", "{\xC3\xA9}"}) {
        CHECK(wrong("/" + std::string{segment}).find("a name has letters, digits and _") != std::string::npos);
    }
    CHECK(wrong("/\n{").find("'/\\n{'") != std::string::npos);
}

TEST_CASE("every cut of a pattern is parsed or explained", "[path_pattern]") {
    const std::string_view whole = "/chat/{room}/caf%C3%A9/{path...}";
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto cut = whole.substr(0, size);
        CAPTURE(cut);
        const auto parsed = PathPattern::parse(cut);
        if (!parsed) CHECK_FALSE(parsed.error().empty());
        if (parsed) CHECK(parsed->text() == cut);
    }
}

TEST_CASE("the most specific pattern is first, whatever the order", "[path_pattern]") {
    const std::vector<std::string> expected{
        "/a/b",       "/a/b/c",    "/a/b/{x}", "/a/{x}",     "/a/{x}/c",
        "/a/{x}/{y}", "/a/{x...}", "/{x}/b",   "/{x}/{y}/c", "/{x...}",
    };
    std::vector<std::string> texts = expected;
    std::ranges::sort(texts);
    for (int round = 0; round < 200; ++round, std::ranges::next_permutation(texts)) {
        std::vector<PathPattern> patterns;
        for (const auto& text : texts) patterns.push_back(pattern(text));
        std::ranges::sort(patterns, [](const auto& a, const auto& b) { return a.is_more_specific_than(b); });
        std::vector<std::string> sorted;
        for (const auto& one : patterns) sorted.push_back(one.text());
        REQUIRE(sorted == expected);
    }
}

TEST_CASE("the names of parameters do not make patterns more specific", "[path_pattern]") {
    CHECK(pattern("/{a}/x").matches_same_paths_as(pattern("/{b}/x")));
    CHECK_FALSE(pattern("/{a}/x") == pattern("/{b}/x"));
    CHECK(pattern("/caf%C3%A9") == pattern("/caf\xC3\xA9"));
    CHECK(pattern("/caf%C3%A9").matches_same_paths_as(pattern("/caf\xC3\xA9")));
    CHECK_FALSE(pattern("/{a}").matches_same_paths_as(pattern("/{a...}")));
    CHECK_FALSE(pattern("/a").matches_same_paths_as(pattern("/a/")));
    CHECK_FALSE(pattern("/a").is_more_specific_than(pattern("/a")));
}
