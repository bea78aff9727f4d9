#include "wsserver/base/utf8.hpp"

#include <optional>
#include <string>
#include <vector>

#include "support/byte_script.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using test::byte_script;
using test::ByteVector;
using test::hex;

namespace {

/// The length of the character at the front, or nothing if it is malformed. Follows table 3-7 of the Unicode standard.
std::optional<std::size_t> well_formed_length(Bytes text) {
    const auto in = [&](std::size_t i, int low, int high) {
        return i < text.size() && text[i] >= low && text[i] <= high;
    };
    const auto tail = [&](std::size_t i) { return in(i, 0x80, 0xBF); };
    if (in(0, 0x00, 0x7F)) return 1;
    if (in(0, 0xC2, 0xDF) && tail(1)) return 2;
    if (in(0, 0xE0, 0xE0) && in(1, 0xA0, 0xBF) && tail(2)) return 3;
    if (in(0, 0xE1, 0xEC) && tail(1) && tail(2)) return 3;
    if (in(0, 0xED, 0xED) && in(1, 0x80, 0x9F) && tail(2)) return 3;
    if (in(0, 0xEE, 0xEF) && tail(1) && tail(2)) return 3;
    if (in(0, 0xF0, 0xF0) && in(1, 0x90, 0xBF) && tail(2) && tail(3)) return 4;
    if (in(0, 0xF1, 0xF3) && tail(1) && tail(2) && tail(3)) return 4;
    if (in(0, 0xF4, 0xF4) && in(1, 0x80, 0x8F) && tail(2) && tail(3)) return 4;
    return std::nullopt;
}

bool reference(Bytes text) {
    while (!text.empty()) {
        const auto length = well_formed_length(text);
        if (!length) return false;
        text = text.subspan(*length);
    }
    return true;
}

/// The number of bytes, given one by one, after which the validator fails; size + 1 if it does not fail.
std::size_t fails_after(Bytes text) {
    Utf8Validator validator;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!validator.append(text.subspan(i, 1))) return i + 1;
    }
    return text.size() + 1;
}

ByteVector encode(std::uint32_t c) {
    const auto byte = [](std::uint32_t bits) { return static_cast<std::uint8_t>(bits); };
    const auto tail = [&](int shift) { return byte(0x80 | ((c >> shift) & 0x3F)); };
    if (c < 0x80) return {byte(c)};
    if (c < 0x800) return {byte(0xC0 | c >> 6), tail(0)};
    if (c < 0x10000) return {byte(0xE0 | c >> 12), tail(6), tail(0)};
    return {byte(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

// A Greek word that the Autobahn|Testsuite uses.
const std::string kosme = "ce ba e1 bd b9 cf 83 ce bc ce b5 ";

}  // namespace

TEST_CASE("valid texts are accepted", "[utf8][rfc3629-4]") {
    const auto* const script =
        GENERATE("", "00", "7f", "'plain ASCII, long enough to be skipped by words: 0123456789 0123456789 0123456789'",
                 "ce ba e1 bd b9 cf 83 ce bc ce b5",         // a Greek word
                 "c2 80", "df bf", "e0 a0 80", "ef bf bf",   // the first and last of each length
                 "f0 90 80 80", "f4 8f bf bf",               //
                 "ed 9f bf", "ee 80 80",                     // around the surrogates
                 "ef bf bd", "ef bf be", "ef bf bf",         // U+FFFD; the noncharacters U+FFFE and U+FFFF
                 "f0 9f bf be f0 9f bf bf", "f3 bf bf bf",   // noncharacters of higher planes
                 "ef b7 90 ef b7 af",                        // U+FDD0, U+FDEF
                 "f0 9f 98 80 20 f0 9f 87 a9 f0 9f 87 aa");  // emoji
    const auto text = byte_script(script);
    CAPTURE(hex(text));
    CHECK(is_valid_utf8(text));
    CHECK(reference(text));
    CHECK(fails_after(text) == text.size() + 1);
}

TEST_CASE("an invalid text fails at its first invalid byte", "[utf8][rfc3629-4]") {
    struct Case {
        const char* script;
        std::size_t fails_after;
    };
    const auto c = GENERATE(
        Case{"80", 1}, Case{"bf", 1}, Case{"80 bf 80", 1}, Case{"'a' 80", 2},          // a continuation alone
        Case{"c0 af", 1}, Case{"c1 bf", 1}, Case{"e0 80 af", 2}, Case{"e0 9f bf", 2},  // overlong
        Case{"f0 80 80 af", 2}, Case{"f0 8f bf bf", 2}, Case{"f8 80 80 80 af", 1}, Case{"fc 80 80 80 80 af", 1},
        Case{"c0 80", 1}, Case{"e0 80 80", 2}, Case{"f0 80 80 80", 2},                       // overlong U+0000
        Case{"ed a0 80", 2}, Case{"ed ad bf", 2}, Case{"ed ae 80", 2}, Case{"ed bf bf", 2},  // surrogates
        Case{"ed a0 80 ed b0 80", 2},                                                        // a pair of surrogates
        Case{"f4 90 80 80", 2}, Case{"f5 80 80 80", 1}, Case{"f7 bf bf bf", 1},              // over U+10FFFF
        Case{"f8 88 80 80 80", 1}, Case{"fc 84 80 80 80 80", 1},                             // five and six bytes
        Case{"fe", 1}, Case{"ff", 1}, Case{"fe fe ff ff", 1},                                // never used
        Case{"c2 41", 2}, Case{"e1 bd 41", 3}, Case{"f1 80 80 41", 4},                       // incomplete, then ASCII
        Case{"c2 c2", 2}, Case{"e1 e1", 2}, Case{"f1 80 f1", 3});  // incomplete, then a new lead
    const auto text = byte_script(c.script);
    CAPTURE(hex(text));
    CHECK_FALSE(is_valid_utf8(text));
    CHECK_FALSE(reference(text));
    CHECK(fails_after(text) == c.fails_after);
}

TEST_CASE("a text that ends within a character is not complete, but may become valid", "[utf8]") {
    const auto* const script = GENERATE("c2", "df", "e0", "e0 a0", "e1", "e1 80", "ed", "ed 9f", "ef bf", "f0", "f0 90",
                                        "f0 90 80", "f1", "f3 bf bf", "f4", "f4 8f", "f4 8f bf");
    const auto text = byte_script(script);
    CAPTURE(hex(text));
    Utf8Validator validator;
    CHECK(validator.append(text));
    CHECK_FALSE(validator.complete());
    CHECK_FALSE(is_valid_utf8(text));
}

TEST_CASE("a text fails at the byte that makes it invalid, and stays invalid", "[utf8][autobahn-6.4]") {
    Utf8Validator validator;
    CHECK(validator.append(byte_script(kosme + "f4")));
    CHECK_FALSE(validator.append(byte_script("90")));  // F4 90 is over U+10FFFF
    CHECK_FALSE(validator.append(byte_script("80 80 'edited'")));
    CHECK_FALSE(validator.complete());
}

TEST_CASE("exactly the code points without surrogates are valid", "[utf8][rfc3629-3]") {
    std::size_t valid = 0;
    for (std::uint32_t c = 0; c < 0x20'0000; ++c) {
        const bool is_character = c <= 0x10'FFFF && (c < 0xD800 || c > 0xDFFF);
        if (is_valid_utf8(encode(c)) != is_character) FAIL_CHECK("U+" << std::hex << c);
        valid += is_character;
    }
    CHECK(valid == 0x11'0000 - 0x800);
}

TEST_CASE("all sequences of one, two and three bytes match the Unicode table", "[utf8]") {
    std::size_t valid = 0;
    for (unsigned a = 0; a < 256; ++a) {
        for (unsigned b = 0; b < 256; ++b) {
            const std::uint8_t two[] = {static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b)};
            if (is_valid_utf8(two) != reference(two)) FAIL_CHECK(hex(two));
            for (unsigned c = 0; c < 256; ++c) {
                const std::uint8_t three[] = {two[0], two[1], static_cast<std::uint8_t>(c)};
                if (is_valid_utf8(three) != reference(three)) FAIL_CHECK(hex(three));
                valid += is_valid_utf8(three);
            }
        }
        const std::uint8_t one[] = {static_cast<std::uint8_t>(a)};
        if (is_valid_utf8(one) != reference(one)) FAIL_CHECK(hex(one));
    }
    // Three ASCII characters; an ASCII character and one of two bytes, in either order; one character of three bytes.
    CHECK(valid == 128u * 128 * 128 + 2u * 128 * 1920 + (0x10000 - 0x800 - 0x800));
}

TEST_CASE("sequences of four bytes from the edges of ranges match the Unicode table", "[utf8]") {
    const auto edges = byte_script("00 41 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 f7 f8 ff");
    std::size_t wrong = 0;
    for (const auto a : edges)
        for (const auto b : edges)
            for (const auto c : edges)
                for (const auto d : edges) {
                    const std::uint8_t four[] = {a, b, c, d};
                    if (is_valid_utf8(four) != reference(four)) ++wrong, UNSCOPED_INFO(hex(four));
                }
    CHECK(wrong == 0);
}

TEST_CASE("an error is found at each position between words that are skipped as ASCII", "[utf8]") {
    const auto fault = GENERATE(as<std::string>{}, "80", "c0 af", "ed a0 80", "f4 90 80 80", "ff");
    const auto byte = byte_script(fault);
    std::size_t overlooked = 0;
    for (std::size_t length = 0; length <= 100; ++length) {
        for (std::size_t at = 0; at <= length; ++at) {
            ByteVector text(length, 'x');
            text.insert(text.begin() + static_cast<std::ptrdiff_t>(at), byte.begin(), byte.end());
            if (is_valid_utf8(text)) ++overlooked, UNSCOPED_INFO(fault << " at " << at << " of " << length);
        }
    }
    CHECK(overlooked == 0);
}

TEST_CASE("a character is valid at each position between words, wherever it is cut", "[utf8]") {
    const auto character = byte_script(GENERATE(as<std::string>{}, "c3 a9", "e2 82 ac", "f0 9f 98 80"));
    std::size_t wrong = 0;
    for (std::size_t at = 0; at <= 70; ++at) {
        ByteVector text(70, 'x');
        text.insert(text.begin() + static_cast<std::ptrdiff_t>(at), character.begin(), character.end());
        for (std::size_t cut = 0; cut <= text.size(); ++cut) {
            Utf8Validator validator;
            const bool first = validator.append(Bytes{text}.first(cut));
            const bool second = validator.append(Bytes{text}.subspan(cut));
            if (!first || !second || !validator.complete()) ++wrong, UNSCOPED_INFO("at " << at << ", cut " << cut);
        }
    }
    CHECK(wrong == 0);
}
