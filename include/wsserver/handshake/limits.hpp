// How much a peer may send in the opening handshake.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>

namespace wsserver {

/// Limits for the header that a peer sends. A peer that exceeds one is refused at once, not when the header is
/// complete.
struct HandshakeLimits {
    std::size_t max_header = 16 * 1024;  ///< bytes from the first line to the empty line, including line ends
    std::size_t max_fields = 100;        ///< header fields
    /// Bytes of the path and query of an opening handshake. A server keeps them as long as the connection.
    std::size_t max_target = 4096;
};

}  // namespace wsserver
