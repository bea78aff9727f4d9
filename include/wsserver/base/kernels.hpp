// The two jobs that cost something for each byte, done with the widest loads that the processor has: masking
// (RFC 6455 §5.3) and the check for UTF-8 (§8.1). mask.hpp and utf8.hpp do small payloads themselves and call these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace wsserver::detail {

/// One way to do both.
struct Kernel {
    const char* name;
    /// Writes `count` bytes of `from`, each exclusive or with its byte of `mask`, to `to`; byte 8 meets the mask's
    /// first again. The mask is four bytes, twice. `to` is `from`, or they don't overlap.
    void (*mask)(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
    /// Is it UTF-8? Precondition: it doesn't end within a character, see cut_character() in utf8.hpp.
    bool (*valid_utf8)(const std::uint8_t* text, std::size_t count) noexcept;
};

/// Those that this processor can run, for tests and measurements; the last one is the one in use.
std::span<const Kernel> usable_kernels() noexcept;

/// The kernel in use. It is chosen at the first call, which may come from a static object's constructor.
void mask_wide(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
bool valid_utf8_wide(const std::uint8_t* text, std::size_t count) noexcept;

}  // namespace wsserver::detail
