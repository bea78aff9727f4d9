// UTF-8 where nothing is known of the processor.
#include "kernels.hpp"
#include "wsserver/utf8.hpp"

namespace wsserver::detail {

bool valid_utf8_portable(const std::uint8_t* text, std::size_t count) noexcept {
    return utf8::advance(utf8::accept, {text, count}) == utf8::accept;
}

}  // namespace wsserver::detail
