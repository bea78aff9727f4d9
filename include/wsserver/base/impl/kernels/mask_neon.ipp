// Masking with registers of 16 bytes, which every 64-bit ARM processor has.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"

#if defined(WSSERVER_KERNELS_NEON)
#include <arm_neon.h>

#include "wsserver/base/mask_words.hpp"

namespace wsserver::detail {

void mask_neon(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    constexpr std::size_t width = 16;
    if (count < width) return mask_words(to, from, count, mask);
    const uint8x16_t repeated = vreinterpretq_u8_u64(vdupq_n_u64(mask));
    // The last register overlaps the bytes before it. It is read before the first store and stored last, so that
    // masking in place masks no byte twice.
    const uint8x16_t last =
        veorq_u8(vld1q_u8(from + count - width), vreinterpretq_u8_u64(vdupq_n_u64(rotated(mask, count))));

    std::size_t at = 0;
    for (; at + 4 * width <= count; at += 4 * width) {
        uint8x16x4_t bytes = vld1q_u8_x4(from + at);
        for (auto& part : bytes.val) part = veorq_u8(part, repeated);
        vst1q_u8_x4(to + at, bytes);
    }
    for (; at + width <= count; at += width) vst1q_u8(to + at, veorq_u8(vld1q_u8(from + at), repeated));

    vst1q_u8(to + count - width, last);
}

}  // namespace wsserver::detail
#endif
