// Decides when a silent peer gets a Ping and when it is given up. A value: it has no clock, timer or network.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// What one connection knows about the life of its peer.
class KeepAlive {
   public:
    /// The peer has sent bytes or taken ours.
    void heard(Clock::time_point now) noexcept { heard_ = now; }
    /// When that was the last time.
    Clock::time_point last_heard() const noexcept { return heard_; }

    /// A Ping of ours is made. Returns the number that its payload carries. If the answer to an earlier one is awaited,
    /// the time of that one stays: Pings of the program do not give the peer more time.
    std::uint64_t pinged(Clock::time_point now) noexcept {
        if (!is_probing()) stop_probing();
        if (!is_probing()) pinged_ = now;
        return number();
    }
    /// A Pong carried `number`. Others than the last one of ours change nothing (RFC 6455 §5.5.3).
    void ponged(std::uint64_t carried, Clock::time_point now) noexcept {
        if (carried != number()) return;
        const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(now - pinged_).count();
        round_trip_ = static_cast<std::uint32_t>(std::clamp<std::int64_t>(taken, 0, no_round_trip - 1)) & no_round_trip;
    }
    /// Between the last Ping of ours that was answered and its Pong.
    std::optional<std::chrono::microseconds> round_trip() const noexcept {
        if (round_trip_ == no_round_trip) return std::nullopt;
        return std::chrono::microseconds{round_trip_};
    }

    /// From now on, the peer must answer the Ping that was just made.
    void probe() noexcept { probing_ = 1; }
    /// The peer need not answer: its bytes may wait unread, because receiving is paused.
    void stop_probing() noexcept { probing_ = 0; }

    /// What to do at a time.
    struct Decision {
        /// The kinds of action.
        enum class Act : std::uint8_t {
            wait,     ///< look again at `at`
            ping,     ///< the peer has been silent for `interval`: make a Ping and call probe()
            give_up,  ///< it has not answered within `timeout`
        };
        Act act;                 ///< what to do
        Clock::time_point at{};  ///< when to look again, if it is `wait`
    };
    /// `interval` is the silence before a Ping, `timeout` the silence after it.
    Decision decide(Clock::time_point now, std::chrono::milliseconds interval,
                    std::chrono::milliseconds timeout) const {
        if (is_probing()) {
            const auto given_up = later(pinged_, timeout);
            if (now >= given_up) return {Decision::Act::give_up};
            // If the peer answers at once, the next Ping is due after `interval`, which may be before that.
            return {Decision::Act::wait, std::min(given_up, later(now, interval))};
        }
        const auto too_long = later(heard_, interval);
        if (now >= too_long) return {Decision::Act::ping};
        return {Decision::Act::wait, too_long};
    }

   private:
    /// 31 bits of microseconds are enough for half an hour.
    static constexpr std::uint32_t no_round_trip = (std::uint32_t{1} << 31) - 1;

    /// The payload of a Ping of ours is the time at which it was made.
    std::uint64_t number() const noexcept { return static_cast<std::uint64_t>(pinged_.time_since_epoch().count()); }
    /// True if nothing was received since our Ping to a silent peer.
    bool is_probing() const noexcept { return probing_ != 0 && heard_ < pinged_; }

    Clock::time_point heard_{};
    Clock::time_point pinged_{};
    // Twenty bytes, so that the connection's flags have space after them.
    std::uint32_t round_trip_ : 31 = no_round_trip;
    std::uint32_t probing_ : 1 = 0;
};

}  // namespace wsserver
