// What two bytes side by side can't be in UTF-8 (RFC 3629 §4), as three tables of sixteen bytes: the method of
// John Keiser and Daniel Lemire, "Validating UTF-8 in less than one instruction per byte" (2021).
//
// Each bit is one rule. The high half of an byte, its low half, and the high half of the byte behind it each say
// which rules may be broken; those that all three name are. That is three table look-ups for a whole register.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wsserver::detail::utf8 {

/// Bit n: the half byte n is among them.
using Halves = std::uint16_t;

constexpr Halves from_to(unsigned first, unsigned last) {
    return static_cast<Halves>((1u << (last + 1)) - (1u << first));
}
constexpr Halves any = 0xFFFF;
constexpr Halves continuation = from_to(0x8, 0xB);

struct Rule {
    Halves high;       // of the first byte
    Halves low;        // of the same
    Halves next_high;  // of the byte behind it
};

/// The last one is no fault where a character's third or fourth byte is due; its bit is the top one.
constexpr Rule rules[8] = {
    {from_to(0xC, 0xF), any, static_cast<Halves>(~continuation & 0xFFFF)},  // a lead, and nothing continues
    {from_to(0x0, 0x7), any, continuation},                                 // a continuation behind ASCII
    {from_to(0xC, 0xC), from_to(0x0, 0x1), continuation},                   // two bytes where one is enough
    {from_to(0xE, 0xE), from_to(0x0, 0x0), from_to(0x8, 0x9)},              // three where two are enough
    {from_to(0xE, 0xE), from_to(0xD, 0xD), from_to(0xA, 0xB)},              // a surrogate
    {from_to(0xF, 0xF), from_to(0x4, 0xF), from_to(0x9, 0xB)},              // over U+10FFFF
    {from_to(0xF, 0xF), static_cast<Halves>(from_to(0x5, 0xF) | 1),
     from_to(0x8, 0x8)},  // the same; or four where three are enough
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

// Subtracted with saturation, these leave the top bit only to a lead that wants a third or a fourth byte.
constexpr std::uint8_t below_lead_of_three = 0xE0 - 0x80;
constexpr std::uint8_t below_lead_of_four = 0xF0 - 0x80;

}  // namespace wsserver::detail::utf8
