// Decides what happens to the connections of one thread when all connections together hold much memory. A value: it has
// no connection, clock or thread.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <span>

#include "wsserver/connection/hub.hpp"

namespace wsserver {

/// The memory that the connections of all threads hold, in bytes.
struct MemoryUse {
    std::size_t total = 0;       ///< of all together
    std::size_t largest = 0;     ///< of the connection that holds most; see MemoryHolder::rank()
    std::size_t broadcasts = 0;  ///< of the broadcasts that wait, each counted once; a part of `total`
    std::size_t shared = 0;      ///< of the same, each counted for each connection that it waits for
};

/// A connection that holds memory.
struct MemoryHolder {
    ConnectionId id{};        ///< the connection
    std::size_t held = 0;     ///< bytes that are free when it closes
    std::size_t waiting = 0;  ///< bytes that workers have or that wait for them; closing does not free them
    bool paused = false;      ///< reading from it is paused because memory is short
    std::size_t shared = 0;   ///< bytes of broadcasts; free when nothing waits for them any more
    std::size_t left = 0;     ///< those of them that it has not taken; decides between equal ranks
    std::size_t part = 0;     ///< its part of what the broadcasts of all hold
    bool can_pause = true;    ///< what it holds may grow by what is read; otherwise a pause gains nothing

    /// What makes it larger than another when reading is paused.
    std::size_t size() const noexcept { return held + waiting; }
    /// What makes it larger than another when some are closed. A broadcast counts once for all that wait for it.
    std::size_t rank() const noexcept { return held + part; }
    /// Whether it is closed before `other`.
    bool is_before(const MemoryHolder& other) const noexcept {
        return rank() != other.rank() ? rank() > other.rank() : left > other.left;
    }
    /// The most that closing it frees.
    std::size_t closable() const noexcept { return held + shared; }
    /// Sets `part`: the memory of the broadcasts that wait is divided by what waits for each connection.
    void divide(MemoryUse use) noexcept {
        if (shared == 0 || use.shared <= use.broadcasts) {
            part = shared;
            return;
        }
        const double each = static_cast<double>(use.broadcasts) / static_cast<double>(use.shared);
        part = static_cast<std::size_t>(static_cast<double>(shared) * each) + 1;
    }
};

/// Up to the mark, nothing happens. Between the mark and the limit, reading is paused for the largest holders: for a
/// share of what is held that grows from nothing at the mark to all at the limit. Over the limit, the largest are
/// closed.
class MemoryBudget {
   public:
    /// Holders of less are not paused: a short message in pieces ends soon, and pausing it gains nothing.
    static constexpr std::size_t least_paused = std::size_t{16} << 10;
    /// A holder that is paused for longer is closed while memory is short. Otherwise some that never end could hold the
    /// memory that all others wait for.
    static constexpr std::chrono::milliseconds longest_pause{60'000};

    /// `limit` is the most bytes that all connections may hold; 0: unlimited.
    explicit MemoryBudget(std::size_t limit = 0) noexcept : limit_(limit) {}

    /// Three quarters of the limit.
    std::size_t mark() const noexcept { return limit_ - limit_ / 4; }
    /// True if reading must be paused for some.
    bool is_short(std::size_t total) const noexcept { return limit_ != 0 && total > mark(); }
    /// True if connections must be closed, and new ones refused.
    bool is_over(std::size_t total) const noexcept { return limit_ != 0 && total > limit_; }
    /// The longest message or body that can be received, in bytes: a longer one would be paused by itself, and never
    /// end.
    std::size_t longest_message() const noexcept {
        return limit_ == 0 ? std::numeric_limits<std::size_t>::max() : mark();
    }
    /// By how many bytes one thread's sum may grow before it must look at the total again.
    std::size_t step(std::size_t total) const noexcept {
        if (limit_ == 0) return std::numeric_limits<std::size_t>::max() / 2;
        if (is_over(total)) return least_step;
        return std::max(least_step, is_short(total) ? (limit_ - total) / 16 : (mark() - total) / 64);
    }

    /// The number of holders to close: as many of the largest as bring `use.total` to the limit, except those that are
    /// less than half as large as the largest of all threads. Each may free closable(): whether it does is seen by the
    /// next look. `holders` are in the order of is_before().
    std::size_t to_close(MemoryUse use, std::span<const MemoryHolder> holders) const noexcept {
        std::size_t count = 0;
        for (; count < holders.size() && is_over(use.total); ++count) {
            const std::size_t rank = holders[count].rank();
            if (rank == 0 || rank < use.largest / 2) break;
            use.total -= std::min(use.total, holders[count].closable());
        }
        return count;
    }

    /// Sets `paused` of each holder; of one that cannot be paused, to false. A holder that is paused stays so until the
    /// total is a sixteenth of the limit lower than when it would be paused, unless it holds more than that by
    /// itself. `holders` are in order of descending size().
    void pause(std::size_t total, std::span<MemoryHolder> holders) const noexcept {
        std::size_t all = 0;
        for (const MemoryHolder& holder : holders) all += holder.can_pause ? holder.size() : 0;
        const std::size_t pause_up_to = share(all, total);
        const std::size_t stay_up_to = share(all, total + limit_ / 16);
        std::size_t before = 0;
        for (MemoryHolder& holder : holders) {
            const bool stays = holder.paused && holder.size() + limit_ / 16 <= mark();
            const std::size_t up_to = stays ? stay_up_to : pause_up_to;
            holder.paused = holder.can_pause && holder.size() >= least_paused && before < up_to;
            before += holder.can_pause ? holder.size() : 0;
        }
    }

   private:
    static constexpr std::size_t least_step = std::size_t{64} << 10;

    /// The part of `all` bytes that must not grow.
    std::size_t share(std::size_t all, std::size_t total) const noexcept {
        if (!is_short(total)) return 0;
        if (total >= limit_) return all;
        const auto part = static_cast<double>(total - mark()) / static_cast<double>(limit_ - mark());
        return static_cast<std::size_t>(static_cast<double>(all) * part) + 1;
    }

    std::size_t limit_;
};

}  // namespace wsserver
