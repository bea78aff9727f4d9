// Masking (RFC 6455 §5.3): exclusive or with four octets, eight and more octets at a time.
#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "wsserver/bytes.hpp"
#include "wsserver/kernels.hpp"
#include "wsserver/rfc6455.hpp"

namespace wsserver {

namespace detail {

/// The mask for octets that come `by` octets later.
inline std::uint64_t turned(std::uint64_t mask, std::size_t by) noexcept {
    const int turn = static_cast<int>(8 * (by & 3));
    return std::endian::native == std::endian::little ? std::rotr(mask, turn) : std::rotl(mask, turn);
}

/// The key twice, its octets in the order of memory, turned so that the first one fits payload octet `phase`.
inline std::uint64_t masking_word(const MaskingKey& key, std::size_t phase) noexcept {
    std::uint32_t half;
    std::memcpy(&half, key.data(), 4);
    return turned(std::uint64_t{half} << 32 | half, phase);
}

/// Some words of memory, read and written at once; compilers make vectors of them.
template <class Word, std::size_t count>
struct MaskedWords {
    static constexpr std::size_t size = count * sizeof(Word);
    Word words[count];

    MaskedWords(const std::uint8_t* from, std::uint64_t mask) noexcept {
        std::memcpy(words, from, size);
        for (auto& word : words) word = static_cast<Word>(word ^ static_cast<Word>(mask));
    }
    void store(std::uint8_t* to) const noexcept { std::memcpy(to, words, size); }
};

/// From one to two times as many octets as `Words` has: the first ones and the last ones, which may overlap, so both
/// are read before either is written.
template <class Words>
inline void mask_ends(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    const Words first{from, mask};
    const Words last{from + count - Words::size, turned(mask, count)};
    first.store(to);
    last.store(to + count - Words::size);
}

/// Any number of octets, as well as it goes without knowing the processor. Parameters as of Kernel::mask.
inline void mask_words(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    using Block = MaskedWords<std::uint64_t, 4>;
    if (count >= Block::size) {
        const Block last{from + count - Block::size, turned(mask, count)};
        for (std::size_t at = 0; at + Block::size <= count; at += Block::size) Block{from + at, mask}.store(to + at);
        return last.store(to + count - Block::size);
    }
    if (count >= 16) return mask_ends<MaskedWords<std::uint64_t, 2>>(to, from, count, mask);
    if (count >= 8) return mask_ends<MaskedWords<std::uint64_t, 1>>(to, from, count, mask);
    if (count >= 4) return mask_ends<MaskedWords<std::uint32_t, 1>>(to, from, count, mask);
    for (std::size_t i = 0; i < count; ++i) MaskedWords<std::uint8_t, 1>{from + i, turned(mask, i)}.store(to + i);
}

/// From here on it pays to call a kernel.
inline constexpr std::size_t wide_mask_from = 128;

/// `to` may be `from`; otherwise they don't overlap.
inline void mask_octets(std::uint8_t* to, const std::uint8_t* from, std::size_t count, const MaskingKey& key,
                        std::size_t phase) noexcept {
    const std::uint64_t mask = masking_word(key, phase);
    if (count >= wide_mask_from) return mask_wide(to, from, count, mask);
    mask_words(to, from, count, mask);
}

}  // namespace detail

/// Masks or unmasks in place; the two are the same.
/// phase  how many octets of the frame's payload came before these: a payload may be cut anywhere
inline void apply_mask(MutableBytes payload, const MaskingKey& key, std::size_t phase = 0) noexcept {
    detail::mask_octets(payload.data(), payload.data(), payload.size(), key, phase);
}

/// Copies and masks in one pass.
/// Preconditions: `to` holds as many octets as `from`, and they don't overlap.
inline void copy_masked(MutableBytes to, Bytes from, const MaskingKey& key, std::size_t phase = 0) noexcept {
    assert(to.size() >= from.size());
    detail::mask_octets(to.data(), from.data(), from.size(), key, phase);
}

}  // namespace wsserver
