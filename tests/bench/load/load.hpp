// Load for a server in windows of time: what loads of all kinds have in common.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace wsserver::bench {

/// A closed loop on one thread: each answer of the server brings about the next order to it.
class Load {
   public:
    struct Window {
        std::uint64_t done = 0;
        std::chrono::nanoseconds time{};
    };

    Load() = default;
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    virtual ~Load() = default;

    /// Runs for `warm_up`, then for `window`, at whose edges `at_edge` is called; then waits for what is still under
    /// way. Returns what the server has done within the window. Throws std::runtime_error if it doesn't answer.
    Window run(std::chrono::milliseconds warm_up, std::chrono::milliseconds window,
               const std::function<void()>& at_edge);

   protected:
    /// Gets the loop going.
    virtual void begin() = 0;
    /// Does what there is to do; waits for it, but not for ever.
    virtual void turn() = 0;
    virtual bool under_way() const = 0;

    void count(std::uint64_t done) noexcept { done_ += done; }
    /// Whether nothing new is to begin.
    bool stopping() const noexcept { return stopping_; }

   private:
    using Clock = std::chrono::steady_clock;
    void run_until(Clock::time_point end);
    void wait_for_the_rest();

    std::uint64_t done_ = 0;
    bool stopping_ = false;
};

}  // namespace wsserver::bench
