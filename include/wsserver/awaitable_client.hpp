// A WebSocket client for coroutines: connect, send, receive and close, each with co_await.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/base/result.hpp"
#include "wsserver/client.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// A message that owns its payload.
struct ReceivedMessage {
    Opcode opcode = Opcode::text;  ///< text or binary
    std::string payload{};         ///< valid UTF-8 if it is text

    /// True for text, false for binary.
    bool is_text() const noexcept { return opcode == Opcode::text; }
};

/// A client for one coroutine at a time. Used on the loop's thread, as Client is.
///
///     AwaitableClient client{context};
///     if (const auto connected = co_await client.connect("ws://127.0.0.1:8080"); !connected) ...
///     client.send(Text{"hello"});
///     while (const auto message = co_await client.receive()) use(message->payload);
class AwaitableClient {
   public:
    /// Ignores `options.reconnect`; call connect() again instead.
    explicit AwaitableClient(boost::asio::io_context& context, ClientOptions options = {})
        : state_(std::make_shared<State>(context)), client_(context, without_reconnect(std::move(options))) {
        client_.on_end([state = state_](const ConnectionEnd& end, bool) {
            state->end = end;
            state->wake();
        });
    }

    /// Connects to `url`. Returns when the connection is open, or returns the reason why connecting failed, for example
    /// options.connect_timeout. Precondition: the client is not connected. It may connect again after the connection
    /// ended.
    boost::asio::awaitable<Result<void, std::string>> connect(std::string url) {
        state_->begin();
        client_.connect(std::move(url), Reactions{state_, &client_});
        while (!state_->open && !state_->end) co_await state_->wait_until(never);
        if (!state_->end) co_return Result<void, std::string>{};
        co_return Unexpected{state_->end->cause};
    }

    /// Returns the next message, in order; nothing if the connection has ended, see end().
    boost::asio::awaitable<std::optional<ReceivedMessage>> receive() { co_return co_await receive_until(never); }
    /// The same, but also returns nothing if no message arrives within `at_most`. Then is_open() is still true.
    boost::asio::awaitable<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds at_most) {
        co_return co_await receive_until(later(Clock::now(), at_most));
    }

    /// See Client::send().
    SendStatus send(const Text& message) { return client_.send(message); }
    /// See Client::send().
    SendStatus send(const Binary& message) { return client_.send(message); }
    /// See Client::ping().
    SendStatus ping(Bytes payload = {}) { return client_.ping(payload); }

    /// Performs the closing handshake and returns how the connection ended; 1006 also if there was no connection.
    /// Discards the messages that arrive meanwhile.
    boost::asio::awaitable<ConnectionEnd> close(CloseCode code = CloseCode::normal, std::string reason = {}) {
        client_.close(code, reason);
        while (!state_->end && !client_.is_idle()) {
            client_.resume_receiving();  // each time, because messages may have paused it again
            co_await state_->wait_until(never);
            state_->drop_messages();
        }
        co_return state_->end.value_or(ConnectionEnd{});
    }

    /// True if messages can be sent.
    bool is_open() const noexcept { return client_.is_open(); }
    /// How the connection ended, if it has ended.
    const std::optional<ConnectionEnd>& end() const noexcept { return state_->end; }
    /// The client that this one uses, for example to add listeners. Its on_end() is taken.
    Client& client() noexcept { return client_; }

   private:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr Time never = Time::max();

    /// At most about this many bytes of messages are kept until the coroutine receives them. Then receiving is paused.
    static constexpr std::size_t enough = std::size_t{1} << 20;

    struct State {
        explicit State(boost::asio::io_context& context) : timer(context) {}

        void begin() {
            open = false;
            end.reset();
            drop_messages();
        }
        void drop_messages() {
            messages.clear();
            bytes = 0;
        }
        void wake() { timer.cancel(); }
        /// Returns at `time`, or earlier when wake() is called.
        boost::asio::awaitable<void> wait_until(Time time) {
            boost::system::error_code woken;
            timer.expires_at(time);
            co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
        }

        boost::asio::steady_timer timer;
        bool open = false;
        std::optional<ConnectionEnd> end;
        std::deque<ReceivedMessage> messages;
        std::size_t bytes = 0;
    };

    /// The handler: stores messages for the coroutine and wakes it.
    struct Reactions {
        std::shared_ptr<State> state;
        Client* client;

        void on_open(AnyConnection&) {
            state->open = true;
            state->wake();
        }
        void on_message(AnyConnection&, const Text& message) { take(Opcode::text, message.payload()); }
        void on_message(AnyConnection&, const Binary& message) { take(Opcode::binary, message.payload()); }
        void take(Opcode opcode, Bytes payload) {
            state->messages.push_back({opcode, std::string{text_of(payload)}});
            state->bytes += payload.size() + sizeof(ReceivedMessage);
            if (state->bytes > enough) client->pause_receiving();
            state->wake();
        }
    };

    static ClientOptions without_reconnect(ClientOptions options) {
        options.reconnect.reset();
        return options;
    }

    boost::asio::awaitable<std::optional<ReceivedMessage>> receive_until(Time time) {
        while (state_->messages.empty()) {
            if (state_->end || client_.is_idle()) co_return std::nullopt;
            if (time != never && std::chrono::steady_clock::now() >= time) co_return std::nullopt;
            co_await state_->wait_until(time);
        }
        ReceivedMessage message = std::move(state_->messages.front());
        state_->messages.pop_front();
        state_->bytes -= message.payload.size() + sizeof(ReceivedMessage);
        if (state_->bytes <= enough / 2) client_.resume_receiving();
        co_return message;
    }

    std::shared_ptr<State> state_;
    Client client_;
};

}  // namespace wsserver
