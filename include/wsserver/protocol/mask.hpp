// Masking and unmasking of payloads (RFC 6455 §5.3).
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

/// The key twice, in memory order, rotated so that its first byte masks byte `phase` of the payload.
inline std::uint64_t masking_word(const MaskingKey& key, std::size_t phase) noexcept {
    std::uint32_t half;
    std::memcpy(&half, key.data(), 4);
    return rotated(std::uint64_t{half} << 32 | half, phase);
}

/// The size in bytes from which on a kernel is faster than mask_words().
inline constexpr std::size_t wide_mask_from = 128;

/// Precondition: `to` and `from` are equal or do not overlap.
inline void mask_bytes(std::uint8_t* to, const std::uint8_t* from, std::size_t count, const MaskingKey& key,
                       std::size_t phase) noexcept {
    const std::uint64_t mask = masking_word(key, phase);
    if (count >= wide_mask_from) return mask_wide(to, from, count, mask);
    mask_words(to, from, count, mask);
}

}  // namespace detail

/// Masks or unmasks `payload` in place. Both are the same operation.
///
/// payload  bytes of one frame's payload, which may be cut anywhere
/// phase    how many bytes of the frame's payload are before these
inline void apply_mask(MutableBytes payload, const MaskingKey& key, std::size_t phase = 0) noexcept {
    detail::mask_bytes(payload.data(), payload.data(), payload.size(), key, phase);
}

/// Copies and masks `from` to `to` in one pass. `phase` is that of apply_mask().
/// Preconditions: `to` has at least as many bytes as `from`, and they do not overlap.
inline void copy_masked(MutableBytes to, Bytes from, const MaskingKey& key, std::size_t phase = 0) noexcept {
    assert(to.size() >= from.size());
    detail::mask_bytes(to.data(), from.data(), from.size(), key, phase);
}

}  // namespace wsserver
