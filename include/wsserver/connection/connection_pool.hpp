// Where one reactor's connections live: slots that never move, and ids that any thread may check.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "wsserver/base/poison.hpp"
#include "wsserver/connection/connection_info.hpp"

namespace wsserver {

/// Holds `Connection`s, each with an id that is never given twice (before 2^32 - 1 others have had its slot). All
/// members but `is_open()` belong to the reactor's thread. `Connection` knows its id: id().
template <class Connection>
class ConnectionPool {
   public:
    /// `first_generation`: of the first connection in each slot, not 0; a test begins with one of the last.
    explicit ConnectionPool(std::uint16_t reactor, std::uint32_t first_generation = 1) noexcept
        : reactor_(reactor), first_generation_(first_generation) {
        assert(first_generation != 0);
    }
    ConnectionPool(const ConnectionPool&) = delete;
    ConnectionPool& operator=(const ConnectionPool&) = delete;
    ~ConnectionPool() {
        clear();
        for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
    }

    /// A bit for each makes a word, and what stands beside the slots needs no padding.
    static constexpr std::uint32_t chunk_slots = 64;
    static constexpr std::uint32_t max_chunks = 16'384;
    /// As many as Linux lets a process have descriptors, unless it is told otherwise (fs.nr_open).
    static constexpr std::uint32_t max_size = chunk_slots * max_chunks;

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    /// Makes a connection in a free slot: Connection(ConnectionId, args...). Its address holds until erase().
    /// Null when all `max_size` slots are taken.
    template <class... Args>
    Connection* emplace(Args&&... args) {
        if (first_free_ == none && !grow()) return nullptr;
        const ConnectionId id = take_free();
        Slot& slot = slot_at(id.slot);
        try {
            std::construct_at(&slot.connection, id, std::forward<Args>(args)...);
        } catch (...) {
            add_free(id.slot, generation_after(id.generation));
            throw;
        }
        chunk_of(id.slot).taken |= bit_of(id.slot);
        ++size_;
        return &slot.connection;
    }

    /// From now on any thread may send to it.
    void open(ConnectionId id) noexcept { open_generation(id.slot).store(id.generation, std::memory_order_release); }
    /// From now on sends from other threads answer `closed`.
    void retire(ConnectionId id) noexcept { open_generation(id.slot).store(0, std::memory_order_release); }

    /// May this id be sent to? Any thread; the answer may be out of date when it arrives.
    bool is_open(ConnectionId id) const noexcept {
        if (id.generation == 0 || id.slot >= max_size) return false;
        const Chunk* chunk = chunks_[id.slot / chunk_slots].load(std::memory_order_acquire);
        if (chunk == nullptr) return false;
        return chunk->open_generations[id.slot % chunk_slots].load(std::memory_order_acquire) == id.generation;
    }

    /// The connection of that id, in whatever state; null when it is gone.
    Connection* find(ConnectionId id) noexcept {
        if (id.slot >= slots_) return nullptr;
        Chunk& chunk = chunk_of(id.slot);
        if ((chunk.taken & bit_of(id.slot)) == 0) return nullptr;
        Connection& connection = chunk.slots[id.slot % chunk_slots].connection;
        return connection.id() == id ? &connection : nullptr;
    }

    /// Destroys it; its destructor doesn't find it here any more. Precondition: find(id).
    void erase(ConnectionId id) {
        assert(find(id) != nullptr);
        retire(id);
        chunk_of(id.slot).taken &= ~bit_of(id.slot);
        --size_;
        std::destroy_at(&slot_at(id.slot).connection);
        add_free(id.slot, generation_after(id.generation));
    }

    /// Destroys all.
    void clear() {
        for_each([this](Connection& connection) { erase(connection.id()); });
    }

    /// Calls f(Connection&) for each, ordered by slot. `f` may erase any of them; whether it meets one that it
    /// made is not said.
    template <class F>
    void for_each(F&& f) {
        for (std::uint32_t begin = 0; begin < slots_; begin += chunk_slots) {
            Chunk& chunk = chunk_of(begin);
            // Asked anew after each call, which may have erased the next ones.
            for (std::uint64_t rest = chunk.taken; rest != 0;) {
                const auto number = static_cast<std::uint32_t>(std::countr_zero(rest));
                f(chunk.slots[number].connection);
                rest = chunk.taken & bits_after(number);
            }
        }
    }

   private:
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

    struct Free {
        std::uint32_t generation;  ///< of the connection to come
        std::uint32_t next;        ///< slot, or `none`
    };
    /// What a free slot must remember lies where its connection will be.
    union Slot {
        Slot() noexcept {}
        ~Slot() {}

        Connection connection;
        Free free;
    };
    /// What is needed of a slot beside its connection stands here: a word and a bit.
    struct Chunk {
        std::array<std::atomic<std::uint32_t>, chunk_slots> open_generations{};  ///< 0 unless it may be sent to
        std::uint64_t taken = 0;                                                 ///< a bit for each slot
        std::array<Slot, chunk_slots> slots;
    };

    static constexpr std::uint64_t bit_of(std::uint32_t number) noexcept {
        return std::uint64_t{1} << (number % chunk_slots);
    }
    /// Of the numbers in a chunk that are greater than `number`.
    static constexpr std::uint64_t bits_after(std::uint32_t number) noexcept { return ~std::uint64_t{1} << number; }
    /// 0 names no connection.
    static constexpr std::uint32_t generation_after(std::uint32_t generation) noexcept {
        return generation == std::numeric_limits<std::uint32_t>::max() ? 1 : generation + 1;
    }

    Chunk& chunk_of(std::uint32_t number) const noexcept {
        return *chunks_[number / chunk_slots].load(std::memory_order_relaxed);
    }
    Slot& slot_at(std::uint32_t number) const noexcept { return chunk_of(number).slots[number % chunk_slots]; }
    std::atomic<std::uint32_t>& open_generation(std::uint32_t number) const noexcept {
        return chunk_of(number).open_generations[number % chunk_slots];
    }

    /// The id of the next connection. Precondition: there is a free slot.
    ConnectionId take_free() noexcept {
        const std::uint32_t number = first_free_;
        Slot& slot = slot_at(number);
        detail::unpoison(&slot, sizeof slot);
        first_free_ = slot.free.next;
        return {reactor_, number, slot.free.generation};
    }
    void add_free(std::uint32_t number, std::uint32_t generation) noexcept {
        Slot& slot = slot_at(number);
        std::construct_at(&slot.free, Free{generation, first_free_});
        detail::poison(&slot, sizeof slot);
        first_free_ = number;
    }

    bool grow() {
        // Each slot has an open generation and a bit, besides its connection.
        static_assert(sizeof(Chunk) <= chunk_slots * (sizeof(Connection) + 4) + sizeof(Chunk::taken));
        if (slots_ >= max_size) return false;
        chunks_[slots_ / chunk_slots].store(new Chunk, std::memory_order_release);
        slots_ += chunk_slots;
        for (std::uint32_t i = 1; i <= chunk_slots; ++i) add_free(slots_ - i, first_generation_);
        return true;
    }

    const std::uint16_t reactor_;
    const std::uint32_t first_generation_;
    std::uint32_t slots_ = 0;
    std::uint32_t first_free_ = none;  ///< what was freed last is taken first
    std::size_t size_ = 0;
    // A fixed table of pointers: growing it never moves what another thread looks at.
    std::array<std::atomic<Chunk*>, max_chunks> chunks_{};
};

}  // namespace wsserver
