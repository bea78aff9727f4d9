// Short texts that many objects have and few look at: one heap block for all that belong together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string_view>

namespace wsserver {

/// Texts that don't change, as large as a pointer. Each takes its bytes and one more, for a zero: no length is
/// kept that could overflow. To read one is to walk over those before it.
class PackedStrings {
   public:
    PackedStrings() noexcept = default;
    /// A text that has a zero byte ends there.
    PackedStrings(std::initializer_list<std::string_view> texts) {
        std::size_t size = 0;
        for (const std::string_view text : texts) size += text.size() + 1;
        bytes_ = std::make_unique<char[]>(size);  // all zero
        char* end = bytes_.get();
        for (const std::string_view text : texts) {
            end = std::copy_n(text.data(), std::min(text.size(), text.find('\0')), end) + 1;
        }
    }

    /// Stays where it is for as long as the texts are not replaced. Precondition: there are more than `number`.
    std::string_view operator[](std::size_t number) const noexcept {
        const char* text = bytes_.get();
        for (; number > 0; --number) text += std::string_view{text}.size() + 1;
        return text;
    }

   private:
    std::unique_ptr<char[]> bytes_;
};

}  // namespace wsserver
