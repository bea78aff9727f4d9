// Declarations of the kernels. Attributes on their functions select the instruction set, so that one library contains
// all kernels. choice.ipp chooses one at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#define WSSERVER_KERNELS_X86 1
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define WSSERVER_KERNELS_NEON 1
#endif

namespace wsserver::detail {

void mask_portable(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
bool valid_utf8_portable(const std::uint8_t* text, std::size_t count) noexcept;

#if defined(WSSERVER_KERNELS_X86)
void mask_avx2(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
bool valid_utf8_avx2(const std::uint8_t* text, std::size_t count) noexcept;

void mask_avx512(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
bool valid_utf8_avx512(const std::uint8_t* text, std::size_t count) noexcept;
#elif defined(WSSERVER_KERNELS_NEON)
void mask_neon(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
bool valid_utf8_neon(const std::uint8_t* text, std::size_t count) noexcept;
#endif

}  // namespace wsserver::detail
