// Counts the allocations by new and makes them fail on request. A program that includes this header must link
// allocations.cpp, which replaces the global operators.
#pragma once

#include <atomic>
#include <cstddef>

namespace wsserver::test {

extern std::atomic<std::size_t> allocations;   ///< calls of new so far
extern std::atomic<std::size_t> bytes_in_use;  ///< the requested sizes of all blocks in use

/// Allocations of this many bytes or more fail on this thread.
extern constinit thread_local std::size_t too_much;

}  // namespace wsserver::test
