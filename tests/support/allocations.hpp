// Counts what the program allocates by new, and refuses it where a test wants that. Replaces the operators, so only one
// source of a program may include it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace wsserver::test {

inline std::atomic<std::size_t> allocations{0};   ///< calls so far
inline std::atomic<std::size_t> bytes_in_use{0};  ///< as asked for

/// There is no memory for so much or more, on this thread.
inline thread_local std::size_t too_much = std::numeric_limits<std::size_t>::max();

/// Of each block, to remember its size.
inline constexpr std::size_t bytes_before_block = 16;

}  // namespace wsserver::test

// Every form that is used: where one is left out, a sanitizer's own would come in between. Those that do the work
// aren't inlined, or the compiler takes free() for the wrong partner of new.
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
