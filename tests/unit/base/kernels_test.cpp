// Compares each kernel that this processor can run with code that works byte by byte.
#include "wsserver/base/kernels.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <string>

#include "support/byte_script.hpp"
#include "support/catch.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/protocol/mask.hpp"

using namespace wsserver;
using test::byte_script;
using test::ByteVector;
using test::hex;

namespace {

constexpr MaskingKey key{0x37, 0xfa, 0x21, 0x3d};

std::uint8_t sample(std::size_t i) { return static_cast<std::uint8_t>(i * 89 + (i >> 8) + 7); }

bool plainly_valid(Bytes text) {
    const auto end = text.data() + text.size();
    return detail::utf8::run(detail::utf8::accept, text.data(), end) == detail::utf8::accept;
}

/// A copy on the heap without spare bytes, so that a sanitizer reports each read beyond it.
struct Exact {
    explicit Exact(Bytes text) : bytes{new std::uint8_t[text.size()]}, size{text.size()} {
        if (size > 0) std::memcpy(bytes.get(), text.data(), size);
    }
    std::unique_ptr<std::uint8_t[]> bytes;
    std::size_t size;
};

/// Returns how many kernels give the wrong result for a text that does not end within a character.
std::size_t wrong_kernels(Bytes text) {
    const Exact exact{text};
    std::size_t wrong = 0;
    for (const auto& kernel : detail::usable_kernels()) {
        if (kernel.valid_utf8(exact.bytes.get(), exact.size) == plainly_valid(text)) continue;
        ++wrong;
        UNSCOPED_INFO(kernel.name << " with " << hex(text));
    }
    return wrong;
}

// Initialised before main(), possibly before the objects of the library.
const bool valid_before_main = detail::valid_utf8_wide(bytes_of("early").data(), 5);

}  // namespace

TEST_CASE("a kernel may be called before main", "[kernels]") { CHECK(valid_before_main); }

TEST_CASE("the first usable kernel is the portable one", "[kernels]") {
    std::string names;
    for (const auto& kernel : detail::usable_kernels()) names += std::string{" "} + kernel.name;
    INFO("tested here:" << names);
    REQUIRE_FALSE(detail::usable_kernels().empty());
    CHECK(detail::usable_kernels().front().name == std::string{"portable"});
}

TEST_CASE("masking works for each length, phase and alignment, and changes no other bytes", "[kernels][rfc6455-5.3]") {
    constexpr std::size_t longest = 300, line = 64;
    alignas(line) std::array<std::uint8_t, longest + 3 * line> place, from, untouched;
    untouched.fill(0xEE);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = sample(i);

    std::size_t wrong = 0;
    const auto check = [&](const detail::Kernel& kernel, std::size_t length, std::size_t source, std::size_t target,
                           std::size_t phase) {
        const std::uint8_t* const bytes = from.data() + source;
        auto expected = untouched;
        for (std::size_t i = 0; i < length; ++i) {
            expected[target + i] = static_cast<std::uint8_t>(bytes[i] ^ key[(i + phase) % 4]);
        }
        const auto mask = detail::masking_word(key, phase);
        place = untouched;
        kernel.mask(place.data() + target, bytes, length, mask);
        const bool copied = place == expected;

        place = untouched;
        if (length > 0) std::memcpy(place.data() + target, bytes, length);
        kernel.mask(place.data() + target, place.data() + target, length, mask);
        if (copied && place == expected) return;
        ++wrong;
        UNSCOPED_INFO(kernel.name << ": length " << length << ", from " << source << " to " << target << ", phase "
                                  << phase);
    };
    for (const auto& kernel : detail::usable_kernels()) {
        for (std::size_t length = 0; length <= longest; ++length) {
            for (std::size_t alignment = 0; alignment < line; ++alignment) {
                const std::size_t other = (alignment * 5 + length) % line;
                for (std::size_t phase = 0; phase < 4; ++phase) check(kernel, length, other, alignment, phase);
            }
        }
        for (std::size_t source = 0; source < line; ++source) {
            for (std::size_t target = 0; target < line; ++target) check(kernel, longest, source, target, 1);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("UTF-8: pairs of bytes and triples of edge cases are checked across registers", "[kernels]") {
    std::size_t wrong = 0;
    const auto check = [&](Bytes middle) {
        for (const std::size_t before : {0u, 13u, 15u, 29u, 31u, 61u, 62u, 63u, 64u, 127u}) {
            ByteVector text(before, 'x');
            text.insert(text.end(), middle.begin(), middle.end());
            text.insert(text.end(), 4, 'x');  // so that the text never ends within a character
            wrong += wrong_kernels(text);
        }
    };
    for (unsigned pair = 0; pair < 0x10000; ++pair) {
        const std::uint8_t two[] = {static_cast<std::uint8_t>(pair >> 8), static_cast<std::uint8_t>(pair)};
        check(two);
    }
    const auto edges = byte_script("41 7f 80 8f 90 9f a0 bf c1 c2 df e0 e1 ed ef f0 f1 f4 f5 ff");
    for (const auto a : edges) {
        for (const auto b : edges) {
            for (const auto c : edges) {
                const std::uint8_t four[] = {a, b, c, 0x80};
                check(four);
                check(Bytes{four}.first(3));
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("UTF-8: an error is found at each position in texts of each length", "[kernels]") {
    const auto fault = byte_script(GENERATE(as<std::string>{}, "80", "c0 af", "e0 9f bf", "ed a0 80", "f0 8f bf bf",
                                            "f4 90 80 80", "ff", "c2 41", "e1 80 41", "f1 80 80 41"));
    const auto character = byte_script(GENERATE(as<std::string>{}, "'x'", "c3 a9", "e2 82 ac", "f0 9f 98 80"));
    std::size_t wrong = 0;
    for (std::size_t characters = 0; characters <= 60; ++characters) {
        ByteVector text;
        for (std::size_t i = 0; i < characters; ++i) text.insert(text.end(), character.begin(), character.end());
        wrong += wrong_kernels(text);
        for (std::size_t at = 0; at <= characters; ++at) {
            ByteVector bad = text;
            bad.insert(bad.begin() + static_cast<std::ptrdiff_t>(at * character.size()), fault.begin(), fault.end());
            if (fault.back() >= 0xC0) bad.push_back('x');  // otherwise the text might end within a character
            wrong += wrong_kernels(bad);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("a long text may be cut anywhere, and an error is found in its piece", "[kernels][utf8]") {
    const auto character = byte_script(GENERATE(as<std::string>{}, "c3 a9", "e2 82 ac", "f0 9f 98 80"));
    ByteVector text;
    while (text.size() < 300) text.insert(text.end(), character.begin(), character.end());
    std::size_t wrong = 0;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        Utf8Validator validator;
        const Exact first{Bytes{text}.first(cut)}, second{Bytes{text}.subspan(cut)};
        const bool good = validator.append({first.bytes.get(), first.size}) &&
                          validator.append({second.bytes.get(), second.size}) && validator.complete();
        if (!good) ++wrong, UNSCOPED_INFO("cut at " << cut);

        ByteVector bad(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(cut - cut % character.size()));
        bad.push_back(0xF4);
        bad.push_back(0x90);  // over U+10FFFF, whatever the next byte is
        Utf8Validator strict;
        if (strict.append(bad)) ++wrong, UNSCOPED_INFO("F4 90 after " << cut);
    }
    CHECK(wrong == 0);
}
