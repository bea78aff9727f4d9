// Contains running out of memory where a loop calls: what fails is one connection, peer or request, never the thread.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <new>
#include <utility>

namespace wsserver {

/// Calls `f`. Returns false if it ran out of memory. Passes on other exceptions.
template <class F>
[[nodiscard]] bool within_memory(F&& f) {
    try {
        std::forward<F>(f)();
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

}  // namespace wsserver
