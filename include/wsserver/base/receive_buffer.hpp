// Memory of a message that the transport receives into, so that the payload need not be copied.
#pragma once

#include <cstddef>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/pooled_buffer.hpp"

namespace wsserver {

/// Memory and the part of it that may be overwritten: `size` bytes from byte `begin` on.
struct ReceiveBuffer {
    PooledBuffer memory{};
    std::size_t begin = 0;
    std::size_t size = 0;

    bool empty() const noexcept { return size == 0; }
    MutableBytes bytes() const noexcept { return {memory.data() + begin, size}; }
};

}  // namespace wsserver
