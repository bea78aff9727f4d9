// Several short strings in one allocation, for strings that many objects have and few callers read.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

namespace wsserver {

/// Immutable strings in an object of the size of a pointer. Each string ends with a zero byte, so no length is stored
/// that could overflow. Reading a string walks over the strings before it.
class PackedStrings {
   public:
    PackedStrings() noexcept = default;
    /// Cuts each text at its first zero byte.
    PackedStrings(std::initializer_list<std::string_view> texts)
        : PackedStrings(std::span<const std::string_view>{texts.begin(), texts.size()}) {}
    /// Same.
    explicit PackedStrings(std::span<const std::string_view> texts) {
        std::size_t size = 0;
        for (const std::string_view text : texts) size += text.size() + 1;
        bytes_ = std::make_unique<char[]>(size);  // all zero
        char* end = bytes_.get();
        for (const std::string_view text : texts) {
            end = std::copy_n(text.data(), std::min(text.size(), text.find('\0')), end) + 1;
        }
    }

    /// Whether it was default-constructed or moved from: there are no strings.
    bool empty() const noexcept { return !bytes_; }
    /// String number `number`, counted from 0. The result is valid until this object is assigned to or destroyed; a
    /// move keeps it valid. Precondition: there are more than `number` strings.
    std::string_view operator[](std::size_t number) const noexcept {
        const char* text = bytes_.get();
        for (; number > 0; --number) text += std::string_view{text}.size() + 1;
        return text;
    }

   private:
    std::unique_ptr<char[]> bytes_;
};

}  // namespace wsserver
