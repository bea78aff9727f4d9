// The operators new and delete of a program that counts its allocations.
#include "support/allocations.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "wsserver/base/poison.hpp"

namespace wsserver::test {

std::atomic<std::size_t> allocations{0};
std::atomic<std::size_t> bytes_in_use{0};
constinit thread_local std::size_t too_much = std::numeric_limits<std::size_t>::max();

namespace {

/// Space before each block, which stores the block's size.
constexpr std::size_t bytes_before_block = 16;

}  // namespace
}  // namespace wsserver::test

using namespace wsserver::test;

// All forms that are used are replaced; otherwise a sanitizer's own form would be called. Those that do the work are
// not inlined, because the compiler would warn that free() does not match new. The counters are relaxed, so they do not
// hide a race from the thread sanitizer.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    if (size >= too_much) return nullptr;
    auto* block = static_cast<std::uint8_t*>(std::malloc(size + bytes_before_block));
    if (block == nullptr) return nullptr;
    std::memcpy(block, &size, sizeof size);
    wsserver::detail::poison(block, bytes_before_block);
    allocations.fetch_add(1, std::memory_order_relaxed);
    bytes_in_use.fetch_add(size, std::memory_order_relaxed);
    return block + bytes_before_block;
}
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (void* place = operator new(size, std::nothrow)) return place;
    throw std::bad_alloc{};
}
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return operator new(size, std::nothrow); }

[[gnu::noinline]] void operator delete(void* place) noexcept {
    if (place == nullptr) return;
    auto* block = static_cast<std::uint8_t*>(place) - bytes_before_block;
    wsserver::detail::unpoison(block, bytes_before_block);
    std::size_t size = 0;
    std::memcpy(&size, block, sizeof size);
    bytes_in_use.fetch_sub(size, std::memory_order_relaxed);
    std::free(block);
}
void operator delete(void* place, std::size_t) noexcept { operator delete(place); }
void operator delete(void* place, const std::nothrow_t&) noexcept { operator delete(place); }
void operator delete[](void* place) noexcept { operator delete(place); }
void operator delete[](void* place, std::size_t) noexcept { operator delete(place); }
void operator delete[](void* place, const std::nothrow_t&) noexcept { operator delete(place); }
