// Keeps large buffers for the thread that destroys them.
#pragma once

#include "wsserver/base/pooled_buffer.hpp"

#include <algorithm>
#include <array>

namespace wsserver {

namespace {

struct Memory {
    std::uint8_t* data;
    std::size_t capacity;
};

/// Set when `kept_buffers` is destroyed: thread-local objects that are destroyed later free their buffers instead.
thread_local bool thread_is_ending = false;

/// The buffers that one thread keeps, the newest last. Allocates nothing, as buffers are also given back when memory
/// has run out.
class KeptBuffers {
   public:
    KeptBuffers() = default;
    KeptBuffers(const KeptBuffers&) = delete;
    KeptBuffers& operator=(const KeptBuffers&) = delete;
    ~KeptBuffers() {
        thread_is_ending = true;
        drop_oldest(count_);
    }

    /// Takes the newest buffer of `capacity` to twice `capacity` bytes; the newest may still be in the processor's
    /// cache. Returns a null pointer if there is no such buffer.
    Memory take(std::size_t capacity) noexcept {
        for (std::size_t i = count_; i-- > 0;) {
            const Memory found = all_[i];
            if (found.capacity < capacity || found.capacity > 2 * capacity) continue;
            std::copy(all_.begin() + i + 1, all_.begin() + count_, all_.begin() + i);
            --count_;
            bytes_ -= found.capacity;
            return found;
        }
        return {nullptr, 0};
    }

    void keep(Memory memory) noexcept {
        if (memory.capacity > PooledBuffer::most_kept) {
            delete[] memory.data;
            return;
        }
        std::size_t too_old = 0;
        bytes_ += memory.capacity;
        for (; bytes_ > PooledBuffer::most_kept; ++too_old) bytes_ -= all_[too_old].capacity;
        drop_oldest(too_old);
        all_[count_++] = memory;
    }

   private:
    void drop_oldest(std::size_t count) noexcept {
        for (std::size_t i = 0; i < count; ++i) delete[] all_[i].data;
        std::copy(all_.begin() + count, all_.begin() + count_, all_.begin());
        count_ -= count;
    }

    std::array<Memory, PooledBuffer::most_kept / PooledBuffer::large> all_{};
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

thread_local KeptBuffers kept_buffers;

}  // namespace

PooledBuffer::PooledBuffer(std::size_t at_least) : capacity_(at_least) {
    if (at_least >= large) {
        capacity_ = (at_least + large - 1) / large * large;
        const Memory found = thread_is_ending ? Memory{nullptr, 0} : kept_buffers.take(capacity_);
        if (found.data != nullptr) {
            data_ = found.data;
            capacity_ = found.capacity;
            return;
        }
    }
    data_ = new std::uint8_t[capacity_];
}

void PooledBuffer::give_back() noexcept {
    if (capacity_ < large || thread_is_ending) {
        delete[] data_;
    } else {
        kept_buffers.keep({data_, capacity_});
    }
}

}  // namespace wsserver
