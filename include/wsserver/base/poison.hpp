// For memory that is given out piece by piece: the address sanitizer, where a program is built with it, is told which
// pieces nobody may use. Otherwise it would take them for alive.
#pragma once

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

/// Who uses these `size` bytes from now on is reported. Without the sanitizer nothing happens.
inline void poison([[maybe_unused]] void* bytes, [[maybe_unused]] std::size_t size) noexcept {
#ifdef WSSERVER_POISONS
    __asan_poison_memory_region(bytes, size);
#endif
}
/// From now on they may be used.
inline void unpoison([[maybe_unused]] void* bytes, [[maybe_unused]] std::size_t size) noexcept {
#ifdef WSSERVER_POISONS
    __asan_unpoison_memory_region(bytes, size);
#endif
}

}  // namespace wsserver::detail
