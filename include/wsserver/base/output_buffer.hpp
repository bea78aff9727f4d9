// The place encoded frames are written to: a thread's arena on the hot path, a buffer in a test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/pooled_buffer.hpp"

namespace wsserver {

/// A growing run of bytes. Unlike std::vector it doesn't zero what is about to be overwritten.
/// Pointers into it are valid until the next call that makes it longer.
class OutputBuffer {
   public:
    OutputBuffer() = default;

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    Bytes bytes() const noexcept { return {memory_.data(), size_}; }
    MutableBytes bytes() noexcept { return {memory_.data(), size_}; }

    /// Makes it `count` bytes longer and returns these, uninitialised.
    MutableBytes extend(std::size_t count) {
        if (capacity() - size_ < count) grow_to(std::max(size_ + count, capacity() * 2));
        const MutableBytes fresh{memory_.data() + size_, count};
        size_ += count;
        return fresh;
    }

    /// Allocates for `count` more bytes, so that they don't make it grow step by step.
    void reserve(std::size_t count) {
        if (capacity() - size_ < count) grow_to(std::max(size_ + count, capacity() * 2));
    }

    void append(Bytes bytes) {
        if (!bytes.empty()) std::memcpy(extend(bytes.size()).data(), bytes.data(), bytes.size());
    }

    /// Forgets all but the first `count` bytes, keeps the memory.
    void truncate(std::size_t count) noexcept { size_ = std::min(size_, count); }
    void clear() noexcept { size_ = 0; }

    std::size_t capacity() const noexcept { return memory_.capacity(); }

    /// Gives the memory back.
    void release() noexcept {
        memory_ = {};
        size_ = 0;
    }

    /// Becomes empty and goes on in `fresh`. Returns where the bytes lie, for whoever still needs them.
    PooledBuffer exchange_memory(PooledBuffer fresh) noexcept {
        size_ = 0;
        return std::exchange(memory_, std::move(fresh));
    }
    /// The reverse: its memory is back, with `size` bytes in it.
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
