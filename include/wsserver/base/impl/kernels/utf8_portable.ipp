// UTF-8 validation for any processor.
#pragma once

#include "wsserver/base/detail/kernels/kernels.hpp"
#include "wsserver/base/utf8.hpp"

namespace wsserver::detail {

bool valid_utf8_portable(const std::uint8_t* text, std::size_t count) noexcept {
    return utf8::advance(utf8::accept, {text, count}) == utf8::accept;
}

}  // namespace wsserver::detail
