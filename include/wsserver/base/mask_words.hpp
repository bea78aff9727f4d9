// Masking by words: XOR with the masking key, eight or more bytes at a time.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace wsserver::detail {

/// The mask for payload that begins `by` bytes later.
inline std::uint64_t rotated(std::uint64_t mask, std::size_t by) noexcept {
    const int turn = static_cast<int>(8 * (by & 3));
    return std::endian::native == std::endian::little ? std::rotr(mask, turn) : std::rotl(mask, turn);
}

/// `count` words that are read, masked and stored together. Compilers turn them into vectors.
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

/// Masks `count` bytes: from Words::size to twice Words::size. The first and the last Words::size bytes may overlap, so
/// both are read before either is stored.
template <class Words>
inline void mask_ends(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    const Words first{from, mask};
    const Words last{from + count - Words::size, rotated(mask, count)};
    first.store(to);
    last.store(to + count - Words::size);
}

/// Masks any number of bytes on any processor. The parameters are those of Kernel::mask.
inline void mask_words(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    using Block = MaskedWords<std::uint64_t, 4>;
    if (count >= Block::size) {
        const Block last{from + count - Block::size, rotated(mask, count)};
        for (std::size_t at = 0; at + Block::size <= count; at += Block::size) Block{from + at, mask}.store(to + at);
        return last.store(to + count - Block::size);
    }
    if (count >= 16) return mask_ends<MaskedWords<std::uint64_t, 2>>(to, from, count, mask);
    if (count >= 8) return mask_ends<MaskedWords<std::uint64_t, 1>>(to, from, count, mask);
    if (count >= 4) return mask_ends<MaskedWords<std::uint32_t, 1>>(to, from, count, mask);
    for (std::size_t i = 0; i < count; ++i) MaskedWords<std::uint8_t, 1>{from + i, rotated(mask, i)}.store(to + i);
}

}  // namespace wsserver::detail
