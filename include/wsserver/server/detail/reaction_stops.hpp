// The stop tokens of pooled reactions.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>

#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// Knows the reactions that have asked for a token, and requests their stop. Any thread may call the members. Callbacks
/// of tokens run under no lock.
class ReactionStops {
   public:
    /// The time that a reaction has; see ServerOptions::handler_deadline.
    std::chrono::milliseconds allowed() const noexcept { return allowed_.load(std::memory_order_relaxed); }
    void allow(std::chrono::milliseconds time) noexcept { allowed_.store(time, std::memory_order_relaxed); }

    /// The token of a reaction; the same until end(). Throws std::bad_alloc.
    ///
    /// reaction  tells it apart from others that run at the same time
    std::stop_token token(const void* reaction, Clock::time_point deadline);
    /// The reaction has returned.
    void end(const void* reaction) noexcept;

    /// Requests the stop of one reaction, if it has a token.
    void stop(const void* reaction) noexcept;
    /// The same for all, also those that ask for a token later.
    void stop_all() noexcept;
    /// The same for those whose deadline has passed. Returns the next deadline; nothing if there is none.
    std::optional<Clock::time_point> stop_overdue(Clock::time_point now) noexcept;

   private:
    struct Running {
        std::stop_source source;
        Clock::time_point deadline;
    };

    /// Requests the stop of those reactions for which `f` is true and no stop was requested.
    template <class F>
    void stop_those(F&& f) noexcept;

    std::atomic<std::chrono::milliseconds> allowed_{std::chrono::milliseconds{5'000}};
    std::mutex mutex_;
    std::map<const void*, Running> running_;
    bool stopping_ = false;  ///< stop_all() was called
};

}  // namespace wsserver
