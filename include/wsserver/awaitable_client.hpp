// A WebSocket client for coroutines and other completion tokens of Asio: connect, send, receive and close.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "wsserver/base/callback.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/client.hpp"
#include "wsserver/client/awaitable_state.hpp"

namespace wsserver {

/// A client for coroutines. Everything that holds for Client holds for it: use and destroy it on the loop's thread. The
/// coroutines run on that thread, too.
///
///     AwaitableClient client{context};
///     if (const auto connected = co_await client.connect("ws://127.0.0.1:8080"); !connected) ...
///     client.send(Text{"hello"});
///     while (const auto message = co_await client.receive()) use(message->payload);
///
/// Each operation exists twice. `connect()`, `receive()` and `close()` are coroutines that return their errors. A
/// coroutine that is cancelled while it waits in one throws boost::system::system_error with operation_aborted.
/// `async_connect()` and so on take any completion token of Asio, by default use_awaitable, which throws errors.
///
/// Several operations may wait at the same time, for example receive() and close(). Those that wait for messages get
/// one each, in the order in which they began. The completion handler is called through its associated executor, by
/// default that of the client, exactly once, and never within the call that begins the operation or ends it. An
/// operation may outlive the client. If memory runs out, it throws std::bad_alloc when it begins, or ends with
/// `not_enough_memory`. Its cancellation slot is used on the loop's thread.
class AwaitableClient {
   public:
    using executor_type = boost::asio::any_io_executor;  ///< as in Asio's I/O objects

    /// `context` must outlive the client. Throws as Client does.
    explicit AwaitableClient(boost::asio::io_context& context, ClientOptions options = {})
        : client_(context, std::move(options)), state_(std::make_shared<State>(client_)) {
        observe();
    }
    /// The same for the io_context of `executor`; see Client. Completion handlers are called through `executor`.
    explicit AwaitableClient(const executor_type& executor, ClientOptions options = {})
        : client_(executor, std::move(options)), state_(std::make_shared<State>(client_)) {
        observe();
    }
    /// Ends the connection without a closing handshake. The operations that wait end in a later turn of the loop, and
    /// do not use the client any more. Call it where ~Client() may be called, also in a coroutine or a completion
    /// handler.
    ~AwaitableClient() { state_->detach(); }
    AwaitableClient(const AwaitableClient&) = delete;
    AwaitableClient& operator=(const AwaitableClient&) = delete;

    /// The executor of the constructor, or that of its io_context.
    executor_type get_executor() const noexcept { return state_->executor(); }

    /// Connects to `url`. Returns when the connection is open, or returns the reason why connecting failed: an error of
    /// the system or the server, options.connect_timeout, close(), a later connect(), or "the client is gone". An
    /// earlier connection is closed with 1001 first. With options.reconnect it goes on after failures, as Reconnect
    /// says, and connects again whenever the connection ends. If the coroutine is cancelled, the client gives up.
    boost::asio::awaitable<Result<void, ConnectError>> connect(std::string url) {
        return State::connect(state_, std::move(url));
    }
    /// The same with a token for `void(error_code)`. The error is ConnectError::code; end() has its text. Supports
    /// terminal and partial cancellation.
    template <class Token = boost::asio::use_awaitable_t<>>
    auto async_connect(std::string url, Token&& token = Token{}) {
        return initiate<Token, void(Error)>(&State::async_connect, token, std::move(url));
    }

    /// Waits until a connection is open, for programs that send and whose client reconnects. Completes with the token
    /// for `void(error_code)`: at once if one is open, and with the reason if none follows. Supports all types of
    /// cancellation.
    template <class Token = boost::asio::use_awaitable_t<>>
    auto async_wait_open(Token&& token = Token{}) {
        return initiate<Token, void(Error)>(&State::async_wait_open, token);
    }

    /// Returns the next message, in order. Returns nothing if the connection has ended, see end(), if a later connect()
    /// has replaced it, or if the client is gone. With options.reconnect it goes on with the messages of the next
    /// connection; ReceivedMessage::connection tells them apart. A coroutine that is cancelled has not taken a message.
    boost::asio::awaitable<std::optional<ReceivedMessage>> receive() { return State::receive(state_, forever); }
    /// The same, but also returns nothing if no message arrives within `at_most`. Then is_open() is still true.
    boost::asio::awaitable<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds at_most) {
        return State::receive(state_, at_most);
    }
    /// The same with a token for `void(error_code, ReceivedMessage)`. The error is `eof` after a closing handshake, the
    /// error of another end, or operation_aborted: cancelled, replaced, or the client is gone. Supports all types of
    /// cancellation: an operation that was cancelled has not taken a message.
    template <class Token = boost::asio::use_awaitable_t<>>
    requires(!std::convertible_to<Token, std::chrono::milliseconds>) auto async_receive(Token&& token = Token{}) {
        return initiate<Token, void(Error, ReceivedMessage)>(&State::async_receive, token, forever);
    }
    /// The same; the error is `timed_out` if no message arrives within `at_most`.
    template <class Token = boost::asio::use_awaitable_t<>>
    auto async_receive(std::chrono::milliseconds at_most, Token&& token = Token{}) {
        return initiate<Token, void(Error, ReceivedMessage)>(&State::async_receive, token, at_most);
    }

    /// See Client::send().
    SendStatus send(const AnyMessage& message) { return client_.send(message); }
    /// Sends a message, and completes with the token for `void(error_code)` when the send queue has room for the next
    /// one: at most `connection.send_queue.high_mark` of a loop of these wait, and one message. A loop of send() does
    /// not wait, so its queue may reach the hard limit. The errors are `not_connected`, Errc::invalid_utf8,
    /// `no_buffer_space` if the policy for slow consumers drops it, and the error of the end of the connection. The
    /// payload must be valid until the operation has begun. Supports terminal and partial cancellation, which does not
    /// take the message back.
    template <class Token = boost::asio::use_awaitable_t<>>
    auto async_send(const AnyMessage& message, Token&& token = Token{}) {
        return initiate<Token, void(Error)>(&State::async_send, token, message);
    }
    /// See Client::begin_message(). If the connection ends within the message and the client reconnects, the rest must
    /// not be sent: see async_append(). Other coroutines must not append to it, and should send() instead.
    [[nodiscard]] SendStatus begin_message(Opcode type) { return state_->begin_message(type); }
    /// See Client::append().
    SendStatus append(const AnyMessage& piece) { return client_.append(piece); }
    /// See Client::end_message().
    SendStatus end_message() { return state_->end_message(); }
    /// Sends the next piece of a message as async_send() sends a message: it completes when there is room for the next
    /// one. Further errors are `connection_aborted` if the connection on which the message was begun has ended and the
    /// client has reconnected, and `invalid_argument` if no message was begun.
    template <class Token = boost::asio::use_awaitable_t<>>
    auto async_append(const AnyMessage& piece, Token&& token = Token{}) {
        return initiate<Token, void(Error)>(&State::async_append, token, piece);
    }
    /// See Client::ping().
    SendStatus ping(Bytes payload = {}) { return client_.ping(payload); }

    /// Performs the closing handshake and returns how the connection ended; 1006 also if there was no connection, if a
    /// later connect() has replaced it, or if the client is gone; then `cause` says so. Discards the messages that have
    /// not been received and those that arrive meanwhile. The client does not reconnect. If the coroutine is cancelled,
    /// the closing handshake goes on.
    boost::asio::awaitable<ConnectionEnd> close(CloseCode code = CloseCode::normal, std::string reason = {}) {
        return State::close(state_, code, std::move(reason));
    }
    /// The same with a token for `void(error_code, ConnectionEnd)`; the error is operation_aborted if it was cancelled.
    /// Supports terminal and partial cancellation.
    template <class Token = boost::asio::use_awaitable_t<>>
    auto async_close(CloseCode code = CloseCode::normal, std::string reason = {}, Token&& token = Token{}) {
        return initiate<Token, void(Error, ConnectionEnd)>(&State::async_close, token, code, std::move(reason));
    }
    /// The same with the code 1000 and no reason.
    template <class Token>
    requires(!std::convertible_to<Token, CloseCode>) auto async_close(Token&& token) {
        return async_close(CloseCode::normal, {}, std::forward<Token>(token));
    }

    /// Calls `listener` each time a connection has opened, before its first message is received. It may call any
    /// member, for example send(), but must not replace itself. What it throws closes the connection with 1011.
    void on_open(Callback<void()> listener) { state_->on_open(std::move(listener)); }
    /// Calls `listener` at the end of each connection and after each failed attempt; see Client::on_end(). Messages
    /// that arrived before the end can still be received.
    void on_end(Callback<void(const ConnectionEnd&, bool will_retry)> listener) { state_->on_end(std::move(listener)); }

    /// True if messages can be sent.
    bool is_open() const noexcept { return client_.is_open(); }
    /// How the connection ended, or why the attempt failed, if it has: `error` for programs, `cause` for people. The
    /// reference is valid as long as the client; connect() and a new connection reset the value.
    const std::optional<ConnectionEnd>& end() const noexcept { return state_->end(); }
    /// The client that this one uses, for example to add listeners. Its on_end() is taken, and its connect() and
    /// close() must not be called.
    Client& client() noexcept { return client_; }

   private:
    using State = detail::AwaitableState;
    using Error = boost::system::error_code;
    static constexpr auto forever = std::chrono::milliseconds::max();

    /// Begins an operation, which may be later than the call that returns its awaitable. Then the client may be gone.
    template <class Begin>
    struct Initiation {
        using executor_type = AwaitableClient::executor_type;

        executor_type get_executor() const noexcept { return state->executor(); }
        template <class Handler, class... Args>
        void operator()(Handler&& handler, Args&&... args) const {
            (state.get()->*begin)(std::forward<Handler>(handler), std::forward<Args>(args)...);
        }

        std::shared_ptr<State> state;
        Begin begin;
    };

    template <class Token, class Signature, class Begin, class... Args>
    auto initiate(Begin begin, Token& token, Args&&... args) {
        return boost::asio::async_initiate<Token, Signature>(Initiation<Begin>{state_, begin}, token,
                                                             std::forward<Args>(args)...);
    }
    void observe() {
        client_.on_end([state = state_](const ConnectionEnd& end, bool will_retry) { state->ended(end, will_retry); });
    }

    Client client_;
    std::shared_ptr<State> state_;
};

}  // namespace wsserver
