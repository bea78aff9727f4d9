// A WebSocket client for coroutines: connect, send, receive and close, each with co_await.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/base/within_memory.hpp"
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

/// A client for coroutines. Everything that holds for Client holds for it: use and destroy it on the loop's thread. The
/// coroutines run on that thread, too.
///
///     AwaitableClient client{context};
///     if (const auto connected = co_await client.connect("ws://127.0.0.1:8080"); !connected) ...
///     client.send(Text{"hello"});
///     while (const auto message = co_await client.receive()) use(message->payload);
///
/// Several coroutines may wait at the same time, for example one in receive() and one in close(). Each message is
/// received by one of them.
///
/// A coroutine that is cancelled while it waits throws boost::system::system_error with operation_aborted. It has not
/// taken a message. A coroutine may outlive the client: see each member.
class AwaitableClient {
   public:
    /// Ignores `options.reconnect`; call connect() again instead. `context` must outlive the client. Throws as Client
    /// does.
    explicit AwaitableClient(boost::asio::io_context& context, ClientOptions options = {})
        : client_(context, without_reconnect(std::move(options))), state_(std::make_shared<State>(context, client_)) {
        client_.on_end([state = state_](const ConnectionEnd& end, bool) { state->ended(end); });
    }
    /// Ends the connection without a closing handshake. The coroutines that wait are resumed in a later turn of the
    /// loop, and do not use the client any more. Call it where ~Client() may be called, also in one of the coroutines.
    ~AwaitableClient() { state_->detach(); }
    AwaitableClient(const AwaitableClient&) = delete;
    AwaitableClient& operator=(const AwaitableClient&) = delete;

    /// Connects to `url`. Returns when the connection is open, or returns the reason why connecting failed: an error of
    /// the system or the server, options.connect_timeout, close(), a later connect(), or "the client is gone". An
    /// earlier connection is closed with 1001 first. If the coroutine is cancelled, the attempt is given up.
    boost::asio::awaitable<Result<void, std::string>> connect(std::string url) {
        return connect_to(state_, std::move(url));
    }

    /// Returns the next message, in order. Returns nothing if the connection has ended, see end(), if a later connect()
    /// has replaced it, or if the client is gone.
    boost::asio::awaitable<std::optional<ReceivedMessage>> receive() { return receive_until(state_, never); }
    /// The same, but also returns nothing if no message arrives within `at_most`. Then is_open() is still true.
    boost::asio::awaitable<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds at_most) {
        return receive_until(state_, later(Clock::now(), at_most));
    }

    /// See Client::send().
    SendStatus send(const AnyMessage& message) { return client_.send(message); }
    /// See Client::ping().
    SendStatus ping(Bytes payload = {}) { return client_.ping(payload); }

    /// Performs the closing handshake and returns how the connection ended; 1006 also if there was no connection, if a
    /// later connect() has replaced it, or if the client is gone; then `cause` says so. Discards the messages that
    /// arrive meanwhile. If the coroutine is cancelled, the closing handshake goes on.
    boost::asio::awaitable<ConnectionEnd> close(CloseCode code = CloseCode::normal, std::string reason = {}) {
        return close_with(state_, code, std::move(reason));
    }

    /// True if messages can be sent.
    bool is_open() const noexcept { return client_.is_open(); }
    /// How the connection ended, if it has ended. The reference is valid as long as the client; connect() resets the
    /// value.
    const std::optional<ConnectionEnd>& end() const noexcept { return state_->end; }
    /// The client that this one uses, for example to add listeners. Its on_end() is taken, and its connect() must not
    /// be called.
    Client& client() noexcept { return client_; }

   private:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr Time never = Time::max();

    /// At most about this many bytes of messages are kept until a coroutine receives them. Then receiving is paused.
    static constexpr std::size_t enough = std::size_t{1} << 20;

    /// Shared with the coroutines that wait and with the handler, which may outlive the client. The members describe
    /// one attempt and its connection.
    struct State {
        State(boost::asio::io_context& loop, Client& used) : context(loop), client(&used) {}

        /// From now on, the members describe the attempt `number`.
        void begin(std::uint64_t number) {
            attempt = number;
            open = false;
            connection = {};
            end.reset();
            drop_messages();
            wake();
        }
        /// True if the client exists and has not begun another attempt.
        bool is_current(std::uint64_t number) const noexcept { return client != nullptr && attempt == number; }
        void ended(const ConnectionEnd& how) {
            // The end of an earlier connection, whose closing handshake was slow.
            if (how.opened && how.info.id != connection) return;
            if (!within_memory([&] { end = how; })) {  // without its texts
                end.emplace();
                end->code = how.code;
                end->error = std::make_error_code(std::errc::not_enough_memory);
            }
            wake();
        }
        void detach() {
            client = nullptr;
            wake();
        }
        /// Why an attempt, which is not current any more, has no result.
        const char* lost() const noexcept {
            return client == nullptr ? "the client is gone" : "replaced by a later connect()";
        }
        void drop_messages() {
            messages.clear();
            bytes = 0;
        }
        void wake() {
            for (boost::asio::steady_timer* timer : waiting) timer->cancel();
        }
        /// Returns at `time`, or earlier when wake() is called. The caller keeps the state alive.
        boost::asio::awaitable<void> wait_until(Time time) {
            boost::asio::steady_timer timer(context, time);
            const Waiting registered(*this, timer);
            boost::system::error_code woken;
            co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, woken));
            // Even if the wake-up was first: the caller has gone on, and the result would be lost.
            const auto cancellation = co_await boost::asio::this_coro::cancellation_state;
            if (cancellation.cancelled() != boost::asio::cancellation_type::none) {
                throw boost::system::system_error(boost::asio::error::operation_aborted);
            }
        }

        boost::asio::io_context& context;
        Client* client;  ///< null: it is gone
        std::uint64_t attempt = 0;
        bool open = false;          ///< the attempt has succeeded
        ConnectionId connection{};  ///< of the attempt, once it is open
        std::optional<ConnectionEnd> end;
        std::deque<ReceivedMessage> messages;
        std::size_t bytes = 0;
        std::vector<boost::asio::steady_timer*> waiting;  ///< one for each coroutine, so that none wakes another
    };
    using StatePtr = std::shared_ptr<State>;

    /// Adds a timer to those that wake() cancels.
    class Waiting {
       public:
        Waiting(State& state, boost::asio::steady_timer& timer) : state_(state), timer_(timer) {
            state_.waiting.push_back(&timer_);
        }
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;
        ~Waiting() { std::erase(state_.waiting, &timer_); }

       private:
        State& state_;
        boost::asio::steady_timer& timer_;
    };

    /// Gives up an attempt whose coroutine is cancelled or destroyed before it has returned the result.
    class GiveUp {
       public:
        GiveUp(State& state, std::uint64_t attempt) noexcept : state_(state), attempt_(attempt) {}
        GiveUp(const GiveUp&) = delete;
        GiveUp& operator=(const GiveUp&) = delete;
        ~GiveUp() {
            if (!returned_ && state_.is_current(attempt_) && !state_.end) state_.client->close();
        }
        void returned() noexcept { returned_ = true; }

       private:
        State& state_;
        const std::uint64_t attempt_;
        bool returned_ = false;
    };

    /// The handler of one attempt: stores messages for the coroutines and wakes them.
    struct Reactions {
        StatePtr state;
        std::uint64_t attempt;

        void on_open(AnyConnection& connection) {
            if (!state->is_current(attempt)) return;
            state->open = true;
            state->connection = connection.id();
            state->wake();
        }
        void on_message(AnyConnection&, const Text& message) { take(Opcode::text, message.payload()); }
        void on_message(AnyConnection&, const Binary& message) { take(Opcode::binary, message.payload()); }
        void take(Opcode opcode, Bytes payload) {
            if (!state->is_current(attempt)) return;
            state->messages.push_back({opcode, std::string{text_of(payload)}});
            state->bytes += payload.size() + sizeof(ReceivedMessage);
            if (state->bytes > enough) state->client->pause_receiving();
            state->wake();
        }
    };

    static ClientOptions without_reconnect(ClientOptions options) {
        options.reconnect.reset();
        return options;
    }

    // The coroutines hold the state and not the client, which may be destroyed before they begin or while they wait.

    static boost::asio::awaitable<Result<void, std::string>> connect_to(StatePtr state, std::string url) {
        if (state->client == nullptr) co_return Unexpected{std::string{state->lost()}};
        const std::uint64_t attempt = state->attempt + 1;
        state->client->resume_receiving();  // an earlier connection reads on, up to the peer's Close
        state->client->connect(std::move(url), Reactions{state, attempt});
        state->begin(attempt);
        GiveUp give_up(*state, attempt);
        while (state->is_current(attempt) && !state->open && !state->end) co_await state->wait_until(never);
        give_up.returned();
        if (!state->is_current(attempt)) co_return Unexpected{std::string{state->lost()}};
        if (!state->open) co_return Unexpected{state->end->cause};
        co_return Result<void, std::string>{};
    }

    static boost::asio::awaitable<std::optional<ReceivedMessage>> receive_until(StatePtr state, Time time) {
        const std::uint64_t attempt = state->attempt;
        while (state->is_current(attempt) && state->messages.empty()) {
            if (state->end || state->client->is_idle()) co_return std::nullopt;
            if (time != never && std::chrono::steady_clock::now() >= time) co_return std::nullopt;
            co_await state->wait_until(time);
        }
        if (!state->is_current(attempt)) co_return std::nullopt;
        ReceivedMessage message = std::move(state->messages.front());
        state->messages.pop_front();
        state->bytes -= message.payload.size() + sizeof(ReceivedMessage);
        if (state->bytes <= enough / 2) state->client->resume_receiving();
        co_return message;
    }

    static boost::asio::awaitable<ConnectionEnd> close_with(StatePtr state, CloseCode code, std::string reason) {
        const std::uint64_t attempt = state->attempt;
        if (state->client != nullptr) state->client->close(code, reason);
        while (state->is_current(attempt) && !state->end && !state->client->is_idle()) {
            state->client->resume_receiving();  // each time, because messages may have paused it again
            co_await state->wait_until(never);
            if (state->is_current(attempt)) state->drop_messages();
        }
        if (state->is_current(attempt)) co_return state->end.value_or(ConnectionEnd{});
        ConnectionEnd lost;
        lost.cause = state->lost();
        co_return lost;
    }

    Client client_;
    StatePtr state_;
};

}  // namespace wsserver
