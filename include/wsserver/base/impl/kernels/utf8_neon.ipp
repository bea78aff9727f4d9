// UTF-8 validation with registers of 16 bytes, which every 64-bit ARM processor has.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"

#if defined(WSSERVER_KERNELS_NEON)
#include <arm_neon.h>

#include <cstring>

#include "wsserver/base/detail/kernels/utf8_rules.hpp"

namespace wsserver::detail {
namespace neon_utf8 {

constexpr std::size_t width = 16;
constexpr std::size_t look_back = 3;  // bytes before a register that decide where it needs continuations

inline uint8x16_t ruled(const std::array<std::uint8_t, 16>& table, uint8x16_t halves) noexcept {
    return vqtbl1q_u8(vld1q_u8(table.data()), halves);
}

/// Checks the `width` bytes at `text`. Reads `look_back` bytes before them, too.
inline bool has_fault(const std::uint8_t* text) noexcept {
    const uint8x16_t bytes = vld1q_u8(text), before = vld1q_u8(text - 1);
    const uint8x16_t by_high = ruled(utf8::rules_of_high, vshrq_n_u8(before, 4));
    const uint8x16_t by_low = ruled(utf8::rules_of_low, vandq_u8(before, vdupq_n_u8(0x0F)));
    const uint8x16_t by_next = ruled(utf8::rules_of_next_high, vshrq_n_u8(bytes, 4));
    const uint8x16_t broken = vandq_u8(vandq_u8(by_high, by_low), by_next);

    const uint8x16_t third = vqsubq_u8(vld1q_u8(text - 2), vdupq_n_u8(utf8::below_lead_of_three));
    const uint8x16_t fourth = vqsubq_u8(vld1q_u8(text - 3), vdupq_n_u8(utf8::below_lead_of_four));
    const uint8x16_t due = vandq_u8(vorrq_u8(third, fourth), vdupq_n_u8(utf8::second_continuation));
    return vmaxvq_u8(veorq_u8(broken, due)) != 0;
}

/// Checks the `width` bytes at `text` and the `look_back` bytes before them.
inline bool is_ascii(const std::uint8_t* text) noexcept {
    return vmaxvq_u8(vorrq_u8(vld1q_u8(text), vld1q_u8(text - look_back))) < 0x80;
}

}  // namespace neon_utf8

bool valid_utf8_neon(const std::uint8_t* text, std::size_t count) noexcept {
    using namespace neon_utf8;
    // has_fault() reads the bytes before its register. So the beginning, or a short text, is checked in a copy that has
    // zeros before it.
    alignas(width) std::uint8_t beginning[3 * width] = {};
    std::uint8_t* const copy = beginning + width;
    if (count < width + look_back) {
        for (std::size_t i = 0; i < count; ++i) copy[i] = text[i];
        return !has_fault(copy) && (count <= width || !has_fault(copy + look_back));
    }
    if (vmaxvq_u8(vld1q_u8(text)) >= 0x80) {  // ASCII needs no copy
        std::memcpy(copy, text, width);
        if (has_fault(copy)) return false;
    }

    const std::uint8_t* const last = text + count - width;
    for (const std::uint8_t* at = text + width; at < last; at += width) {
        if (!is_ascii(at) && has_fault(at)) return false;
    }
    return is_ascii(last) || !has_fault(last);  // overlaps the previous register
}

}  // namespace wsserver::detail
#endif
