// Views of bytes, which own nothing, and big-endian numbers in them.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace wsserver {

/// A read-only view of bytes. It does not own them.
using Bytes = std::span<const std::uint8_t>;

/// A view of bytes that may be changed. Payload is unmasked in place.
using MutableBytes = std::span<std::uint8_t>;

/// The bytes of `text`. The result is valid as long as `text` is.
inline Bytes bytes_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// `bytes` as characters. Checks nothing. The result is valid as long as `bytes` is.
inline std::string_view text_of(Bytes bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Reads a number in network byte order from the first sizeof(Unsigned) bytes of `from`.
/// Precondition: `from` has at least sizeof(Unsigned) bytes.
template <class Unsigned>
requires std::is_unsigned_v<Unsigned>
constexpr Unsigned load_big_endian(Bytes from) noexcept {
    Unsigned value = 0;
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
        value = static_cast<Unsigned>((value << 8) | from[i]);
    }
    return value;
}

/// Writes `value` in network byte order into the first sizeof(Unsigned) bytes of `to`.
/// Precondition: `to` has at least sizeof(Unsigned) bytes.
template <class Unsigned>
requires std::is_unsigned_v<Unsigned>
constexpr void store_big_endian(MutableBytes to, Unsigned value) noexcept {
    for (std::size_t i = sizeof(Unsigned); i-- > 0;) {
        to[i] = static_cast<std::uint8_t>(value);
        if constexpr (sizeof(Unsigned) > 1) value = static_cast<Unsigned>(value >> 8);
    }
}

}  // namespace wsserver
