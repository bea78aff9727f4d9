// Which thread runs the loop of a client.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <thread>

namespace wsserver {

/// Checks that a client is destroyed where that is safe. It cannot see a thread that has not called note() yet, so it
/// may miss a fault, but it reports none that is not there.
class LoopThread {
   public:
    explicit LoopThread(boost::asio::io_context& context) noexcept : context_(context) {}

    /// Called by the thread that runs the loop.
    void note() noexcept { last_.store(std::this_thread::get_id(), std::memory_order_relaxed); }

    /// True on a thread that is inside a call of the loop.
    bool is_running_here() const noexcept { return context_.get_executor().running_in_this_thread(); }
    /// True if this thread runs the loop or ran it last, or if the loop has stopped or has not run.
    bool may_end_here() const noexcept {
        const auto last = last_.load(std::memory_order_relaxed);
        return last == std::thread::id{} || last == std::this_thread::get_id() || is_running_here() ||
               context_.stopped();
    }

   private:
    boost::asio::io_context& context_;
    std::atomic<std::thread::id> last_{};
};

}  // namespace wsserver
