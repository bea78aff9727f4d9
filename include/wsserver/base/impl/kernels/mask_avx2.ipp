// Masking with registers of 32 bytes.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"

#if defined(WSSERVER_KERNELS_X86)
#include <immintrin.h>

#include "wsserver/base/mask_words.hpp"

#define WSSERVER_TARGET __attribute__((target("avx2")))

namespace wsserver::detail {
namespace avx2_mask {

constexpr std::size_t width = 32;

WSSERVER_TARGET inline __m256i masked(const std::uint8_t* from, __m256i mask) noexcept {
    return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), mask);
}

WSSERVER_TARGET inline void store(std::uint8_t* to, __m256i bytes) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
}

WSSERVER_TARGET inline __m256i repeated(std::uint64_t mask) noexcept {
    return _mm256_set1_epi64x(static_cast<long long>(mask));
}

}  // namespace avx2_mask

WSSERVER_TARGET void mask_avx2(std::uint8_t* to, const std::uint8_t* from, std::size_t count,
                               std::uint64_t mask) noexcept {
    using namespace avx2_mask;
    if (count < width) return mask_words(to, from, count, mask);
    // The first and last registers overlap the bytes between them. They are read before the first store and stored
    // last, so that masking in place masks no byte twice.
    const __m256i first = masked(from, repeated(mask));
    const __m256i last = masked(from + count - width, repeated(rotated(mask, count)));

    // These stores do not cross cache lines: a line is a whole number of registers.
    std::size_t at = width - (reinterpret_cast<std::uintptr_t>(to) & (width - 1));
    const __m256i middle = repeated(rotated(mask, at));
    for (; at + 4 * width <= count; at += 4 * width) {
        const __m256i bytes[] = {masked(from + at, middle), masked(from + at + width, middle),
                                 masked(from + at + 2 * width, middle), masked(from + at + 3 * width, middle)};
        store(to + at, bytes[0]);
        store(to + at + width, bytes[1]);
        store(to + at + 2 * width, bytes[2]);
        store(to + at + 3 * width, bytes[3]);
    }
    for (; at + width <= count; at += width) store(to + at, masked(from + at, middle));

    store(to, first);
    store(to + count - width, last);
}

}  // namespace wsserver::detail
#undef WSSERVER_TARGET
#endif
