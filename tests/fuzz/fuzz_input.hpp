// Turns the bytes of a fuzzer into decisions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "wsserver/base/bytes.hpp"

namespace wsserver::fuzz {

/// Aborts if `holds` is false, in every build type. A fuzzer reports the abort.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

/// Reads decisions from the input. After its last byte, numbers are 0 and views are empty.
class FuzzInput {
   public:
    explicit FuzzInput(Bytes bytes) noexcept : rest_(bytes) {}

    bool empty() const noexcept { return rest_.empty(); }

    std::uint8_t byte() noexcept { return rest_.empty() ? std::uint8_t{0} : take(1)[0]; }
    bool flag() noexcept { return (byte() & 1) != 0; }
    /// A number from 0 to bound - 1. `bound` is 1 to 65536.
    std::size_t below(std::size_t bound) noexcept {
        const auto high = byte();
        return (std::size_t{high} << 8 | byte()) % bound;
    }
    /// The next `count` bytes, or fewer at the end.
    Bytes take(std::size_t count) noexcept {
        const Bytes taken = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    Bytes rest() noexcept { return take(rest_.size()); }

   private:
    Bytes rest_;
};

/// The rest of the input as a text: its bytes, or pieces of a grammar that random bytes alone seldom reach, with bytes
/// between them. `pieces` has 1 to 192 elements.
inline std::string text_from(FuzzInput& input, std::span<const std::string_view> pieces) {
    if (input.flag()) return std::string{text_of(input.rest())};
    std::string text;
    while (!input.empty()) {
        const auto choice = input.byte();
        if (choice < 192) {
            text += pieces[choice % pieces.size()];
        } else {
            text += text_of(input.take(choice % 16));
        }
    }
    return text;
}

/// A copy on the heap without spare bytes, so that a sanitizer reports each read beyond it.
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
