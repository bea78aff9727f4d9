// An operation of an AwaitableClient, from its beginning to the call of its completion handler.
#pragma once

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <new>
#include <tuple>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/client/awaitable_state.hpp"
#include "wsserver/transport/detail/asio/operation_memory.hpp"

namespace wsserver::detail {

/// Waits in a timer of its own, so that one is woken without the others, without memory, and never within the call that
/// wakes it. The pending wait keeps it alive.
class ClientOperation : public std::enable_shared_from_this<ClientOperation> {
   public:
    ClientOperation(AwaitableState& state, AwaitableState::Time deadline)
        : state_(state.shared_from_this()), deadline_(deadline), timer_(state.executor()) {}
    ClientOperation(const ClientOperation&) = delete;
    ClientOperation& operator=(const ClientOperation&) = delete;
    virtual ~ClientOperation() { leave(); }

    /// Begins to wait, then calls `effect`, which may need memory. Throws std::bad_alloc if it has not begun.
    template <class F>
    void begin(F&& effect) {
        listen_for_cancellation();
        state_->waiting_.push_back(this);
        wait();
        if (!within_memory(std::forward<F>(effect))) fail(make_error_code(boost::system::errc::not_enough_memory));
        state_->wake();
    }
    /// Ends with `error` in a later turn.
    void fail(boost::system::error_code error) {
        error_ = error;
        wake();
    }
    /// Looks for its result in a later turn.
    void wake() noexcept {
        woken_ = true;
        timer_.cancel();
    }
    bool is_woken() const noexcept { return woken_; }
    /// True if the operation has a result.
    virtual bool is_due() const = 0;
    /// True if it takes a message from those that wait.
    virtual bool takes_message() const noexcept { return false; }

   protected:
    /// Takes the result; it is due.
    virtual void take_result() = 0;
    /// It was cancelled before it had a result.
    virtual void give_up() {}
    /// Calls the completion handler after `self`, which is this operation, has been destroyed.
    virtual void complete(std::shared_ptr<ClientOperation> self) = 0;
    virtual void listen_for_cancellation() = 0;

    AwaitableState& state() const noexcept { return *state_; }
    bool is_late() const noexcept { return deadline_ != AwaitableState::never && Clock::now() >= deadline_; }
    void cancel() noexcept {
        cancelled_ = true;
        wake();
    }

    /// wake() does not know the operation any more.
    void leave() noexcept { std::erase(state_->waiting_, this); }

    boost::system::error_code error_;

    /// Cancels the operation, if it still exists, for the types of cancellation that it supports.
    struct Cancel {
        std::weak_ptr<ClientOperation> operation;
        boost::asio::cancellation_type supported;

        void operator()(boost::asio::cancellation_type type) const {
            if ((type & supported) == boost::asio::cancellation_type::none) return;
            if (const auto found = operation.lock()) found->cancel();
        }
    };

   private:
    void wait() {
        timer_.expires_at(deadline_);
        timer_.async_wait(InMemory{memory_, [self = shared_from_this()](boost::system::error_code) mutable {
                                       ClientOperation& operation = *self;
                                       operation.look(std::move(self));
                                   }});
    }
    /// Completes, or waits again.
    void look(std::shared_ptr<ClientOperation> self) {
        woken_ = false;
        if (!error_ && cancelled_) {
            error_ = boost::asio::error::operation_aborted;
            give_up();
        } else if (!error_ && is_due()) {
            take_result();
        } else if (!error_ && within_memory([this] { wait(); })) {
            return;
        } else if (!error_) {
            error_ = make_error_code(boost::system::errc::not_enough_memory);
        }
        leave();
        state_->wake();  // a message that it has not taken
        complete(std::move(self));
    }

    const std::shared_ptr<AwaitableState> state_;
    const AwaitableState::Time deadline_;
    OperationMemory memory_;
    boost::asio::steady_timer timer_;
    bool woken_ = false;
    bool cancelled_ = false;
};

/// An operation with the results `Results`, which supports the cancellation types of `Kind::cancellation`.
template <class Kind, class... Results>
class ClientOperationOf : public ClientOperation {
   public:
    ClientOperationOf(AwaitableState& state, CompletionHandler<Results...> done,
                      AwaitableState::Time deadline = AwaitableState::never)
        : ClientOperation(state, deadline),
          executor_(boost::asio::get_associated_executor(done, state.executor())),
          is_elsewhere_(executor_ != state.completion_executor()),
          done_(std::move(done)) {
        if (!executor_) throw std::bad_alloc{};  // it had no memory for its copy of the executor
        if (is_elsewhere_) work_ = boost::asio::prefer(executor_, boost::asio::execution::outstanding_work.tracked);
    }
    /// The completion handler may own the client, whose end wakes the operations that wait: this is not one any more.
    ~ClientOperationOf() override { leave(); }

   protected:
    std::tuple<Results...> results_;

   private:
    void listen_for_cancellation() override {
        auto slot = boost::asio::get_associated_cancellation_slot(done_);
        if (slot.is_connected()) slot.assign(Cancel{weak_from_this(), Kind::cancellation});
    }
    void complete(std::shared_ptr<ClientOperation> self) override {
        auto slot = boost::asio::get_associated_cancellation_slot(done_);
        if (slot.is_connected()) slot.clear();
        auto call = [done = std::move(done_), error = error_, results = std::move(results_)]() mutable {
            std::apply([&](Results&... result) { std::move(done)(error, std::move(result)...); }, results);
        };
        const bool is_elsewhere = is_elsewhere_;
        const auto executor = executor_;
        const auto work = std::move(work_);
        self.reset();
        // On the loop's own executor nothing is allocated, so the call is certain.
        is_elsewhere ? boost::asio::dispatch(executor, std::move(call)) : call();
    }

    boost::asio::any_completion_executor executor_;
    const bool is_elsewhere_;  ///< the handler has another executor than the client
    boost::asio::any_completion_executor work_;
    CompletionHandler<Results...> done_;
};

}  // namespace wsserver::detail
