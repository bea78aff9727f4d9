// Chooses the kernel for this processor.
#pragma once

#include <atomic>
#include <cstddef>

#include "wsserver/base/detail/kernels/kernels.hpp"
#include "wsserver/base/kernels.hpp"

namespace wsserver::detail {
namespace {

constexpr Kernel kernels[] = {
    {"portable", mask_portable, valid_utf8_portable},
#if defined(WSSERVER_KERNELS_X86)
    {"avx2", mask_avx2, valid_utf8_avx2},
    {"avx512", mask_avx512, valid_utf8_avx512},
#elif defined(WSSERVER_KERNELS_NEON)
    {"neon", mask_neon, valid_utf8_neon},
#endif
};

std::size_t usable_count() noexcept {
#if defined(WSSERVER_KERNELS_X86)
    __builtin_cpu_init();  // needed in a static object's constructor
    if (!__builtin_cpu_supports("avx2")) return 1;
    // Processors with VBMI2 do not lower their clock for wide registers.
    const bool wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2");
    return wide ? 3 : 2;
#else
    return std::size(kernels);
#endif
}

void choose_and_mask(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept;
bool choose_and_check(const std::uint8_t* text, std::size_t count) noexcept;

// The first call chooses. Several first calls at the same time make the same choice.
constinit std::atomic<decltype(Kernel::mask)> chosen_mask{choose_and_mask};
constinit std::atomic<decltype(Kernel::valid_utf8)> chosen_check{choose_and_check};

void choose_and_mask(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    const auto best = usable_kernels().back().mask;
    chosen_mask.store(best, std::memory_order_relaxed);
    best(to, from, count, mask);
}

bool choose_and_check(const std::uint8_t* text, std::size_t count) noexcept {
    const auto best = usable_kernels().back().valid_utf8;
    chosen_check.store(best, std::memory_order_relaxed);
    return best(text, count);
}

}  // namespace

std::span<const Kernel> usable_kernels() noexcept { return std::span{kernels}.first(usable_count()); }

void mask_wide(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    chosen_mask.load(std::memory_order_relaxed)(to, from, count, mask);
}

bool valid_utf8_wide(const std::uint8_t* text, std::size_t count) noexcept {
    return chosen_check.load(std::memory_order_relaxed)(text, count);
}

}  // namespace wsserver::detail
