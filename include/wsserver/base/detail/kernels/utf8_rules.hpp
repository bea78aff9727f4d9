// The pairs of adjacent bytes that UTF-8 forbids (RFC 3629 §4), as three tables of sixteen bytes. The method is that of
// John Keiser and Daniel Lemire, "Validating UTF-8 in less than one instruction per byte" (2021).
//
// Each bit is one rule. The high half of a byte, its low half, and the high half of the next byte each select the rules
// that the pair may break. The pair breaks the rules that all three select. A kernel needs only three table look-ups
// for a whole register.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wsserver::detail::utf8 {

/// A set of half bytes. Bit n is set if the half byte n is in the set.
using Halves = std::uint16_t;

constexpr Halves from_to(unsigned first, unsigned last) {
    return static_cast<Halves>((1u << (last + 1)) - (1u << first));
}
constexpr Halves any = 0xFFFF;
constexpr Halves continuation = from_to(0x8, 0xB);

struct Rule {
    Halves high;       // of the first byte
    Halves low;        // of the first byte
    Halves next_high;  // of the second byte
};

/// A pair that matches a rule is invalid. The last rule, in the top bit, is different: it matches two continuations,
/// which are valid where the third or fourth byte of a character is expected.
constexpr Rule rules[8] = {
    {from_to(0xC, 0xF), any, static_cast<Halves>(~continuation & 0xFFFF)},  // a lead without a continuation
    {from_to(0x0, 0x7), any, continuation},                                 // a continuation after ASCII
    {from_to(0xC, 0xC), from_to(0x0, 0x1), continuation},                   // two bytes for a character of one
    {from_to(0xE, 0xE), from_to(0x0, 0x0), from_to(0x8, 0x9)},              // three bytes for a character of two
    {from_to(0xE, 0xE), from_to(0xD, 0xD), from_to(0xA, 0xB)},              // a surrogate
    {from_to(0xF, 0xF), from_to(0x4, 0xF), from_to(0x9, 0xB)},              // over U+10FFFF
    {from_to(0xF, 0xF), static_cast<Halves>(from_to(0x5, 0xF) | 1),
     from_to(0x8, 0x8)},  // over U+10FFFF, or four bytes for a character of three
    {continuation, any, continuation},
};

constexpr std::uint8_t second_continuation = 0x80;

template <Halves Rule::*which>
constexpr std::array<std::uint8_t, 16> table() {
    std::array<std::uint8_t, 16> rules_of{};
    for (unsigned half = 0; half < 16; ++half) {
        for (unsigned rule = 0; rule < 8; ++rule) {
            if ((rules[rule].*which >> half & 1) != 0) {
                rules_of[half] = static_cast<std::uint8_t>(rules_of[half] | 1u << rule);
            }
        }
    }
    return rules_of;
}

alignas(16) inline constexpr auto rules_of_high = table<&Rule::high>();
alignas(16) inline constexpr auto rules_of_low = table<&Rule::low>();
alignas(16) inline constexpr auto rules_of_next_high = table<&Rule::next_high>();

// After a subtraction of these with saturation, only a lead of three or four bytes has its top bit set.
constexpr std::uint8_t below_lead_of_three = 0xE0 - 0x80;
constexpr std::uint8_t below_lead_of_four = 0xF0 - 0x80;

}  // namespace wsserver::detail::utf8
