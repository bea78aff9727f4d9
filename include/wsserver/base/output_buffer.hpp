// A growing buffer for encoded frames: a thread's arena on the hot path, a plain buffer in a test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/pooled_buffer.hpp"

namespace wsserver {

/// A growing array of bytes. Unlike std::vector it leaves new bytes uninitialised, as they will be overwritten.
/// Views of its bytes are valid until it grows, gives its memory away or is destroyed.
/// Calls that grow it throw std::bad_alloc if there is no memory; the bytes are unchanged then.
class OutputBuffer {
   public:
    OutputBuffer() = default;

    std::size_t size() const noexcept { return size_; }  ///< in bytes
    bool empty() const noexcept { return size_ == 0; }   ///< whether size() is 0
    /// The bytes from the first to the last. See the class for how long the view is valid.
    Bytes bytes() const noexcept { return {memory_.data(), size_}; }
    /// Same, for changing them in place.
    MutableBytes bytes() noexcept { return {memory_.data(), size_}; }

    /// Appends `count` uninitialised bytes and returns them.
    MutableBytes extend(std::size_t count) {
        if (capacity() - size_ < count) grow_to(std::max(size_ + count, capacity() * 2));
        const MutableBytes fresh{memory_.data() + size_, count};
        size_ += count;
        return fresh;
    }

    /// Allocates memory for `count` more bytes at once.
    void reserve(std::size_t count) {
        if (capacity() - size_ < count) grow_to(std::max(size_ + count, capacity() * 2));
    }

    /// Appends a copy of `bytes`, which must be outside this buffer.
    void append(Bytes bytes) {
        if (!bytes.empty()) std::memcpy(extend(bytes.size()).data(), bytes.data(), bytes.size());
    }

    /// Keeps the first `count` bytes and the memory.
    void truncate(std::size_t count) noexcept { size_ = std::min(size_, count); }
    /// Drops the bytes and keeps the memory.
    void clear() noexcept { size_ = 0; }

    /// The size of the memory in bytes: up to this size the buffer grows without an allocation.
    std::size_t capacity() const noexcept { return memory_.capacity(); }

    /// Drops the bytes and releases the memory.
    void release() noexcept {
        memory_ = {};
        size_ = 0;
    }

    /// Becomes empty and continues with the memory `fresh`. Returns the previous memory, which still has the bytes.
    PooledBuffer exchange_memory(PooledBuffer fresh) noexcept {
        size_ = 0;
        return std::exchange(memory_, std::move(fresh));
    }
    /// The reverse of exchange_memory(): continues with `memory`, of which the first `size` bytes are in use.
    void restore_memory(PooledBuffer memory, std::size_t size) noexcept {
        memory_ = std::move(memory);
        size_ = size;
    }

   private:
    void grow_to(std::size_t capacity) {
        PooledBuffer larger{capacity};
        if (size_ > 0) std::memcpy(larger.data(), memory_.data(), size_);
        memory_ = std::move(larger);
    }

    PooledBuffer memory_;
    std::size_t size_ = 0;
};

}  // namespace wsserver
