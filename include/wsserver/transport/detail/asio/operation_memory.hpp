// Memory for operations of Asio that must not fail: waits and posts that go on for as long as their owner lives.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace wsserver::detail {

/// The memory of one operation at a time. It is a part of an object that the handlers of its operations keep alive. A
/// further operation, or one of a version of Asio that needs more, is allocated.
class OperationMemory {
   public:
    OperationMemory() = default;
    OperationMemory(const OperationMemory&) = delete;
    OperationMemory& operator=(const OperationMemory&) = delete;

    void* allocate(std::size_t bytes) {
        if (bytes > size || std::exchange(taken_, true)) return ::operator new(bytes);
        return place_;
    }
    void free(void* place) noexcept {
        if (place != place_) return ::operator delete(place);
        taken_ = false;
    }

   private:
    static constexpr std::size_t size = 192;

    bool taken_ = false;
    alignas(void*) std::byte place_[size];
};

/// A handler whose operation is in an OperationMemory.
template <class F>
class InMemory {
   public:
    InMemory(OperationMemory& memory, F f) : f_(std::move(f)), memory_(&memory) {}

    template <class... Args>
    void operator()(Args&&... args) {
        f_(std::forward<Args>(args)...);
    }

    template <class T>
    struct Allocator {
        using value_type = T;

        explicit Allocator(OperationMemory* its_memory) noexcept : memory(its_memory) {}
        template <class U>
        Allocator(const Allocator<U>& other) noexcept : memory(other.memory) {}
        T* allocate(std::size_t count) const { return static_cast<T*>(memory->allocate(count * sizeof(T))); }
        void deallocate(T* place, std::size_t) const noexcept { memory->free(place); }
        friend bool operator==(const Allocator& a, const Allocator& b) noexcept { return a.memory == b.memory; }

        OperationMemory* memory;
    };
    using allocator_type = Allocator<void>;
    allocator_type get_allocator() const noexcept { return allocator_type{memory_}; }

   private:
    F f_;
    OperationMemory* memory_;
};

}  // namespace wsserver::detail
