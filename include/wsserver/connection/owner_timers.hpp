// The timers of the connections that one owner has.
#pragma once

#include <algorithm>
#include <chrono>

#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/scheduling/timer_wheel.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// The timers of an owner's connections, and the one wake-up of its transport that serves them and the owner's own
/// times.
template <Transport T>
class OwnerTimers {
   public:
    static constexpr auto never = Clock::time_point::max();

    /// `transport` must outlive it.
    explicit OwnerTimers(T& transport) : transport_(transport), wheel_(transport.now()) {}

    void schedule(OwnedConnection& connection, Clock::time_point when) {
        wheel_.schedule(connection, when);
        arm();
    }
    void cancel(OwnedConnection& connection) noexcept { wheel_.cancel(connection); }

    /// The transport has woken its owner: calls on_timer() of those that are due, and returns the time that it is. The
    /// next wake-up is for arm() to ask for, when the owner has seen to its own times.
    Clock::time_point fire() {
        armed_for_ = never;
        const auto now = transport_.now();
        wheel_.advance(now);
        return now;
    }
    /// The transport will wake the owner when the next timer is due, or at `own` if that is earlier.
    void arm(Clock::time_point own = never) {
        const auto next = std::min(wheel_.next_wake().value_or(never), own);
        if (next >= armed_for_) return;
        armed_for_ = next;
        transport_.wake_at(next);
    }
    /// The transport won't wake the owner until arm() asks for it again.
    void disarm() {
        armed_for_ = never;
        transport_.wake_at(never);
    }

   private:
    T& transport_;
    TimerWheel<OwnedConnection> wheel_;
    Clock::time_point armed_for_ = never;
};

}  // namespace wsserver
