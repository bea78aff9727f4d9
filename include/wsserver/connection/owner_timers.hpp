// The timers of an owner's connections.
#pragma once

#include <algorithm>
#include <chrono>

#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/scheduling/timer_wheel.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// The timers of an owner's connections. They share the single wake-up of the transport with the owner's own times.
template <Transport T>
class OwnerTimers {
   public:
    /// The time of a timer that is not set.
    static constexpr auto never = Clock::time_point::max();

    /// `transport` must outlive the object.
    explicit OwnerTimers(T& transport) : transport_(transport), wheel_(transport.now()) {}

    /// Calls connection.on_timer() at `when` or soon after. Replaces an earlier time.
    void schedule(OwnedConnection& connection, Clock::time_point when) {
        wheel_.schedule(connection, when);
        arm();
    }
    /// connection.on_timer() is not called before the next schedule().
    void cancel(OwnedConnection& connection) noexcept { wheel_.cancel(connection); }

    /// The owner calls this when the transport wakes it. Calls on_timer() of the connections that are due, and returns
    /// the current time. The owner then handles its own times and calls arm().
    Clock::time_point fire() {
        armed_for_ = never;
        const auto now = transport_.now();
        wheel_.advance(now);
        return now;
    }
    /// Wakes the owner when the next timer is due, or at `own` if that is earlier.
    void arm(Clock::time_point own = never) {
        const auto next = std::min(wheel_.next_wake().value_or(never), own);
        if (next >= armed_for_) return;
        armed_for_ = next;
        transport_.wake_at(next);
    }
    /// Does not wake the owner before the next arm().
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
