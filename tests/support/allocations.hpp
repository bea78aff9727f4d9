// Counts the allocations by new, and lets them fail where a test wants that. Defines the global operators, so only one
// source file of a program may include it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace wsserver::test {

inline std::atomic<std::size_t> allocations{0};   ///< calls of new so far
inline std::atomic<std::size_t> bytes_in_use{0};  ///< the requested sizes of all blocks in use

/// Allocations of this many bytes or more fail on this thread.
inline thread_local std::size_t too_much = std::numeric_limits<std::size_t>::max();

/// The bytes before each block, which store its size.
inline constexpr std::size_t bytes_before_block = 16;

}  // namespace wsserver::test

// Defines every form that is used, as a sanitizer would provide the others. The forms that call malloc() and free() are
// not inlined: otherwise the compiler warns that free() does not match new.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    using namespace wsserver::test;
    if (size >= too_much) return nullptr;
    auto* block = static_cast<std::uint8_t*>(std::malloc(size + bytes_before_block));
    if (block == nullptr) return nullptr;
    std::memcpy(block, &size, sizeof size);
    ++allocations;
    bytes_in_use += size;
    return block + bytes_before_block;
}
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (void* place = operator new(size, std::nothrow)) return place;
    throw std::bad_alloc{};
}
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return operator new(size, std::nothrow); }

[[gnu::noinline]] void operator delete(void* place) noexcept {
    using namespace wsserver::test;
    if (place == nullptr) return;
    auto* block = static_cast<std::uint8_t*>(place) - bytes_before_block;
    std::size_t size = 0;
    std::memcpy(&size, block, sizeof size);
    bytes_in_use -= size;
    std::free(block);
}
void operator delete(void* place, std::size_t) noexcept { operator delete(place); }
void operator delete(void* place, const std::nothrow_t&) noexcept { operator delete(place); }
void operator delete[](void* place) noexcept { operator delete(place); }
void operator delete[](void* place, std::size_t) noexcept { operator delete(place); }
void operator delete[](void* place, const std::nothrow_t&) noexcept { operator delete(place); }
