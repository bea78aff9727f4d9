// UTF-8 validation with registers of 32 bytes.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"

#if defined(WSSERVER_KERNELS_X86)
#include <immintrin.h>

#include <cstring>

#include "wsserver/base/detail/kernels/utf8_rules.hpp"

#define WSSERVER_TARGET __attribute__((target("avx2")))

namespace wsserver::detail {
namespace avx2_utf8 {

constexpr std::size_t width = 32;
constexpr std::size_t look_back = 3;  // bytes before a register that decide where it needs continuations

WSSERVER_TARGET inline __m256i repeated(std::uint8_t byte) noexcept {
    return _mm256_set1_epi8(static_cast<char>(byte));
}

WSSERVER_TARGET inline __m256i repeated(const std::array<std::uint8_t, 16>& table) noexcept {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table.data())));
}

WSSERVER_TARGET inline __m256i load(const std::uint8_t* from) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

WSSERVER_TARGET inline __m256i high_halves(__m256i bytes) noexcept {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), repeated(0x0F));
}

/// Checks the `width` bytes at `text`. Reads `look_back` bytes before them, too.
WSSERVER_TARGET inline bool has_fault(const std::uint8_t* text) noexcept {
    const __m256i bytes = load(text), before = load(text - 1);
    const __m256i by_high = _mm256_shuffle_epi8(repeated(utf8::rules_of_high), high_halves(before));
    const __m256i by_low = _mm256_shuffle_epi8(repeated(utf8::rules_of_low), _mm256_and_si256(before, repeated(0x0F)));
    const __m256i by_next = _mm256_shuffle_epi8(repeated(utf8::rules_of_next_high), high_halves(bytes));
    const __m256i broken = _mm256_and_si256(_mm256_and_si256(by_high, by_low), by_next);

    const __m256i third = _mm256_subs_epu8(load(text - 2), repeated(utf8::below_lead_of_three));
    const __m256i fourth = _mm256_subs_epu8(load(text - 3), repeated(utf8::below_lead_of_four));
    const __m256i due = _mm256_and_si256(_mm256_or_si256(third, fourth), repeated(utf8::second_continuation));
    const __m256i faults = _mm256_xor_si256(broken, due);
    return _mm256_testz_si256(faults, faults) == 0;
}

/// Checks the `width` bytes at `text` and the `look_back` bytes before them.
WSSERVER_TARGET inline bool is_ascii(const std::uint8_t* text) noexcept {
    return _mm256_movemask_epi8(_mm256_or_si256(load(text), load(text - look_back))) == 0;
}

}  // namespace avx2_utf8

WSSERVER_TARGET bool valid_utf8_avx2(const std::uint8_t* text, std::size_t count) noexcept {
    using namespace avx2_utf8;
    // has_fault() reads the bytes before its register. So the beginning, or a short text, is checked in a copy that has
    // zeros before it.
    alignas(width) std::uint8_t beginning[3 * width] = {};
    std::uint8_t* const copy = beginning + width;
    if (count < width + look_back) {
        for (std::size_t i = 0; i < count; ++i) copy[i] = text[i];
        return !has_fault(copy) && (count <= width || !has_fault(copy + look_back));
    }
    if (_mm256_movemask_epi8(load(text)) != 0) {  // ASCII needs no copy
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
#undef WSSERVER_TARGET
#endif
