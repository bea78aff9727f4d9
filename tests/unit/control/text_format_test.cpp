// JSON, sizes and tables as users see them.
#include "wsserver/control/text_format.hpp"

#include <cstdint>
#include <string>

#include "support/catch.hpp"
#include "wsserver/base/bytes.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/control/json.hpp"

using namespace wsserver;

TEST_CASE("a JSON string escapes what JSON or a terminal would misread", "[json]") {
    CHECK(json_string("") == R"("")");
    CHECK(json_string("grün 🙂") == "\"grün 🙂\"");
    CHECK(json_string("a\"b\\c/d") == R"("a\"b\\c/d")");
    CHECK(json_string("\n\r\t\x01\x1b\x7f") == R"("\n\r\t\u0001\u001b\u007f")");
    CHECK(json_string("\xc2\x9b") == R"("\u009b")");  // C1: ESC [ in one character
    CHECK(json_string("\xe2\x80\xa8\xe2\x80\xae\xef\xbb\xbf") ==
          R"("\u2028\u202e\ufeff")");  // separator, override, BOM
}

TEST_CASE("each byte that is not UTF-8 becomes U+FFFD in JSON", "[json]") {
    CHECK(json_string("a\xff"
                      "b") == R"("a\ufffdb")");
    CHECK(json_string("\xc3") == R"("\ufffd")");                                // cut
    CHECK(json_string("\xc0\xaf") == R"("\ufffd\ufffd")");                      // overlong
    CHECK(json_string("\xed\xa0\x80") == R"("\ufffd\ufffd\ufffd")");            // a surrogate
    CHECK(json_string("\xf4\x90\x80\x80") == R"("\ufffd\ufffd\ufffd\ufffd")");  // over U+10FFFF
    for (unsigned pair = 0; pair < 0x10000; ++pair) {
        const std::string text{static_cast<char>(pair >> 8), static_cast<char>(pair & 0xFF)};
        if (!is_valid_utf8(bytes_of(json_string(text)))) FAIL("pair " << pair);
    }
}

TEST_CASE("a JSON object keeps the order of its members", "[json]") {
    JsonObject object;
    CHECK(object.text() == "{}");
    object.add("s", "x\xff").add("n", std::uint64_t{18446744073709551615U}).add("b", true).add("d", 1.25, 3);
    object.add("t", std::optional{std::chrono::microseconds{1500}}).add("u", std::nullopt).raw("r", "[1]");
    CHECK(object.text() == R"({"s":"x\ufffd","n":18446744073709551615,"b":true,"d":1.250,"t":1.500,"u":null,"r":[1]})");
    CHECK('{' + object.members() + '}' == object.text());
    CHECK(json_array({}) == "[]");
    CHECK(json_array({"1", "{}"}) == "[1,{}]");
}

TEST_CASE("a size has the requested number of significant digits", "[text_format]") {
    CHECK(readable_size(std::uint64_t{0}) == "0 B");
    CHECK(readable_size(std::uint64_t{1023}) == "1023 B");
    CHECK(readable_size(std::uint64_t{1024}) == "1.0 KiB");
    CHECK(readable_size(std::uint64_t{10'189}) == "10 KiB");  // 9.95
    CHECK(readable_size(std::uint64_t{1'048'063}) == "1023 KiB");
    CHECK(readable_size(std::uint64_t{1'048'064}) == "1.0 MiB");  // 1023.5 KiB
    CHECK(readable_size(std::uint64_t{18'446'744'073'709'551'615U}) == "16 EiB");
    CHECK(readable_size(0.0, 3) == "0 B");
    CHECK(readable_size(1023.0, 3) == "1023 B");
    CHECK(readable_size(1536.0, 3) == "1.50 KiB");
    CHECK(readable_size(10'235.0, 3) == "10.0 KiB");  // 9.995
    CHECK(readable_size(35'651'584.0, 3) == "34.0 MiB");
    CHECK(readable_size(104'806'000.0, 3) == "100 MiB");  // 99.95
}

TEST_CASE("a word is quoted, escaped and cut", "[text_format]") {
    CHECK(quoted_word("") == "``");
    CHECK(quoted_word("a\nb\x1b") == "`a\\nb\\x1b`");
    CHECK(quoted_word(std::string(80, 'x')) == '`' + std::string(80, 'x') + '`');
    CHECK(quoted_word(std::string(81, 'x')) == '`' + std::string(80, 'x') + "...`");
}
