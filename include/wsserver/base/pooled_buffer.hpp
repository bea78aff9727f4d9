// Memory that a thread keeps for its next large buffer: new pages from the kernel cost more than copying into them.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace wsserver {

/// Uninitialised bytes with one owner. Large buffers are taken from the memory that the current thread keeps, and go
/// back to the thread that destroys them.
class PooledBuffer {
   public:
    /// The size in bytes from which on buffers are kept. Their capacities are multiples of it.
    static constexpr std::size_t large = std::size_t{64} << 10;
    /// A thread keeps at most this many bytes. It frees the oldest buffers first.
    static constexpr std::size_t most_kept = std::size_t{16} << 20;

    PooledBuffer() noexcept = default;
    /// Allocates `at_least` bytes or more. Throws std::bad_alloc.
    explicit PooledBuffer(std::size_t at_least);
    /// Takes over the memory of `other`, which is empty then. Pointers into the memory stay valid.
    PooledBuffer(PooledBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
    /// Same; the memory that this object had is given back first.
    PooledBuffer& operator=(PooledBuffer&& other) noexcept {
        PooledBuffer moved{std::move(other)};
        std::swap(data_, moved.data_);
        std::swap(capacity_, moved.capacity_);
        return *this;
    }
    ~PooledBuffer() {
        if (data_ != nullptr) give_back();
    }

    /// The first byte; null without memory. Valid until the memory is given back.
    std::uint8_t* data() const noexcept { return data_; }
    /// The size in bytes, at least as large as requested; 0 without memory.
    std::size_t capacity() const noexcept { return capacity_; }

   private:
    void give_back() noexcept;

    std::uint8_t* data_ = nullptr;
    std::size_t capacity_ = 0;
};

}  // namespace wsserver
