// Applies a MemoryBudget to the connections of one thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <new>
#include <vector>

#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/memory_budget.hpp"

namespace wsserver {

/// Knows which connections hold memory, so that a look does not visit all. Used on the thread of the connections.
template <class Pool>
class MemoryWatch {
   public:
    /// `pool` must outlive the object.
    explicit MemoryWatch(Pool& pool) noexcept : pool_(pool) {}

    /// The connection holds memory. It is remembered until a look finds that it holds none. Returns false if there is
    /// no memory for that.
    bool note(ConnectionId id) noexcept {
        try {
            if (ids_.size() >= next_tidy_) tidy();
            ids_.push_back(id);
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    /// Pauses, resumes and closes connections. Returns true if it must look again soon, because memory is short or a
    /// connection is paused. What closing calls may not look again: then it returns true without a look.
    bool look(const MemoryBudget& budget, MemoryUse use) {
        if (looks_) return true;
        const Flag looking{looks_};
        collect(use);
        std::sort(holders_.begin(), holders_.end(),
                  [](const MemoryHolder& a, const MemoryHolder& b) { return a.is_before(b); });
        use.largest = std::max(use.largest, store_largest());
        const std::size_t closing = budget.to_close(use, holders_);
        for (std::size_t i = 0; i < closing; ++i) {
            use.total -= std::min(use.total, holders_[i].held);  // others may still hold what it shared
            if (auto* connection = pool_.find(holders_[i].id)) connection->close_for_memory();
        }
        holders_.erase(holders_.begin(), holders_.begin() + static_cast<std::ptrdiff_t>(closing));
        store_largest();
        const bool again = pause(budget, use.total);
        if (!again) shared_.store(0, std::memory_order_relaxed);  // the next look may be long after they are sent
        return again;
    }

    /// The highest rank() of a connection after the last look. Any thread.
    std::size_t largest() const noexcept { return largest_.load(std::memory_order_relaxed); }
    /// The bytes of broadcasts that waited for each connection at the last look, added up; 0 if memory was not
    /// short. Any thread.
    std::size_t shared() const noexcept { return shared_.load(std::memory_order_relaxed); }
    /// The connections for which reading was paused by the last look. Any thread.
    std::size_t paused() const noexcept { return paused_.load(std::memory_order_relaxed); }

   private:
    /// Is set while the object lives.
    struct Flag {
        explicit Flag(bool& flag) noexcept : flag_(flag) { flag_ = true; }
        ~Flag() { flag_ = false; }
        Flag(const Flag&) = delete;
        Flag& operator=(const Flag&) = delete;
        bool& flag_;
    };

    /// `use.shared` has what the last look found here, which it replaces.
    void collect(MemoryUse& use) {
        tidy();
        holders_.clear();
        for (const ConnectionId id : ids_) holders_.push_back(pool_.find(id)->memory_holder());
        std::size_t shared = 0;
        for (const MemoryHolder& holder : holders_) shared += holder.shared;
        use.shared -= std::min(use.shared, shared_.exchange(shared, std::memory_order_relaxed));
        use.shared += shared;
        for (MemoryHolder& holder : holders_) holder.divide(use);
    }

    /// `holders_` are in order of descending rank().
    std::size_t store_largest() noexcept {
        const std::size_t largest = holders_.empty() ? 0 : holders_.front().rank();
        largest_.store(largest, std::memory_order_relaxed);
        return largest;
    }

    bool pause(const MemoryBudget& budget, std::size_t total) {
        const auto by_size = [](const MemoryHolder& a, const MemoryHolder& b) { return a.size() > b.size(); };
        std::sort(holders_.begin(), holders_.end(), by_size);
        budget.pause(total, holders_);
        std::size_t paused = 0;
        for (const MemoryHolder& holder : holders_) {
            if (holder.paused) ++paused;
            if (auto* connection = pool_.find(holder.id)) connection->hold_for_memory(holder.paused);
        }
        paused_.store(paused, std::memory_order_relaxed);
        return budget.is_short(total) || paused > 0;
    }

    /// Forgets connections that are gone or hold nothing.
    void tidy() noexcept {
        std::erase_if(ids_, [this](ConnectionId id) {
            auto* connection = pool_.find(id);
            return connection == nullptr || connection->forget_holder();
        });
        next_tidy_ = std::max<std::size_t>(1024, 2 * ids_.size());
    }

    Pool& pool_;
    std::vector<ConnectionId> ids_;
    std::size_t next_tidy_ = 1024;
    std::vector<MemoryHolder> holders_;  ///< of the last look
    bool looks_ = false;
    std::atomic<std::size_t> largest_{0};
    std::atomic<std::size_t> shared_{0};
    std::atomic<std::size_t> paused_{0};
};

}  // namespace wsserver
