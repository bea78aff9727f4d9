#pragma once

#include "wsserver/client/awaitable_state.hpp"

// g++ 12 reports a false mismatch when it inlines Asio's operators new and delete for coroutine frames.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <ostream>
#include <utility>

#include "wsserver/client/detail/client_operation.hpp"

namespace wsserver {

std::ostream& operator<<(std::ostream& out, const ConnectError& error) { return out << error.text; }

namespace detail {

/// The handler of one attempt.
class AwaitableState::Reactions {
   public:
    Reactions(std::shared_ptr<AwaitableState> state, std::uint64_t attempt)
        : state_(std::move(state)), attempt_(attempt) {}

    void on_open(AnyConnection& connection) {
        if (state_->is_current(attempt_)) state_->opened(connection.id());
    }
    void on_drained(AnyConnection&) { state_->wake(); }
    void on_message(AnyConnection&, const Text& message) { take(message); }
    void on_message(AnyConnection&, const Binary& message) { take(message); }

   private:
    void take(const auto& message) {
        if (state_->is_current(attempt_)) state_->take(message.opcode, message.payload());
    }

    std::shared_ptr<AwaitableState> state_;
    std::uint64_t attempt_;
};

namespace {

/// An error as Asio's users compare it: those of the system are of its system category, others stay what they are.
boost::system::error_code asio_error(std::error_code error) noexcept {
    const bool is_errno = error.category() == std::generic_category() || error.category() == std::system_category();
    if (is_errno) return {error.value(), boost::system::system_category()};
    return error;
}

}  // namespace

// --- The operations ---

using Cancellation = boost::asio::cancellation_type;

/// Waits until the attempt has succeeded or failed. A cancelled one gives up the attempt.
class ConnectOperation final : public ClientOperationOf<ConnectOperation> {
   public:
    static constexpr auto cancellation = Cancellation::terminal | Cancellation::partial;

    ConnectOperation(AwaitableState& state, CompletionHandler<> done, ConnectError* failure)
        : ClientOperationOf(state, std::move(done)), failure_(failure) {}

    void is_for(std::uint64_t attempt) noexcept { attempt_ = attempt; }
    bool is_due() const override {
        return attempt_ != 0 && (!state().is_current(attempt_) || state().connections_ > 0 || state().is_over());
    }

   private:
    void take_result() override {
        if (state().is_current(attempt_) && state().connections_ > 0) return;
        const auto explain = [this] {
            ConnectError why = state().failure(attempt_);
            error_ = asio_error(why.code);
            if (failure_ != nullptr) *failure_ = std::move(why);
        };
        if (!within_memory(explain)) error_ = make_error_code(boost::system::errc::not_enough_memory);
    }
    /// Within a listener for ends, only a flag says that no connection follows.
    void give_up() override {
        if (!state().is_current(attempt_) || state().is_over()) return;
        state().closes_ = true;
        state().client_->close();
    }

    ConnectError* const failure_;
    std::uint64_t attempt_ = 0;  ///< 0: not begun
};

/// Waits until a connection is open.
class OpenOperation final : public ClientOperationOf<OpenOperation> {
   public:
    static constexpr auto cancellation = Cancellation::terminal | Cancellation::partial | Cancellation::total;

    using ClientOperationOf::ClientOperationOf;
    bool is_due() const override { return state().is_open() || state().is_over(); }

   private:
    void take_result() override {
        if (!state().is_open()) error_ = state().end_error();
    }
};

/// Waits for a message, the end or the deadline.
class ReceiveOperation final : public ClientOperationOf<ReceiveOperation, ReceivedMessage> {
   public:
    static constexpr auto cancellation = OpenOperation::cancellation;

    ReceiveOperation(AwaitableState& state, CompletionHandler<ReceivedMessage> done, AwaitableState::Time deadline)
        : ClientOperationOf(state, std::move(done), deadline), attempt_(state.attempt_) {}

    bool takes_message() const noexcept override { return state().is_current(attempt_); }
    bool is_due() const override {
        return !state().is_current(attempt_) || !state().messages_.empty() || state().is_over() || is_late();
    }

   private:
    void take_result() override {
        if (!state().is_current(attempt_)) {
            error_ = boost::asio::error::operation_aborted;
        } else if (!state().messages_.empty()) {
            std::get<0>(results_) = state().next_message();
        } else if (state().is_over()) {
            error_ = state().end_error();
        } else {
            error_ = boost::asio::error::timed_out;
        }
    }

    const std::uint64_t attempt_;
};

/// Waits until the queue of the connection has room for the next message. The message is sent if it is cancelled.
class SendOperation final : public ClientOperationOf<SendOperation> {
   public:
    static constexpr auto cancellation = ConnectOperation::cancellation;

    SendOperation(AwaitableState& state, CompletionHandler<> done)
        : ClientOperationOf(state, std::move(done)), attempt_(state.attempt_), connection_(state.connections_) {}

    bool is_due() const override { return !may_wait() || state().client_->has_space(); }

   private:
    bool may_wait() const {
        return state().is_current(attempt_) && state().connections_ == connection_ && state().is_open();
    }
    void take_result() override {
        if (may_wait()) return;
        const bool has_cause = state().is_current(attempt_) && state().end_ && state().end_->error;
        error_ = has_cause ? asio_error(state().end_->error) : boost::asio::error::connection_aborted;
        if (!state().is_current(attempt_)) error_ = boost::asio::error::operation_aborted;
    }

    const std::uint64_t attempt_;
    const std::size_t connection_;  ///< its number
};

/// Waits for the end of the connection. The closing handshake goes on if it is cancelled.
class CloseOperation final : public ClientOperationOf<CloseOperation, ConnectionEnd> {
   public:
    static constexpr auto cancellation = ConnectOperation::cancellation;

    CloseOperation(AwaitableState& state, CompletionHandler<ConnectionEnd> done)
        : ClientOperationOf(state, std::move(done)), attempt_(state.attempt_) {}

    bool is_due() const override { return !state().is_current(attempt_) || state().is_over(); }

   private:
    void take_result() override {
        ConnectionEnd& end = std::get<0>(results_);
        const auto copy = [&] {
            if (!state().is_current(attempt_)) {
                end.error = std::make_error_code(std::errc::operation_canceled);
                end.cause = state().lost();
            } else if (state().end_) {
                end.code = state().end_->code;
                end = *state().end_;
            }
        };
        if (!within_memory(copy)) end.error = std::make_error_code(std::errc::not_enough_memory);
    }

    const std::uint64_t attempt_;
};

void AwaitableState::begin_connect(CompletionHandler<> done, std::string url, ConnectError* failure) {
    const auto operation = std::make_shared<ConnectOperation>(*this, std::move(done), failure);
    operation->begin([&] {
        if (client_ == nullptr) return operation->is_for(attempt_ + 1);
        client_->resume_receiving();  // an earlier connection reads on, up to the peer's Close
        const auto connect = [&] { client_->connect(std::move(url), Reactions{shared_from_this(), attempt_ + 1}); };
        bool has_begun = false;
        try {
            has_begun = within_memory(connect);
        } catch (...) {  // of a listener for the end of an earlier connection
            begin_attempt();
            operation->is_for(attempt_);
            throw;
        }
        begin_attempt();
        operation->is_for(attempt_);
        if (has_begun) return;
        client_->close();
        operation->fail(make_error_code(boost::system::errc::not_enough_memory));
    });
}

void AwaitableState::async_wait_open(CompletionHandler<> done) {
    std::make_shared<OpenOperation>(*this, std::move(done))->begin([] {});
}

void AwaitableState::async_receive(CompletionHandler<ReceivedMessage> done, std::chrono::milliseconds at_most) {
    const auto deadline = at_most == std::chrono::milliseconds::max() ? never : later(Clock::now(), at_most);
    std::make_shared<ReceiveOperation>(*this, std::move(done), deadline)->begin([] {});
}

void AwaitableState::async_send(CompletionHandler<> done, AnyMessage message) {
    const auto operation = std::make_shared<SendOperation>(*this, std::move(done));
    operation->begin([&] {
        if (client_ == nullptr) return;
        const SendStatus status = client_->send(message);
        if (status != SendStatus::queued) operation->fail(send_error(status));
    });
}

void AwaitableState::async_append(CompletionHandler<> done, AnyMessage piece) {
    const auto operation = std::make_shared<SendOperation>(*this, std::move(done));
    operation->begin([&] {
        if (client_ == nullptr) return;
        const bool is_begun = client_->append(Bytes{}) != SendStatus::refused;  // an empty piece changes nothing
        const SendStatus status = client_->append(piece);
        if (status != SendStatus::queued) operation->fail(is_begun ? send_error(status) : append_error());
    });
}

SendStatus AwaitableState::begin_message(Opcode type) {
    const SendStatus status = client_->begin_message(type);
    if (status == SendStatus::queued) begun_on_ = connection_;
    return status;
}

SendStatus AwaitableState::end_message() {
    begun_on_.reset();
    return client_->end_message();
}

void AwaitableState::async_close(CompletionHandler<ConnectionEnd> done, CloseCode code, std::string reason) {
    std::make_shared<CloseOperation>(*this, std::move(done))->begin([&] {
        if (client_ == nullptr) return;
        closes_ = true;
        client_->close(code, reason);
        drop_messages();
        client_->resume_receiving();
    });
}

// --- The same as coroutines ---

namespace {

/// Begins an operation that returns its error together with its results.
template <class... Results, class F>
auto begin_awaitable(F begin) {
    constexpr auto token = boost::asio::as_tuple(boost::asio::use_awaitable);
    return boost::asio::async_initiate<decltype(token), void(boost::system::error_code, Results...)>(std::move(begin),
                                                                                                     token);
}

/// Throws if the coroutine was cancelled, and an operation has ended with `error` for that reason.
boost::asio::awaitable<void> throw_if_cancelled(boost::system::error_code error) {
    if (error != boost::asio::error::operation_aborted) co_return;
    const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != Cancellation::none) throw boost::system::system_error(error);
}

}  // namespace

boost::asio::awaitable<std::tuple<boost::system::error_code>> AwaitableState::connecting(std::string& url,
                                                                                         ConnectError& failure) {
    return begin_awaitable(
        [this, &url, &failure](CompletionHandler<> done) { begin_connect(std::move(done), std::move(url), &failure); });
}

boost::asio::awaitable<Result<void, ConnectError>> AwaitableState::connect(std::shared_ptr<AwaitableState> state,
                                                                           std::string url) {
    ConnectError failure;
    const auto [error] = co_await state->connecting(url, failure);
    if (!error) co_return Result<void, ConnectError>{};
    co_await throw_if_cancelled(error);
    if (failure.text.empty()) failure = {error, error.message(), 0};
    co_return Unexpected{std::move(failure)};
}

boost::asio::awaitable<std::tuple<boost::system::error_code, ReceivedMessage>> AwaitableState::receiving(
    std::chrono::milliseconds at_most) {
    return begin_awaitable<ReceivedMessage>(
        [this, at_most](CompletionHandler<ReceivedMessage> done) { async_receive(std::move(done), at_most); });
}

boost::asio::awaitable<std::optional<ReceivedMessage>> AwaitableState::receive(std::shared_ptr<AwaitableState> state,
                                                                               std::chrono::milliseconds at_most) {
    if (!state->messages_.empty() && state->client_ != nullptr && !state->has_receiver()) {
        co_return state->next_message();
    }
    auto [error, message] = co_await state->receiving(at_most);
    if (!error) co_return std::move(message);
    co_await throw_if_cancelled(error);
    co_return std::nullopt;
}

boost::asio::awaitable<std::tuple<boost::system::error_code, ConnectionEnd>> AwaitableState::closing(
    CloseCode code, std::string& reason) {
    return begin_awaitable<ConnectionEnd>([this, code, &reason](CompletionHandler<ConnectionEnd> done) {
        async_close(std::move(done), code, std::move(reason));
    });
}

boost::asio::awaitable<ConnectionEnd> AwaitableState::close(std::shared_ptr<AwaitableState> state, CloseCode code,
                                                            std::string reason) {
    auto [error, end] = co_await state->closing(code, reason);
    co_await throw_if_cancelled(error);
    co_return std::move(end);
}

// --- Events ---

/// From now on, the members describe the next attempt.
void AwaitableState::begin_attempt() {
    ++attempt_;
    connections_ = 0;
    connection_ = {};
    end_.reset();
    will_retry_ = false;
    closes_ = false;
    drop_messages();
    wake();
}

void AwaitableState::opened(ConnectionId connection) {
    ++connections_;
    connection_ = connection;
    end_.reset();
    will_retry_ = false;
    if (bytes_ > enough) client_->pause_receiving();
    wake();
    const auto kept = shared_from_this();  // the listener may destroy the client
    if (open_listener_) open_listener_();
}

void AwaitableState::ended(const ConnectionEnd& how, bool will_retry) {
    const bool is_earlier = how.opened && how.info.id != connection_;  // its closing handshake was slow
    if (!is_earlier) note_end(how, will_retry);
    const auto kept = shared_from_this();
    if (end_listener_) end_listener_(how, will_retry);
}

void AwaitableState::note_end(const ConnectionEnd& how, bool will_retry) {
    will_retry_ = will_retry;
    if (!within_memory([&] { end_ = how; })) {  // without its texts
        end_.emplace();
        end_->code = how.code;
        end_->error = std::make_error_code(std::errc::not_enough_memory);
    }
    wake();
}

void AwaitableState::detach() {
    client_ = nullptr;
    wake();
}

void AwaitableState::take(Opcode opcode, Bytes payload) {
    if (closes_) return;
    messages_.push_back({opcode, std::string{text_of(payload)}, connections_});
    bytes_ += payload.size() + sizeof(ReceivedMessage);
    if (bytes_ > enough) client_->pause_receiving();
    wake();
}

ReceivedMessage AwaitableState::next_message() {
    ReceivedMessage message = std::move(messages_.front());
    messages_.pop_front();
    bytes_ -= message.payload.size() + sizeof(ReceivedMessage);
    if (client_ != nullptr && bytes_ <= enough / 2) client_->resume_receiving();
    return message;
}

void AwaitableState::drop_messages() noexcept {
    messages_.clear();
    bytes_ = 0;
}

/// Wakes the operations that have a result, but for each message only one that takes it.
void AwaitableState::wake() noexcept {
    std::size_t messages = messages_.size();
    for (ClientOperation* operation : waiting_) {
        const bool takes = operation->takes_message() && !is_over();
        if (takes && messages == 0) continue;
        if (takes) --messages;
        if (!operation->is_woken() && operation->is_due()) operation->wake();
    }
}

bool AwaitableState::has_receiver() const noexcept {
    return std::ranges::any_of(waiting_, [](const ClientOperation* other) { return other->takes_message(); });
}

/// Why there are no more messages and connections. An end of the stream that both sides have agreed on is `eof`.
boost::system::error_code AwaitableState::end_error() const noexcept {
    if (client_ == nullptr || (end_ && will_retry_)) return boost::asio::error::operation_aborted;
    if (!end_) return boost::asio::error::not_connected;
    if (end_->error) return asio_error(end_->error);
    if (end_->code == CloseCode::abnormal) return boost::asio::error::connection_aborted;
    return boost::asio::error::eof;
}

/// Why a message was not sent.
boost::system::error_code AwaitableState::send_error(SendStatus status) noexcept {
    if (status == SendStatus::refused) return make_error_code(Errc::invalid_utf8);
    if (status == SendStatus::dropped) return boost::asio::error::no_buffer_space;
    return boost::asio::error::not_connected;
}

/// Why a piece was not sent while no message was open.
boost::system::error_code AwaitableState::append_error() const noexcept {
    const bool is_lost = begun_on_ && *begun_on_ != connection_;
    return is_lost ? boost::asio::error::connection_aborted : boost::asio::error::invalid_argument;
}

ConnectError AwaitableState::failure(std::uint64_t attempt) const {
    if (!is_current(attempt)) return {std::make_error_code(std::errc::operation_canceled), lost(), 0};
    if (!end_ || will_retry_) return {std::make_error_code(std::errc::operation_canceled), "given up", 0};
    const auto code = end_->error ? end_->error : std::make_error_code(std::errc::connection_aborted);
    return {code, end_->cause, end_->refused_with};
}

/// Why an attempt, which is not current any more, has no result.
const char* AwaitableState::lost() const noexcept {
    return client_ == nullptr ? "the client is gone" : "replaced by a later connect()";
}

}  // namespace detail
}  // namespace wsserver

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
