// A fuzzer's octets read as decisions; when they run out, every answer is nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "wsserver/base/bytes.hpp"

namespace wsserver::fuzz {

/// What must hold, in every build: a fuzzer looks for the abort.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

class FuzzInput {
   public:
    explicit FuzzInput(Bytes octets) noexcept : rest_(octets) {}

    bool empty() const noexcept { return rest_.empty(); }

    std::uint8_t octet() noexcept { return rest_.empty() ? std::uint8_t{0} : take(1)[0]; }
    bool flag() noexcept { return (octet() & 1) != 0; }
    /// 0 to bound - 1; `bound` at most 65536.
    std::size_t below(std::size_t bound) noexcept {
        const auto high = octet();
        return (std::size_t{high} << 8 | octet()) % bound;
    }
    /// At most `count` octets.
    Bytes take(std::size_t count) noexcept {
        const Bytes taken = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    Bytes rest() noexcept { return take(rest_.size()); }

   private:
    Bytes rest_;
};

/// A copy in memory of exactly its size, so that a sanitizer sees the first octet beyond.
class ExactCopy {
   public:
    explicit ExactCopy(Bytes octets) : memory_(new std::uint8_t[octets.size()]), size_(octets.size()) {
        std::copy(octets.begin(), octets.end(), memory_.get());
    }
    MutableBytes bytes() const noexcept { return {memory_.get(), size_}; }

   private:
    std::unique_ptr<std::uint8_t[]> memory_;
    std::size_t size_;
};

}  // namespace wsserver::fuzz
