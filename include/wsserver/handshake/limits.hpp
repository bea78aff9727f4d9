// How much a peer may send in the opening handshake.
#pragma once

#include <cstddef>

namespace wsserver {

/// Of the header of a request or response. A peer that exceeds them is refused at once, not when its header is
/// complete.
struct HandshakeLimits {
    std::size_t max_header = 16 * 1024;  ///< bytes from the first line to the empty one, line ends counted
    std::size_t max_fields = 100;
};

}  // namespace wsserver
