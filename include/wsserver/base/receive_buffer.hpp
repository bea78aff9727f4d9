// Where a message's bytes can be received straight into the message.
#pragma once

#include <cstddef>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/pooled_buffer.hpp"

namespace wsserver {

/// Memory that is lent, with its owner: from byte `begin` on, `size` bytes may be overwritten.
struct ReceiveBuffer {
    PooledBuffer memory{};
    std::size_t begin = 0;
    std::size_t size = 0;

    bool empty() const noexcept { return size == 0; }
    MutableBytes bytes() const noexcept { return {memory.data() + begin, size}; }
};

}  // namespace wsserver
