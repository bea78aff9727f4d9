// Masking where nothing is known of the processor.
#include "kernels.hpp"
#include "wsserver/mask.hpp"

namespace wsserver::detail {

void mask_portable(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::uint64_t mask) noexcept {
    mask_words(to, from, count, mask);
}

}  // namespace wsserver::detail
