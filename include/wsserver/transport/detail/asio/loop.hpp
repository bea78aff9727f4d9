// What AsioTransport keeps for its thread: the buffer, posted tasks, the one timer, the acceptors.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_descriptor.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <vector>

#include "wsserver/transport/asio.hpp"

namespace wsserver::detail {

/// Registers a socket with the loop, to wait for readiness. Receiving and sending is done on the number itself.
/// Bound to io_context's own executor: a type-erased one would be four times as large.
using WaitableDescriptor = boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
using LoopTimer =
    boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, boost::asio::io_context::executor_type>;

class AsioAcceptor;

/// Shared with what waits in the context: a caller's context may run when the transport is gone.
class AsioLoop : public std::enable_shared_from_this<AsioLoop> {
   public:
    enum class Context : bool { own, callers };
    AsioLoop(boost::asio::io_context& context, Context whose);

    boost::asio::io_context& context() noexcept { return context_; }
    OutputBuffer& output() noexcept { return output_; }
    MutableBytes buffer() noexcept { return {buffer_.get(), AsioTransport::receive_buffer_size}; }

    /// Any thread.
    void post(UniqueFunction<void()> task);

    void on_wake(UniqueFunction<void()> task) { on_wake_ = std::move(task); }
    void wake_at(Clock::time_point time);

    void listen(ListeningSocket listener, UniqueFunction<void(Descriptor)> accepted);
    void stop_listening();
    void on_accept_paused(UniqueFunction<void(std::error_code)> told) { accept_paused_ = std::move(told); }
    void accept_paused(std::error_code why) {
        if (accept_paused_) accept_paused_(why);
    }
    /// A descriptor has become free.
    void stream_closed();

    /// Nobody above is called any more.
    void detach();

   private:
    void run_posted();
    void arm(Clock::time_point time);
    void woken(Clock::time_point armed_for);

    boost::asio::io_context& context_;
    std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
    std::unique_ptr<std::uint8_t[]> buffer_;
    OutputBuffer output_;
    bool detached_ = false;

    std::mutex mutex_;
    std::vector<UniqueFunction<void()>> posted_;   // guarded by mutex_
    bool posted_noticed_ = false;                  // guarded by mutex_; run_posted() is on its way
    std::vector<UniqueFunction<void()>> running_;  // what run_posted() took; kept for its memory

    LoopTimer timer_;
    Clock::time_point wake_at_ = Clock::time_point::max();
    Clock::time_point armed_for_ = Clock::time_point::max();
    UniqueFunction<void()> on_wake_;

    std::vector<std::shared_ptr<AsioAcceptor>> acceptors_;
    UniqueFunction<void(std::error_code)> accept_paused_;
};

}  // namespace wsserver::detail
