// Where one reactor's connections live: slots that never move, and ids that any thread may check.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "wsserver/hub.hpp"

namespace wsserver {

/// Holds `Connection`s, each with an id that is never given twice. All members but `is_open()` belong to the
/// reactor's thread.
template <class Connection>
class ConnectionPool {
   public:
    explicit ConnectionPool(std::uint16_t reactor) noexcept : reactor_(reactor) {}
    ConnectionPool(const ConnectionPool&) = delete;
    ConnectionPool& operator=(const ConnectionPool&) = delete;
    ~ConnectionPool() {
        for_each([this](Connection& connection) { erase(connection.id()); });
        for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
    }

    static constexpr std::size_t chunk_slots = 256;
    static constexpr std::size_t max_chunks = 8192;
    static constexpr std::size_t max_size = chunk_slots * max_chunks;

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    /// Makes a connection in a free slot: Connection(ConnectionId, args...). Its address holds until erase().
    /// Null when all `max_size` slots are taken.
    template <class... Args>
    Connection* emplace(Args&&... args) {
        if (free_.empty() && !grow()) return nullptr;
        const std::uint32_t number = free_.back();
        Slot& slot = slot_at(number);
        if (++slot.generation == 0) ++slot.generation;  // 0 names no connection
        const ConnectionId id{reactor_, number, slot.generation};
        auto* connection = ::new (static_cast<void*>(slot.storage)) Connection(id, std::forward<Args>(args)...);
        free_.pop_back();
        chunk_of(number).taken.set(number % chunk_slots);
        ++size_;
        return connection;
    }

    /// From now on any thread may send to it.
    void open(ConnectionId id) noexcept {
        slot_at(id.slot).open_generation.store(id.generation, std::memory_order_release);
    }
    /// From now on sends from other threads answer `closed`.
    void retire(ConnectionId id) noexcept { slot_at(id.slot).open_generation.store(0, std::memory_order_release); }

    /// May this id be sent to? Any thread; the answer may be out of date when it arrives.
    bool is_open(ConnectionId id) const noexcept {
        if (id.generation == 0 || id.slot / chunk_slots >= max_chunks) return false;
        const Chunk* chunk = chunks_[id.slot / chunk_slots].load(std::memory_order_acquire);
        if (chunk == nullptr) return false;
        return chunk->slots[id.slot % chunk_slots].open_generation.load(std::memory_order_acquire) == id.generation;
    }

    /// The connection of that id, in whatever state; null when it is gone.
    Connection* find(ConnectionId id) noexcept {
        if (id.reactor != reactor_ || id.slot >= slots_) return nullptr;
        Slot& slot = slot_at(id.slot);
        return slot.generation == id.generation && is_taken(id.slot) ? slot.connection() : nullptr;
    }

    /// Destroys it. Precondition: find(id).
    void erase(ConnectionId id) {
        assert(find(id) != nullptr);
        Slot& slot = slot_at(id.slot);
        retire(id);
        slot.connection()->~Connection();
        chunk_of(id.slot).taken.reset(id.slot % chunk_slots);
        --size_;
        free_.push_back(id.slot);
    }

    /// Calls f(Connection&) for each, ordered by slot. `f` may erase any of them; whether it meets one that it
    /// made is not said.
    template <class F>
    void for_each(F&& f) {
        for (std::uint32_t number = 0; number < slots_; ++number) {
            if (is_taken(number)) f(*slot_at(number).connection());
        }
    }

   private:
    struct Slot {
        std::atomic<std::uint32_t> open_generation{0};  ///< 0 unless it may be sent to
        std::uint32_t generation = 0;                   ///< of the connection here, or the last one
        alignas(Connection) std::byte storage[sizeof(Connection)];

        Connection* connection() noexcept { return std::launder(reinterpret_cast<Connection*>(storage)); }
    };
    /// `taken` stands beside the slots, where it costs a bit for each and not the 8 octets of alignment.
    struct Chunk {
        std::array<Slot, chunk_slots> slots;
        std::bitset<chunk_slots> taken;
    };

    Chunk& chunk_of(std::uint32_t number) const noexcept {
        return *chunks_[number / chunk_slots].load(std::memory_order_relaxed);
    }
    Slot& slot_at(std::uint32_t number) const noexcept { return chunk_of(number).slots[number % chunk_slots]; }
    bool is_taken(std::uint32_t number) const noexcept { return chunk_of(number).taken[number % chunk_slots]; }

    bool grow() {
        if (slots_ >= max_size) return false;
        chunks_[slots_ / chunk_slots].store(new Chunk, std::memory_order_release);
        free_.reserve(slots_ + chunk_slots);  // so that erase() never allocates
        for (std::size_t i = chunk_slots; i-- > 0;) free_.push_back(slots_ + static_cast<std::uint32_t>(i));
        slots_ += chunk_slots;
        return true;
    }

    const std::uint16_t reactor_;
    std::uint32_t slots_ = 0;
    std::size_t size_ = 0;
    std::vector<std::uint32_t> free_;
    // A fixed table of pointers: growing it never moves what another thread looks at.
    std::array<std::atomic<Chunk*>, max_chunks> chunks_{};
};

}  // namespace wsserver
