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

std::atomic<bool> all_threads{false};
std::atomic<std::size_t> first_failure{0}, failures{0}, counted{0}, happened_so_far{0};

}  // namespace

constinit thread_local AllocationFailures::Possible AllocationFailures::here = Possible::by_default;

void AllocationFailures::on_all_threads(bool possible) noexcept { all_threads = possible; }

void AllocationFailures::from(std::size_t first, std::size_t count) noexcept {
    failures = 0;
    first_failure = first;
    counted = 0;
    happened_so_far = 0;
    failures = count;
}

std::size_t AllocationFailures::happened() noexcept { return happened_so_far; }

bool AllocationFailures::next() noexcept {
    if (failures == 0 || here == Possible::no || (here == Possible::by_default && !all_threads)) return false;
    const std::size_t number = ++counted;
    if (number < first_failure || number >= first_failure + failures) return false;
    ++happened_so_far;
    return true;
}

}  // namespace wsserver::test

using namespace wsserver::test;

// All forms that are used are replaced; otherwise a sanitizer's own form would be called. Those that do the work are
// not inlined, because the compiler would warn that free() does not match new. The counters are relaxed, so they do not
// hide a race from the thread sanitizer.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    if (size >= too_much || AllocationFailures::next()) return nullptr;
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
