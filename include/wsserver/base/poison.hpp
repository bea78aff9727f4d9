// Marks free pieces of a pool's memory as inaccessible to the address sanitizer, which otherwise knows only whole
// allocations.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)  // g++
#define WSSERVER_POISONS 1
#elif defined(__has_feature)  // clang++
#if __has_feature(address_sanitizer)
#define WSSERVER_POISONS 1
#endif
#endif
#ifdef WSSERVER_POISONS
#include <sanitizer/asan_interface.h>
#endif

namespace wsserver::detail {

/// From now on the sanitizer reports every access to these `size` bytes. Without the sanitizer this does nothing.
inline void poison([[maybe_unused]] void* bytes, [[maybe_unused]] std::size_t size) noexcept {
#ifdef WSSERVER_POISONS
    __asan_poison_memory_region(bytes, size);
#endif
}
/// From now on the `size` bytes may be used.
inline void unpoison([[maybe_unused]] void* bytes, [[maybe_unused]] std::size_t size) noexcept {
#ifdef WSSERVER_POISONS
    __asan_unpoison_memory_region(bytes, size);
#endif
}

}  // namespace wsserver::detail
