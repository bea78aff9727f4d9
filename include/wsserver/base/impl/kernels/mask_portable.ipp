// Masking for any processor.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"
#include "wsserver/base/mask_words.hpp"

namespace wsserver::detail {

void mask_portable(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    mask_words(to, from, count, mask);
}

}  // namespace wsserver::detail
