// Masking (RFC 6455 §5.3) and UTF-8 validation (§8.1) with the widest registers that the processor has. Both
// touch every byte of payload. mask.hpp and utf8.hpp handle small payloads themselves and call these for large ones.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace wsserver::detail {

/// One implementation of both jobs.
struct Kernel {
    const char* name;
    /// Masks `count` bytes: writes from[i] XOR byte i % 8 of `mask`, in memory order, to to[i].
    /// `mask` is the masking key, twice. `to` and `from` are equal or do not overlap.
    void (*mask)(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
    /// Returns whether the text is valid UTF-8.
    /// Precondition: the text does not end within a character, see incomplete_tail() in utf8.hpp.
    bool (*valid_utf8)(const std::uint8_t* text, std::size_t count) noexcept;
};

/// The kernels that this processor can run, for tests and benchmarks. The last one is in use.
std::span<const Kernel> usable_kernels() noexcept;

/// Call the kernel in use. The first call chooses it. Any thread may call, even before main().
void mask_wide(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
bool valid_utf8_wide(const std::uint8_t* text, std::size_t count) noexcept;

}  // namespace wsserver::detail
