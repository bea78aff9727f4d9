// The timers of one reactor: there are many, and most are cancelled or rescheduled before they are due.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

namespace wsserver {

template <class Timer>
class TimerWheel;

/// The base class of a timer. It is its own list node of 24 bytes, so that the wheel does not allocate. It may be
/// destroyed at any time, also while it is scheduled.
class TimerNode {
   public:
    TimerNode() = default;
    TimerNode(const TimerNode&) = delete;
    TimerNode& operator=(const TimerNode&) = delete;

    /// Whether the timer will fire. Already false when on_timer() is called.
    bool is_scheduled() const noexcept { return link_ != nullptr; }

    /// Fine enough for timeouts of seconds. Coarse enough that 100,000 idle connections wake their reactor at most 31
    /// times a second, each time for about a hundred of them.
    static constexpr std::chrono::milliseconds tick{32};

   protected:
    ~TimerNode() { unlink(); }

    /// The time for which it was last scheduled, rounded up to a tick. At most the earliest time if it never was.
    std::chrono::steady_clock::time_point due() const noexcept {
        return std::chrono::steady_clock::time_point{tick_ * std::chrono::steady_clock::duration{tick}};
    }

   private:
    template <class Timer>
    friend class TimerWheel;

    void unlink() noexcept {
        if (link_ == nullptr) return;
        *link_ = next_;
        if (next_ != nullptr) next_->link_ = link_;
        link_ = nullptr;
    }

    TimerNode** link_ = nullptr;  ///< the pointer to this node: the head of the list, or next_ of the previous node
    TimerNode* next_ = nullptr;
    std::int64_t tick_ = 0;
};

/// A hashed timer wheel. Time is divided into ticks. Slot `tick % slots` lists the timers of that tick, of the tick one
/// revolution of the wheel later, and so on. schedule() and cancel() take constant time. Timers beyond one revolution
/// are visited only when their slot passes and contains a timer that is due.
///
/// A `Timer` derives from TimerNode and has `void on_timer()`, which is called when it is due and no longer scheduled.
/// on_timer() may schedule, cancel and destroy any timer, including itself.
///
/// A timer never fires early, and at most one `tick` late plus the delay of the caller's loop. For one thread only.
/// The destructor of the wheel cancels all timers.
template <class Timer>
class TimerWheel {
   public:
    using Clock = std::chrono::steady_clock;  ///< monotonic; the same as wsserver::Clock

    static constexpr std::chrono::milliseconds tick = TimerNode::tick;  ///< a tick
    /// One revolution takes 1024 ticks, or 32.8 s: longer than the usual ping interval.
    static constexpr std::size_t slots = 1024;

    /// Times up to `now` count as past.
    explicit TimerWheel(Clock::time_point now) noexcept : passed_(tick_before(now)) {}
    TimerWheel(const TimerWheel&) = delete;
    TimerWheel& operator=(const TimerWheel&) = delete;
    ~TimerWheel() {
        for (Slot& slot : slots_) unlink_all(slot.first);
        unlink_all(due_);
    }

    /// Schedules `timer` to fire once, at `when` or up to a tick later. Replaces its previous time. A time in the past
    /// is due at the next tick.
    void schedule(Timer& timer, Clock::time_point when) noexcept {
        TimerNode& node = timer;
        node.unlink();
        node.tick_ = std::max(tick_after(when), passed_ + 1);
        Slot& slot = slot_of(node.tick_);
        link(node, slot.first);
        slot.earliest = std::min(slot.earliest, node.tick_);
        earliest_ = std::min(earliest_, node.tick_);
    }

    /// Does nothing if the timer is not scheduled.
    void cancel(Timer& timer) noexcept { static_cast<TimerNode&>(timer).unlink(); }

    /// Fires the timers that are due at `now`, in no particular order, and returns their number. A timer that is
    /// scheduled by on_timer() fires in a later call. Passes on an exception of on_timer(); the other timers then fire
    /// in the next call.
    std::size_t advance(Clock::time_point now) {
        collect(tick_before(now));
        std::size_t fired = 0;
        while (due_ != nullptr) {
            TimerNode& node = *due_;
            node.unlink();
            ++fired;
            static_cast<Timer&>(node).on_timer();
        }
        return fired;
    }

    /// The time of the next advance(): no timer is due before. Nothing if no timer is scheduled. After a cancel() it
    /// may be too early; then that advance() fires nothing, and the next result is exact.
    std::optional<Clock::time_point> next_wake() const noexcept {
        if (due_ != nullptr) return time_of(passed_);
        if (earliest_ == never) return std::nullopt;
        return time_of(earliest_);
    }

   private:
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

    struct Slot {
        TimerNode* first = nullptr;
        std::int64_t earliest = never;  ///< no timer in this slot has an earlier tick
    };

    static constexpr std::int64_t tick_length = std::chrono::duration_cast<Clock::duration>(tick).count();

    /// The last tick that is over at `when`.
    static std::int64_t tick_before(Clock::time_point when) noexcept {
        const std::int64_t count = when.time_since_epoch().count();
        return count / tick_length - (count % tick_length < 0 ? 1 : 0);
    }
    /// The first tick not before `when`.
    static std::int64_t tick_after(Clock::time_point when) noexcept {
        const std::int64_t count = when.time_since_epoch().count();
        return count / tick_length + (count % tick_length > 0 ? 1 : 0);
    }
    static Clock::time_point time_of(std::int64_t number) noexcept {
        constexpr std::int64_t last = never / tick_length;
        return number > last ? Clock::time_point::max() : Clock::time_point{Clock::duration{number * tick_length}};
    }

    static void link(TimerNode& node, TimerNode*& first) noexcept {
        node.next_ = std::exchange(first, &node);
        node.link_ = &first;
        if (node.next_ != nullptr) node.next_->link_ = &node.next_;
    }

    static void unlink_all(TimerNode*& first) noexcept {
        while (first != nullptr) first->unlink();
    }

    Slot& slot_of(std::int64_t number) noexcept { return slots_[static_cast<std::size_t>(number) % slots]; }

    /// Moves the timers of all ticks up to `now` from their slots to `due_`.
    void collect(std::int64_t now) noexcept {
        const std::int64_t from = passed_ + 1;
        passed_ = std::max(passed_, now);
        if (earliest_ > passed_) return;
        const std::int64_t first = std::max(from, earliest_);
        const std::int64_t last = std::min(passed_, first + static_cast<std::int64_t>(slots) - 1);
        for (std::int64_t number = first; number <= last; ++number) {
            Slot& slot = slot_of(number);
            if (slot.earliest <= passed_) collect(slot);
        }
        earliest_ = never;
        for (const Slot& slot : slots_) earliest_ = std::min(earliest_, slot.earliest);
    }

    void collect(Slot& slot) noexcept {
        slot.earliest = never;
        for (TimerNode* node = slot.first; node != nullptr;) {
            TimerNode& here = *std::exchange(node, node->next_);
            if (here.tick_ <= passed_) {
                here.unlink();
                link(here, due_);
            } else {
                slot.earliest = std::min(slot.earliest, here.tick_);
            }
        }
    }

    std::int64_t passed_;            ///< the last tick that advance() has processed
    std::int64_t earliest_ = never;  ///< no timer in any slot has an earlier tick
    TimerNode* due_ = nullptr;       ///< the timers that are about to fire
    std::array<Slot, slots> slots_{};
};

}  // namespace wsserver
