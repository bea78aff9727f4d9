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

/// Which allocations fail, counted on the threads where they may.
class AllocationFailures {
   public:
    /// Where allocations may fail: on threads with `yes`, and with `by_default` after on_all_threads(true).
    enum class Possible : unsigned char { by_default, yes, no };
    static void on_all_threads(bool possible) noexcept;
    /// Makes the allocations from number `first` on fail, `count` in a row; 1 is the next one.
    static void from(std::size_t first, std::size_t count) noexcept;
    static void none() noexcept { from(0, 0); }
    /// The number of allocations that have failed since from().
    static std::size_t happened() noexcept;
    /// For operator new: counts an allocation, and returns true if it must fail.
    static bool next() noexcept;

    static constinit thread_local Possible here;  ///< on this thread
};

/// Sets AllocationFailures::here for its lifetime.
template <AllocationFailures::Possible possible>
class AllocationScope {
   public:
    AllocationScope() noexcept : before_(AllocationFailures::here) { AllocationFailures::here = possible; }
    AllocationScope(const AllocationScope&) = delete;
    AllocationScope& operator=(const AllocationScope&) = delete;
    ~AllocationScope() { AllocationFailures::here = before_; }

   private:
    const AllocationFailures::Possible before_;
};
using AllocationsMayFail = AllocationScope<AllocationFailures::Possible::yes>;
using AllocationsSucceed = AllocationScope<AllocationFailures::Possible::no>;

}  // namespace wsserver::test
