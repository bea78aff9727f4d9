// Memory for bytes. Large blocks are kept for the next one that a thread needs: getting new pages from the kernel
// costs more than copying into them does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace wsserver {

/// Uninitialised bytes with one owner. Large ones come from, and go back to, what the current thread has kept.
class PooledBuffer {
   public:
    /// From this size on they are kept, and capacities are multiples of it.
    static constexpr std::size_t large = std::size_t{64} << 10;
    /// What a thread keeps at most; what went back first is given up first.
    static constexpr std::size_t most_kept = std::size_t{16} << 20;

    PooledBuffer() noexcept = default;
    /// Throws std::bad_alloc.
    explicit PooledBuffer(std::size_t at_least);
    PooledBuffer(PooledBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
    PooledBuffer& operator=(PooledBuffer&& other) noexcept {
        PooledBuffer moved{std::move(other)};
        std::swap(data_, moved.data_);
        std::swap(capacity_, moved.capacity_);
        return *this;
    }
    ~PooledBuffer() {
        if (data_ != nullptr) give_back();
    }

    std::uint8_t* data() const noexcept { return data_; }
    std::size_t capacity() const noexcept { return capacity_; }

   private:
    void give_back() noexcept;

    std::uint8_t* data_ = nullptr;
    std::size_t capacity_ = 0;
};

}  // namespace wsserver
