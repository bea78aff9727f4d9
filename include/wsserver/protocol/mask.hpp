// Masking (RFC 6455 §5.3): exclusive or with four bytes, eight and more bytes at a time.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/kernels.hpp"
#include "wsserver/base/mask_words.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

namespace detail {

/// The key twice, its bytes in the order of memory, turned so that the first one fits payload byte `phase`.
inline std::uint64_t masking_word(const MaskingKey& key, std::size_t phase) noexcept {
    std::uint32_t half;
    std::memcpy(&half, key.data(), 4);
    return rotated(std::uint64_t{half} << 32 | half, phase);
}

/// From here on it pays to call a kernel.
inline constexpr std::size_t wide_mask_from = 128;

/// `to` may be `from`; otherwise they don't overlap.
inline void mask_bytes(std::uint8_t* to, const std::uint8_t* from, std::size_t count, const MaskingKey& key,
                       std::size_t phase) noexcept {
    const std::uint64_t mask = masking_word(key, phase);
    if (count >= wide_mask_from) return mask_wide(to, from, count, mask);
    mask_words(to, from, count, mask);
}

}  // namespace detail

/// Masks or unmasks in place; the two are the same.
/// phase  how many bytes of the frame's payload came before these: a payload may be cut anywhere
inline void apply_mask(MutableBytes payload, const MaskingKey& key, std::size_t phase = 0) noexcept {
    detail::mask_bytes(payload.data(), payload.data(), payload.size(), key, phase);
}

/// Copies and masks in one pass.
/// Preconditions: `to` holds as many bytes as `from`, and they don't overlap.
inline void copy_masked(MutableBytes to, Bytes from, const MaskingKey& key, std::size_t phase = 0) noexcept {
    assert(to.size() >= from.size());
    detail::mask_bytes(to.data(), from.data(), from.size(), key, phase);
}

}  // namespace wsserver
