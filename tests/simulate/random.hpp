// Numbers that depend on the seed only, on every machine and with every standard library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wsserver::simulate {

/// A SplitMix64 generator.
class Random {
   public:
    explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    /// A number from 0 to `count` - 1. Precondition: `count` is not 0.
    std::size_t below(std::size_t count) noexcept { return static_cast<std::size_t>(next() % count); }
    /// True in `percent` of 100 calls.
    bool chance(std::size_t percent) noexcept { return below(100) < percent; }
    /// True in one of `count` calls.
    bool one_in(std::size_t count) noexcept { return below(count) == 0; }
    /// From 1 to `most`. Each power of two is as likely as the next.
    std::size_t size(std::size_t most) noexcept {
        std::size_t bits = 1;
        while (bits < 63 && (std::size_t{1} << bits) < most) ++bits;
        const std::size_t limit = std::size_t{1} << (1 + below(bits));
        return 1 + below(limit < most ? limit : most);
    }
    template <class T, std::size_t n>
    T one_of(const T (&values)[n]) noexcept {
        return values[below(n)];
    }

   private:
    std::uint64_t state_;
};

}  // namespace wsserver::simulate
