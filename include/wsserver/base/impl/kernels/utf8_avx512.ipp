// UTF-8 validation with registers of 64 bytes.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"

#if defined(WSSERVER_KERNELS_X86)
#include <immintrin.h>

#include "wsserver/base/detail/kernels/utf8_rules.hpp"

#define WSSERVER_TARGET __attribute__((target("avx512f,avx512bw")))

namespace wsserver::detail {
namespace avx512_utf8 {

constexpr std::size_t width = 64;

WSSERVER_TARGET inline __m512i repeated(std::uint8_t byte) noexcept {
    return _mm512_set1_epi8(static_cast<char>(byte));
}

// These use the intrinsics with a full mask: g++ 12 warns about its own header where it inlines the plain ones.
WSSERVER_TARGET inline __m512i repeated(const std::array<std::uint8_t, 16>& table) noexcept {
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_load_si128(reinterpret_cast<const __m128i*>(table.data())));
}

WSSERVER_TARGET inline __m512i high_halves(__m512i bytes) noexcept {
    return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), repeated(0x0F));
}

/// The register that begins `before` bytes earlier. Its first bytes are the last ones of `previous`.
template <int before>
WSSERVER_TARGET inline __m512i earlier(__m512i bytes, __m512i previous) noexcept {
    const __m512i lanes_before = _mm512_maskz_alignr_epi64(0xFF, bytes, previous, 6);
    return _mm512_alignr_epi8(bytes, lanes_before, 16 - before);
}

WSSERVER_TARGET inline bool is_ascii(__m512i bytes) noexcept { return _mm512_movepi8_mask(bytes) == 0; }

WSSERVER_TARGET inline bool has_fault(__m512i bytes, __m512i previous) noexcept {
    const __m512i before = earlier<1>(bytes, previous);
    const __m512i by_high = _mm512_shuffle_epi8(repeated(utf8::rules_of_high), high_halves(before));
    const __m512i by_low = _mm512_shuffle_epi8(repeated(utf8::rules_of_low), _mm512_and_si512(before, repeated(0x0F)));
    const __m512i by_next = _mm512_shuffle_epi8(repeated(utf8::rules_of_next_high), high_halves(bytes));
    const __m512i broken = _mm512_and_si512(_mm512_and_si512(by_high, by_low), by_next);

    const __m512i third = _mm512_subs_epu8(earlier<2>(bytes, previous), repeated(utf8::below_lead_of_three));
    const __m512i fourth = _mm512_subs_epu8(earlier<3>(bytes, previous), repeated(utf8::below_lead_of_four));
    const __m512i due = _mm512_and_si512(_mm512_or_si512(third, fourth), repeated(utf8::second_continuation));
    return _mm512_test_epi8_mask(_mm512_xor_si512(broken, due), _mm512_xor_si512(broken, due)) != 0;
}

}  // namespace avx512_utf8

WSSERVER_TARGET bool valid_utf8_avx512(const std::uint8_t* text, std::size_t count) noexcept {
    using namespace avx512_utf8;
    __m512i previous = _mm512_setzero_si512();
    while (count > 0) {
        const bool whole = count >= width;
        // Bytes that are not in the mask are not read; they become zeros.
        const __m512i bytes =
            whole ? _mm512_loadu_si512(text) : _mm512_maskz_loadu_epi8(~__mmask64{0} >> (width - count), text);
        // After a register that is not all ASCII, ASCII may be an error: a continuation may be missing.
        if (!is_ascii(_mm512_or_si512(bytes, previous)) && has_fault(bytes, previous)) return false;
        if (!whole) break;
        previous = bytes;
        text += width;
        count -= width;
    }
    return true;
}

}  // namespace wsserver::detail
#undef WSSERVER_TARGET
#endif
