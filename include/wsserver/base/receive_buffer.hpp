// Memory of a message that the transport receives into, so that the payload need not be copied.
#pragma once

#include <cstddef>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/pooled_buffer.hpp"

namespace wsserver {

/// Memory and the part of it that may be overwritten: `size` bytes from byte `begin` on.
struct ReceiveBuffer {
    PooledBuffer memory{};  ///< none in an empty buffer
    std::size_t begin = 0;  ///< in bytes; what is before it must not be changed
    std::size_t size = 0;   ///< in bytes; 0: nothing can be received

    /// Whether there are no bytes to receive into.
    bool empty() const noexcept { return size == 0; }
    /// The bytes to receive into. Valid as long as `memory`.
    MutableBytes bytes() const noexcept { return {memory.data() + begin, size}; }
};

}  // namespace wsserver
