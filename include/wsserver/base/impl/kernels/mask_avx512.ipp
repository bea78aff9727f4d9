// Masking with registers of 64 bytes.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"

#if defined(WSSERVER_KERNELS_X86)
#include <immintrin.h>

#include "wsserver/base/mask_words.hpp"

#define WSSERVER_TARGET __attribute__((target("avx512f")))

namespace wsserver::detail {
namespace avx512_mask {

constexpr std::size_t width = 64;

WSSERVER_TARGET inline __m512i masked(const std::uint8_t* from, __m512i mask) noexcept {
    return _mm512_xor_si512(_mm512_loadu_si512(reinterpret_cast<const __m512i*>(from)), mask);
}

WSSERVER_TARGET inline void store(std::uint8_t* to, __m512i bytes) noexcept {
    _mm512_storeu_si512(reinterpret_cast<__m512i*>(to), bytes);
}

WSSERVER_TARGET inline __m512i repeated(std::uint64_t mask) noexcept {
    return _mm512_set1_epi64(static_cast<long long>(mask));
}

}  // namespace avx512_mask

WSSERVER_TARGET void mask_avx512(std::uint8_t* to, const std::uint8_t* from, std::size_t count,
                                 std::uint64_t mask) noexcept {
    using namespace avx512_mask;
    if (count < width) return mask_words(to, from, count, mask);
    // The first and last registers overlap the bytes between them. They are read before the first store and stored
    // last, so that masking in place masks no byte twice.
    const __m512i first = masked(from, repeated(mask));
    const __m512i last = masked(from + count - width, repeated(rotated(mask, count)));

    // These stores do not cross cache lines: a register has the size of a line.
    std::size_t at = width - (reinterpret_cast<std::uintptr_t>(to) & (width - 1));
    const __m512i middle = repeated(rotated(mask, at));
    for (; at + 4 * width <= count; at += 4 * width) {
        const __m512i bytes[] = {masked(from + at, middle), masked(from + at + width, middle),
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
