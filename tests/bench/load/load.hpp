// The common part of all loads: windows of time in which operations are counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace wsserver::bench {

/// A closed loop on one thread: each reply of the server triggers the next request.
class Load {
   public:
    struct Window {
        std::uint64_t done = 0;           ///< operations
        std::chrono::nanoseconds time{};  ///< the length of the window
    };

    Load() = default;
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    virtual ~Load() = default;

    /// Runs for `warm_up`, then for `window`, and calls `at_edge` at the beginning and the end of the window. Then
    /// waits for the operations in progress. Throws std::runtime_error if the server does not answer.
    Window run(std::chrono::milliseconds warm_up, std::chrono::milliseconds window,
               const std::function<void()>& at_edge);

   protected:
    /// Starts the first operations.
    virtual void begin() = 0;
    /// Waits for events, for a limited time, and handles them.
    virtual void turn() = 0;
    /// True while operations are in progress.
    virtual bool under_way() const = 0;

    void count(std::uint64_t done) noexcept { done_ += done; }
    /// True if no new operation must begin.
    bool stopping() const noexcept { return stopping_; }

   private:
    using Clock = std::chrono::steady_clock;
    void run_until(Clock::time_point end);
    void wait_for_the_rest();

    std::uint64_t done_ = 0;
    bool stopping_ = false;
};

}  // namespace wsserver::bench
