// The memory of a reactor's connections: slots that never move, and ids that any thread may check.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "wsserver/base/poison.hpp"
#include "wsserver/connection/connection_info.hpp"

namespace wsserver {

/// Holds `Connection`s. Each has an id that is not used again before 2^32 - 1 other connections have had its slot. All
/// members except is_open(), queued() and take_close_due() are called on the reactor's thread. `Connection` must have a
/// member id().
template <class Connection>
class ConnectionPool {
   public:
    /// reactor           the number in the ids
    /// first_generation  the generation of the first connection in each slot, not 0; a test starts near the last one
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

    /// The slots are allocated in chunks. With 64 slots, one bit for each is a word, and a chunk needs no padding.
    static constexpr std::uint32_t chunk_slots = 64;
    /// The size of the table of chunks.
    static constexpr std::uint32_t max_chunks = 16'384;
    /// The most connections. Linux allows a process this many descriptors by default (fs.nr_open).
    static constexpr std::uint32_t max_size = chunk_slots * max_chunks;

    /// The number of connections.
    std::size_t size() const noexcept { return size_; }
    /// True if there are no connections.
    bool empty() const noexcept { return size_ == 0; }

    /// Constructs Connection(ConnectionId, args...) in a free slot. The pointer is valid until erase(). Null if all
    /// `max_size` slots are taken.
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

    /// From now on, any thread may send to the connection, and on_close() is due.
    void open(ConnectionId id) noexcept {
        Chunk& chunk = chunk_of(id.slot);
        chunk.generations[id.slot % chunk_slots].store(id.generation, std::memory_order_relaxed);
        chunk.queued[id.slot % chunk_slots].store(0, std::memory_order_relaxed);
        chunk.close_due.fetch_or(bit_of(id.slot));
        set(chunk.open, id.slot);
    }
    /// From now on, sending from other threads returns `closed`.
    void retire(ConnectionId id) noexcept { reset(chunk_of(id.slot).open, id.slot); }
    /// on_close() of the connection is about to be called, so it is not due any more. Returns false if it was not, and
    /// must not be called, because take_close_due() has returned the connection.
    bool close_called(ConnectionId id) noexcept {
        // In one step with take_close_due(): only one of them finds the bit set.
        return (chunk_of(id.slot).close_due.fetch_and(~bit_of(id.slot)) & bit_of(id.slot)) != 0;
    }

    /// True if the connection may be sent to. Called by any thread. The result may already be out of date.
    bool is_open(ConnectionId id) const noexcept {
        if (id.generation == 0 || id.slot >= max_size) return false;
        const Chunk* chunk = chunks_[id.slot / chunk_slots].load(std::memory_order_acquire);
        if (chunk == nullptr) return false;
        if ((chunk->open.load(std::memory_order_acquire) & bit_of(id.slot)) == 0) return false;
        return chunk->generations[id.slot % chunk_slots].load(std::memory_order_relaxed) == id.generation;
    }

    /// Notes how many bytes wait to be sent on the connection.
    void note_queued(ConnectionId id, std::size_t bytes) noexcept {
        chunk_of(id.slot).queued[id.slot % chunk_slots].store(in_steps(bytes), std::memory_order_relaxed);
    }
    /// What was noted last, rounded up to 1 KiB, and at most 64 MiB. 0 if the connection is not open. Called by any
    /// thread.
    std::size_t queued(ConnectionId id) const noexcept {
        if (!is_open(id)) return 0;
        const Chunk* chunk = chunks_[id.slot / chunk_slots].load(std::memory_order_acquire);
        return bytes_of_steps(chunk->queued[id.slot % chunk_slots].load(std::memory_order_relaxed));
    }

    /// The unit in which bytes that wait are noted.
    static constexpr std::size_t queued_step = 1024;
    /// `bytes` in these units, rounded up.
    static constexpr std::uint16_t in_steps(std::size_t bytes) noexcept {
        constexpr std::size_t most = std::numeric_limits<std::uint16_t>::max();
        return static_cast<std::uint16_t>(std::min(most, bytes / queued_step + (bytes % queued_step != 0 ? 1 : 0)));
    }
    /// The reverse.
    static constexpr std::size_t bytes_of_steps(std::uint16_t steps) noexcept { return steps * queued_step; }

    /// The connections that were opened and whose on_close() is due. It will not be called. Called by any thread.
    std::vector<ConnectionId> take_close_due() {
        std::vector<ConnectionId> ids;
        for (std::uint32_t number = 0; number < max_chunks; ++number) {
            Chunk* chunk = chunks_[number].load(std::memory_order_acquire);
            if (chunk == nullptr) break;
            for (std::uint64_t rest = chunk->close_due.exchange(0); rest != 0; rest &= rest - 1) {
                const auto slot = static_cast<std::uint32_t>(std::countr_zero(rest));
                const auto generation = chunk->generations[slot].load(std::memory_order_relaxed);
                ids.push_back({reactor_, number * chunk_slots + slot, generation});
            }
        }
        return ids;
    }

    /// The connection with that id, in any state. Null if it is gone.
    Connection* find(ConnectionId id) noexcept {
        Connection* connection = in_slot(id.slot);
        return connection != nullptr && connection->id() == id ? connection : nullptr;
    }

    /// The connection in a slot, in any state. Null if the slot is free.
    Connection* in_slot(std::uint32_t slot) noexcept {
        if (slot >= slots_) return nullptr;
        Chunk& chunk = chunk_of(slot);
        return (chunk.taken & bit_of(slot)) != 0 ? &chunk.slots[slot % chunk_slots].connection : nullptr;
    }

    /// in_slot(slot) will be used soon. Loads its memory into the cache.
    void expect(std::uint32_t slot) const noexcept {
        if (slot >= slots_) return;
        constexpr std::size_t cache_line = 64;
        const auto* memory = reinterpret_cast<const char*>(&slot_at(slot));
        for (std::size_t i = 0; i < sizeof(Slot); i += cache_line) __builtin_prefetch(memory + i);
    }

    /// Destroys the connection. During its destructor, find(id) is already null. Precondition: find(id) is not null.
    void erase(ConnectionId id) {
        assert(find(id) != nullptr);
        retire(id);
        close_called(id);
        chunk_of(id.slot).taken &= ~bit_of(id.slot);
        --size_;
        std::destroy_at(&slot_at(id.slot).connection);
        add_free(id.slot, generation_after(id.generation));
    }

    /// Destroys all connections.
    void clear() {
        for_each([this](Connection& connection) { erase(connection.id()); });
    }

    /// Calls f(Connection&) for each connection, in order of slot. `f` may erase any connection. If `f` makes one, it
    /// is unspecified whether `f` is called for it.
    template <class F>
    void for_each(F&& f) {
        for_each_in(0, max_size, std::forward<F>(f));
    }

    /// Same, for the connections in `most` slots from `first` on. Both are multiples of chunk_slots, or the largest
    /// number. Returns true if there are no later slots.
    template <class F>
    bool for_each_in(std::uint32_t first, std::uint32_t most, F&& f) {
        for (std::uint32_t begin = first; begin < slots_ && begin - first < most; begin += chunk_slots) {
            Chunk& chunk = chunk_of(begin);
            // Read again after each call, which may have erased other connections.
            for (std::uint64_t rest = chunk.taken; rest != 0;) {
                const auto number = static_cast<std::uint32_t>(std::countr_zero(rest));
                f(chunk.slots[number].connection);
                rest = chunk.taken & bits_after(number);
            }
        }
        return most >= slots_ || first >= slots_ - most;
    }

   private:
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

    struct Free {
        std::uint32_t generation;  ///< of the next connection
        std::uint32_t next;        ///< slot, or `none`
    };
    /// A connection, or the state of a free slot.
    union Slot {
        Slot() noexcept {}
        ~Slot() {}

        Connection connection;
        Free free;
    };
    /// A bit for each slot of a chunk.
    using Bits = std::atomic<std::uint64_t>;
    /// The slots, and for each six bytes and three bits in addition to its connection.
    struct Chunk {
        /// Of the last connection in each slot that was opened; 0: none. Other threads read it and the next three.
        std::array<std::atomic<std::uint32_t>, chunk_slots> generations{};
        std::array<std::atomic<std::uint16_t>, chunk_slots> queued{};
        Bits open{0};             ///< any thread may send; written by the reactor's thread only
        Bits close_due{0};        ///< on_close() was not called yet, nor reported as not to be called
        std::uint64_t taken = 0;  ///< the slot has a connection
        std::array<Slot, chunk_slots> slots;
    };

    static constexpr std::uint64_t bit_of(std::uint32_t number) noexcept {
        return std::uint64_t{1} << (number % chunk_slots);
    }
    /// The bits of the numbers in a chunk that are greater than `number`.
    static constexpr std::uint64_t bits_after(std::uint32_t number) noexcept { return ~std::uint64_t{1} << number; }
    static void set(Bits& bits, std::uint32_t number) noexcept {
        bits.store(bits.load(std::memory_order_relaxed) | bit_of(number), std::memory_order_release);
    }
    static void reset(Bits& bits, std::uint32_t number) noexcept {
        bits.store(bits.load(std::memory_order_relaxed) & ~bit_of(number), std::memory_order_release);
    }
    /// Skips 0, which is not the generation of a connection.
    static constexpr std::uint32_t generation_after(std::uint32_t generation) noexcept {
        return generation == std::numeric_limits<std::uint32_t>::max() ? 1 : generation + 1;
    }

    Chunk& chunk_of(std::uint32_t number) const noexcept {
        return *chunks_[number / chunk_slots].load(std::memory_order_relaxed);
    }
    Slot& slot_at(std::uint32_t number) const noexcept { return chunk_of(number).slots[number % chunk_slots]; }

    /// Takes a free slot and returns the id of its next connection. Precondition: there is a free slot.
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
        static_assert(sizeof(Chunk) <= chunk_slots * (sizeof(Connection) + 6) + 3 * sizeof(std::uint64_t));
        if (slots_ >= max_size) return false;
        chunks_[slots_ / chunk_slots].store(new Chunk, std::memory_order_release);
        slots_ += chunk_slots;
        for (std::uint32_t i = 1; i <= chunk_slots; ++i) add_free(slots_ - i, first_generation_);
        return true;
    }

    const std::uint16_t reactor_;
    const std::uint32_t first_generation_;
    std::uint32_t slots_ = 0;
    std::uint32_t first_free_ = none;  ///< the slot that was freed last is taken first
    std::size_t size_ = 0;
    // A fixed table of pointers, so that growing never moves an entry that another thread reads.
    std::array<std::atomic<Chunk*>, max_chunks> chunks_{};
};

}  // namespace wsserver
