// A fuzzer's bytes read as decisions; when they run out, every answer is nothing.
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
    explicit FuzzInput(Bytes bytes) noexcept : rest_(bytes) {}

    bool empty() const noexcept { return rest_.empty(); }

    std::uint8_t byte() noexcept { return rest_.empty() ? std::uint8_t{0} : take(1)[0]; }
    bool flag() noexcept { return (byte() & 1) != 0; }
    /// 0 to bound - 1; `bound` at most 65536.
    std::size_t below(std::size_t bound) noexcept {
        const auto high = byte();
        return (std::size_t{high} << 8 | byte()) % bound;
    }
    /// At most `count` bytes.
    Bytes take(std::size_t count) noexcept {
        const Bytes taken = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    Bytes rest() noexcept { return take(rest_.size()); }

   private:
    Bytes rest_;
};

/// A copy in memory of exactly its size, so that a sanitizer sees the first byte beyond.
class ExactCopy {
   public:
    explicit ExactCopy(Bytes bytes) : memory_(new std::uint8_t[bytes.size()]), size_(bytes.size()) {
        std::copy(bytes.begin(), bytes.end(), memory_.get());
    }
    MutableBytes bytes() const noexcept { return {memory_.get(), size_}; }

   private:
    std::unique_ptr<std::uint8_t[]> memory_;
    std::size_t size_;
};

}  // namespace wsserver::fuzz
