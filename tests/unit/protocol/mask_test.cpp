#include "wsserver/protocol/mask.hpp"

#include <array>
#include <vector>

#include "support/byte_script.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using test::byte_script;
using test::ByteVector;

namespace {

constexpr MaskingKey key{0x37, 0xfa, 0x21, 0x3d};

/// A sample for byte i: (i * 89 + 7) mod 256, so that adjacent bytes and rows differ.
std::uint8_t sample(std::size_t i) { return static_cast<std::uint8_t>(i * 89 + 7); }

/// §5.3: "transformed-octet-i = original-octet-i XOR masking-key-octet-j", with j = i MOD 4.
std::uint8_t masked(std::size_t i, std::size_t phase) {
    return static_cast<std::uint8_t>(sample(i) ^ key[(i + phase) % 4]);
}

}  // namespace

TEST_CASE("the RFC's masked Hello is unmasked and masked", "[mask][rfc6455-5.3][rfc6455-5.7]") {
    auto payload = byte_script("7f 9f 4d 51 58");
    apply_mask(payload, key);
    CHECK(payload == byte_script("'Hello'"));
    apply_mask(payload, key);
    CHECK(payload == byte_script("7f 9f 4d 51 58"));
}

TEST_CASE("masking works for each length, alignment and phase, and changes no other bytes", "[mask][rfc6455-5.3]") {
    std::size_t wrong = 0;
    for (std::size_t length = 0; length <= 130; ++length) {
        for (std::size_t alignment = 0; alignment < 16; ++alignment) {
            for (std::size_t phase = 0; phase < 9; ++phase) {
                ByteVector place(alignment + length + 8, 0xEE), copy = place;
                ByteVector from(length);
                for (std::size_t i = 0; i < length; ++i) place[alignment + i] = from[i] = sample(i);

                apply_mask(MutableBytes{place}.subspan(alignment, length), key, phase);
                copy_masked(MutableBytes{copy}.subspan(alignment, length), from, key, phase);

                ByteVector expected(alignment + length + 8, 0xEE);
                for (std::size_t i = 0; i < length; ++i) expected[alignment + i] = masked(i, phase);
                if (place != expected || copy != expected) {
                    ++wrong;
                    UNSCOPED_INFO("length " << length << ", alignment " << alignment << ", phase " << phase);
                }
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("a payload in two or three pieces is masked like one piece", "[mask][rfc6455-5.3]") {
    constexpr std::size_t length = 70;
    ByteVector whole(length);
    for (std::size_t i = 0; i < length; ++i) whole[i] = masked(i, 0);

    std::size_t wrong = 0;
    for (std::size_t first = 0; first <= length; ++first) {
        for (std::size_t second = first; second <= length; second += 7) {
            ByteVector payload(length);
            for (std::size_t i = 0; i < length; ++i) payload[i] = sample(i);
            const MutableBytes view{payload};
            apply_mask(view.first(first), key);
            apply_mask(view.subspan(first, second - first), key, first);
            apply_mask(view.subspan(second), key, second);
            if (payload != whole) ++wrong, UNSCOPED_INFO("cut at " << first << " and " << second);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("an empty payload may be masked", "[mask]") {
    apply_mask({}, key, 3);
    copy_masked({}, {}, key, 3);
    SUCCEED("an empty view may have a null pointer");
}
