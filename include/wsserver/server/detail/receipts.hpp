// The broadcasts of a reactor whose senders wait until all receivers have caught up.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/inbox.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// A receiver that lags delays the report of a broadcast, until it has caught up or ended. One that takes too little is
/// closed. Without memory, a broadcast is not delayed. `Pool` finds connections that have is_lagging(),
/// taken() and close_for_lagging().
template <class Pool>
class Receipts {
   public:
    /// `pool` must outlive the object.
    explicit Receipts(Pool& pool) noexcept : pool_(pool) {}

    /// While broadcasts are being sent: the receiver of the one with that index lags.
    void note(std::size_t broadcast, ConnectionId receiver, std::uint64_t taken) noexcept {
        (void)within_memory([&] { noted_.push_back({broadcast, {receiver, taken}}); });
    }
    /// After they were sent: takes over the Completions of those `broadcasts` that have such receivers. The others
    /// remain.
    void keep(std::vector<Broadcast>& broadcasts, const std::vector<std::size_t>& receivers, Clock::time_point now) {
        if (kept_.empty()) last_look_ = now;
        for (auto next = noted_.begin(); next != noted_.end();) {
            const std::size_t index = next->broadcast;
            const auto end =
                std::stable_partition(next, noted_.end(), [index](const Noted& one) { return one.broadcast == index; });
            (void)within_memory([&] {
                Kept kept{{}, receivers[index], {}, now};
                for (auto one = next; one != end; ++one) kept.lagging.push_back(one->receiver);
                kept_.push_back(std::move(kept));
                kept_.back().done = std::move(broadcasts[index].done);
            });
            next = end;
        }
        noted_.clear();
    }
    /// True if note() was called and keep() was not.
    bool has_noted() const noexcept { return !noted_.empty(); }
    /// True if no broadcast is kept.
    bool empty() const noexcept { return kept_.empty(); }

    /// Reports the broadcasts that no receiver delays any more. In each `time` a receiver must take `least` bytes.
    /// Without memory it throws std::bad_alloc, and must be called again.
    void look(Clock::time_point now, std::chrono::milliseconds time, std::uint64_t least) {
        if (now - last_look_ >= stood_still) give_time(now);
        last_look_ = now;
        close_slow(now, time, least);
        for (Kept& kept : kept_) {
            while (!kept.lagging.empty() && !is_lagging(kept.lagging.back())) kept.lagging.pop_back();
        }
        const auto caught_up =
            std::stable_partition(kept_.begin(), kept_.end(), [](const Kept& kept) { return !kept.lagging.empty(); });
        std::vector<Kept> reported(std::make_move_iterator(caught_up), std::make_move_iterator(kept_.end()));
        kept_.erase(caught_up, kept_.end());
        report(std::move(reported));
    }
    /// Reports all.
    void clear() { report(std::exchange(kept_, {})); }

   private:
    /// After a pause between two looks of this length, receivers have their time once more.
    static constexpr std::chrono::seconds stood_still{1};

    struct Receiver {
        ConnectionId id;
        std::uint64_t taken;  ///< bytes, when last looked at
    };
    struct Noted {
        std::size_t broadcast;
        Receiver receiver;
    };
    struct Kept {
        Completion done;
        std::size_t receivers;
        std::vector<Receiver> lagging;
        Clock::time_point looked_at;  ///< at `taken`
    };

    bool is_lagging(const Receiver& receiver) const noexcept {
        const auto* connection = pool_.find(receiver.id);
        return connection != nullptr && connection->is_lagging();
    }
    /// The reactor stood still, so the receivers could take nothing.
    void give_time(Clock::time_point now) {
        for (Kept& kept : kept_) {
            kept.looked_at = now;
            for (Receiver& receiver : kept.lagging) {
                if (const auto* connection = pool_.find(receiver.id)) receiver.taken = connection->taken();
            }
        }
    }
    void close_slow(Clock::time_point now, std::chrono::milliseconds time, std::uint64_t least) {
        std::vector<ConnectionId> slow;
        for (Kept& kept : kept_) {
            if (now - kept.looked_at < time) continue;
            kept.looked_at = now;
            for (Receiver& receiver : kept.lagging) {
                if (is_lagging(receiver) && took_less(receiver, least)) slow.push_back(receiver.id);
            }
        }
        for (const ConnectionId id : slow) {  // last, because it may send waiting broadcasts, which are kept, too
            if (auto* connection = pool_.find(id)) connection->close_for_lagging();
        }
    }
    bool took_less(Receiver& receiver, std::uint64_t least) {
        const std::uint64_t taken = pool_.find(receiver.id)->taken();
        return taken - std::exchange(receiver.taken, taken) < least;
    }
    /// Not called while kept_ is used: a Completion may broadcast again.
    static void report(std::vector<Kept> all) noexcept {
        for (Kept& one : all) one.done(one.receivers);
    }

    Pool& pool_;
    std::vector<Noted> noted_;
    std::vector<Kept> kept_;
    Clock::time_point last_look_{};  ///< or when the first was kept
};

}  // namespace wsserver
