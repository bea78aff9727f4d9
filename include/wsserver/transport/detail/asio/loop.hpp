// The state of an AsioTransport: the receive buffer, posted tasks, the timer and the acceptors.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_descriptor.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <vector>

#include "wsserver/transport/asio.hpp"
#include "wsserver/transport/detail/asio/one_thread.hpp"
#include "wsserver/transport/detail/asio/operation_memory.hpp"
#include "wsserver/transport/detail/receive_queue.hpp"

namespace wsserver::detail {

/// Registers a socket with the loop, to wait for readiness. Streams receive and send on the descriptor itself.
/// Bound to the executor type of io_context: a type-erased one would be four times as large.
using WaitableDescriptor = boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
using LoopTimer =
    boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, boost::asio::io_context::executor_type>;

class AsioAcceptor;
class AsioStream;
void intrusive_ptr_add_ref(AsioStream* stream) noexcept;
void intrusive_ptr_release(AsioStream* stream) noexcept;

/// Five streams receive 64 KiB each in about 0.1 ms.
using AsioReceiveQueue = ReceiveQueue<boost::intrusive_ptr<AsioStream>, 5>;

/// Shared with its pending operations, because a caller's context may run after the transport is destroyed.
class AsioLoop : public std::enable_shared_from_this<AsioLoop> {
   public:
    enum class Context : bool { own, callers };
    AsioLoop(boost::asio::io_context& context, Context whose);

    boost::asio::io_context& context() noexcept { return context_; }
    /// For the time of a call of the loop. A loop of its own has one thread and is not watched.
    [[nodiscard]] OneThread::Turn turn() noexcept { return OneThread::Turn{work_ ? nullptr : &one_thread_}; }
    OutputBuffer& output() noexcept { return output_; }
    MutableBytes buffer() noexcept { return {buffer_.get(), AsioTransport::receive_buffer_size}; }

    /// Any thread.
    void post(UniqueFunction<void()> task);

    void on_wake(UniqueFunction<void()> task) { on_wake_ = std::move(task); }
    void wake_at(Clock::time_point time);

    void listen(ListeningSocket listener, UniqueFunction<void(Descriptor)> accepted);
    void stop_listening();
    void on_accept_paused(UniqueFunction<void(std::error_code)> paused) { accept_paused_ = std::move(paused); }
    void accept_paused(std::error_code why) {
        if (accept_paused_) accept_paused_(why);
    }
    /// Calls stream.receive_more() in a later turn.
    void receive_in_order(AsioStream& stream);
    /// Called when a descriptor has become free.
    void stream_closed();

    /// See AsioTransport::claim().
    bool claim() noexcept;

    /// Stops listening, waking and posted tasks: no user is called any more.
    void detach();
    bool is_detached() const noexcept { return detached_; }

   private:
    bool begin_use() noexcept;
    void notice_posts();
    void run_posted();
    void receive_soon();
    void receive_next();
    void arm(Clock::time_point time);
    void woken();

    boost::asio::io_context& context_;
    OneThread one_thread_;
    std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
    std::unique_ptr<std::uint8_t[]> buffer_;
    OutputBuffer output_;
    bool detached_ = false;
    /// The user of the loop is decided once. All use of it begins with a posted task.
    enum class Use : std::uint8_t { none_yet, loop, claimed };
    std::atomic<Use> use_{Use::none_yet};

    std::mutex mutex_;
    std::vector<UniqueFunction<void()>> posted_;       // guarded by mutex_
    bool posted_noticed_ = false;                      // guarded by mutex_; a call of run_posted() is queued
    std::vector<UniqueFunction<void()>> spare_tasks_;  // keeps the memory of those that have run
    OperationMemory posted_memory_;                    // for the call of run_posted()

    LoopTimer timer_;
    OperationMemory timer_memory_;
    bool timer_waits_ = false;  // a call of woken() follows
    Clock::time_point wake_at_ = Clock::time_point::max();
    Clock::time_point armed_for_ = Clock::time_point::max();
    UniqueFunction<void()> on_wake_;

    AsioReceiveQueue receive_queue_;
    bool receive_noticed_ = false;    // a call of receive_next() is queued
    OperationMemory receive_memory_;  // for that call

    std::vector<std::shared_ptr<AsioAcceptor>> acceptors_;
    UniqueFunction<void(std::error_code)> accept_paused_;
};

}  // namespace wsserver::detail
