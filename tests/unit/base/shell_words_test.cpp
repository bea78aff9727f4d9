#include "wsserver/base/shell_words.hpp"

#include <array>

#include "support/catch.hpp"
#include "support/strings.hpp"
using wsserver::test::Strings;

using namespace wsserver;
namespace {

Strings split(std::string_view line) {
    const auto words = split_words(line);
    REQUIRE(words);
    return *words;
}

}  // namespace

TEST_CASE("a line is split as a shell splits it", "[shell_words]") {
    CHECK(split("").empty());
    CHECK(split(" \t ").empty());
    CHECK(split("list") == Strings{"list"});
    CHECK(split("  send\t0-1-1   hi  ") == Strings{"send", "0-1-1", "hi"});
    CHECK(split("send 0-1-1 'two  words'") == Strings{"send", "0-1-1", "two  words"});
    CHECK(split(R"(a "b c" d)") == Strings{"a", "b c", "d"});
    CHECK(split(R"(a'b'"c"d)") == Strings{"abcd"});
    CHECK(split("a ''  \"\"") == Strings{"a", "", ""});
    CHECK(split("gr\xC3\xBC\xC3\x9F"
                "e") == Strings{"gr\xC3\xBC\xC3\x9F"
                                "e"});
}

TEST_CASE("a backslash makes the next character literal where a shell does so", "[shell_words]") {
    CHECK(split(R"(it\'s a\ word \\ \")") == Strings{"it's", "a word", "\\", "\""});
    CHECK(split(R"('a\b')") == Strings{R"(a\b)"});
    CHECK(split(R"("a\"b\\c\d")") == Strings{R"(a"b\c\d)"});
}

TEST_CASE("nothing is expanded", "[shell_words]") {
    CHECK(split("$HOME * ~ `ls` #x | ; & > <") == Strings{"$HOME", "*", "~", "`ls`", "#x", "|", ";", "&", ">", "<"});
}

TEST_CASE("a line may end with CR", "[shell_words]") { CHECK(split("list\r") == Strings{"list"}); }

TEST_CASE("a quoting error has the column of the open quote or backslash", "[shell_words]") {
    const auto column_of = [](std::string_view line) {
        const auto words = split_words(line);
        REQUIRE_FALSE(words);
        return words.error().column;
    };
    CHECK(column_of("broadcast it's me") == 13);
    CHECK(column_of("\"open") == 1);
    CHECK(column_of("a \"open\\\"") == 3);
    CHECK(column_of("a b\\") == 4);
}

TEST_CASE("joined words are split into the same words", "[shell_words]") {
    for (const Strings& words :
         {Strings{}, Strings{"a"}, Strings{"a", "b"}, Strings{"", "a b", "it's", "\"", "\\", "\t", "'"},
          Strings{"'\\''", "--reason=a 'b' c"}}) {
        CHECK(split(join_words(words)) == words);
    }
    CHECK(join_words(Strings{"send", "0-1-1", "a b"}) == "send 0-1-1 'a b'");
}

TEST_CASE("the closest match differs by a typing error at most", "[shell_words]") {
    constexpr std::array<std::string_view, 4> known{"broadcast", "list", "stop", "status"};
    CHECK(closest_match("brodcast", known) == "broadcast");
    CHECK(closest_match("lsit", known) == "list");
    CHECK(closest_match("sttus", known) == "status");
    CHECK(closest_match("quit", known) != "broadcast");
    CHECK(closest_match("xyz", known).empty());
    CHECK(closest_match("", known).empty());
    CHECK(closest_match(std::string(1000, 'a'), known).empty());
}

TEST_CASE("escaped text cannot break a line or control a terminal", "[shell_words]") {
    CHECK(escape_control("plain") == "plain");
    CHECK(escape_control("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80") ==
          "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80");
    CHECK(escape_control("a\nb\r\x1B[31m\x7F") == "a\\nb\\x0d\\x1b[31m\\x7f");
    CHECK(escape_control(std::string_view{"a\0b", 3}) == "a\\x00b");
    CHECK(escape_control("\xC2\x9B"
                         "31m") == "\\xc2\\x9b31m");  // CSI, a C1 character
    CHECK(escape_control("\xFF\xC3") == "\\xff\\xc3");
    CHECK(escape_control("\xE2\x82") == "\\xe2\\x82");
}
