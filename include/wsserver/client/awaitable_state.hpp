// What an AwaitableClient shares with its operations and its handler, which may outlive it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

#include "wsserver/base/callback.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/client.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// A message that owns its payload.
struct ReceivedMessage {
    Opcode opcode = Opcode::text;  ///< text or binary
    std::string payload{};         ///< valid UTF-8 if it is text
    /// The number of its connection: 1 for the first after connect(), and one more each time the client reconnects.
    std::size_t connection = 0;

    /// True for text, false for binary.
    bool is_text() const noexcept { return opcode == Opcode::text; }
};

/// Why a client could not connect.
struct ConnectError {
    std::error_code code{};     ///< for the program: an Errc, or an error of the system or the resolver; never 0
    std::string text{};         ///< for people: one line without a full stop
    unsigned refused_with = 0;  ///< the HTTP status with which the server refused; 0: it did not

    /// The text, for programs that only print it. Valid as long as the object.
    operator const std::string&() const noexcept { return text; }
};
/// Writes the text.
std::ostream& operator<<(std::ostream& out, const ConnectError& error);

namespace detail {

/// What an operation calls in the end.
template <class... Results>
using CompletionHandler = boost::asio::any_completion_handler<void(boost::system::error_code, Results...)>;

class ClientOperation;

/// The members describe one attempt, which connect() has begun, and its connections. Used on the loop's thread.
class AwaitableState : public std::enable_shared_from_this<AwaitableState> {
   public:
    using Time = Clock::time_point;
    static constexpr Time never = Time::max();

    /// `client` must live until detach().
    explicit AwaitableState(Client& client)
        : executor_(client.get_executor()), completion_executor_(executor_), client_(&client) {}

    const boost::asio::any_io_executor& executor() const noexcept { return executor_; }
    /// The same, as completion handlers name theirs.
    const boost::asio::any_completion_executor& completion_executor() const noexcept { return completion_executor_; }

    // The operations. Each calls `done` exactly once, in a later turn of the loop, or throws std::bad_alloc and has not
    // begun. See AwaitableClient.
    void async_connect(CompletionHandler<> done, std::string url) {
        begin_connect(std::move(done), std::move(url), nullptr);
    }
    void async_wait_open(CompletionHandler<> done);
    void async_receive(CompletionHandler<ReceivedMessage> done, std::chrono::milliseconds at_most);
    void async_send(CompletionHandler<> done, AnyMessage message);
    void async_append(CompletionHandler<> done, AnyMessage piece);
    void async_close(CompletionHandler<ConnectionEnd> done, CloseCode code, std::string reason);

    // The same as coroutines, which keep the state.
    static boost::asio::awaitable<Result<void, ConnectError>> connect(std::shared_ptr<AwaitableState> state,
                                                                      std::string url);
    static boost::asio::awaitable<std::optional<ReceivedMessage>> receive(std::shared_ptr<AwaitableState> state,
                                                                          std::chrono::milliseconds at_most);
    static boost::asio::awaitable<ConnectionEnd> close(std::shared_ptr<AwaitableState> state, CloseCode code,
                                                       std::string reason);

    /// Notes the connection of the message that is sent in pieces. The client must exist.
    SendStatus begin_message(Opcode type);
    SendStatus end_message();

    void on_open(Callback<void()> listener) { open_listener_ = std::move(listener); }
    void on_end(Callback<void(const ConnectionEnd&, bool)> listener) { end_listener_ = std::move(listener); }
    const std::optional<ConnectionEnd>& end() const noexcept { return end_; }

    /// The client reports the end of a connection or an attempt.
    void ended(const ConnectionEnd& how, bool will_retry);
    /// The client is being destroyed.
    void detach();

   private:
    friend class ClientOperation;
    friend class ConnectOperation;
    friend class OpenOperation;
    friend class ReceiveOperation;
    friend class SendOperation;
    friend class CloseOperation;
    class Reactions;

    /// At most about this many bytes of messages are kept until they are received. Then receiving is paused.
    static constexpr std::size_t enough = std::size_t{1} << 20;

    // The arguments live as long as the coroutine that awaits the result.
    boost::asio::awaitable<std::tuple<boost::system::error_code>> connecting(std::string& url, ConnectError& failure);
    boost::asio::awaitable<std::tuple<boost::system::error_code, ReceivedMessage>> receiving(
        std::chrono::milliseconds at_most);
    boost::asio::awaitable<std::tuple<boost::system::error_code, ConnectionEnd>> closing(CloseCode code,
                                                                                         std::string& reason);

    void begin_connect(CompletionHandler<> done, std::string url, ConnectError* failure);
    void begin_attempt();
    void opened(ConnectionId connection);
    void note_end(const ConnectionEnd& how, bool will_retry);
    void take(Opcode opcode, Bytes payload);
    ReceivedMessage next_message();
    void drop_messages() noexcept;
    void wake() noexcept;
    bool has_receiver() const noexcept;
    /// True if the client exists and has not begun another attempt.
    bool is_current(std::uint64_t attempt) const noexcept { return client_ != nullptr && attempt_ == attempt; }
    bool is_open() const noexcept { return client_ != nullptr && client_->is_open(); }
    /// True if the attempt has ended, and so has its connection, and no other follows.
    bool is_over() const noexcept {
        return client_ == nullptr || (end_ && (!will_retry_ || closes_)) || client_->is_idle();
    }
    boost::system::error_code end_error() const noexcept;
    static boost::system::error_code send_error(SendStatus status) noexcept;
    boost::system::error_code append_error() const noexcept;
    ConnectError failure(std::uint64_t attempt) const;
    const char* lost() const noexcept;

    const boost::asio::any_io_executor executor_;
    const boost::asio::any_completion_executor completion_executor_;
    Client* client_;  ///< null: it is gone
    std::uint64_t attempt_ = 0;
    std::size_t connections_ = 0;             ///< how many the attempt has had
    ConnectionId connection_{};               ///< the last one
    std::optional<ConnectionId> begun_on_{};  ///< the connection of the message that begin_message() has begun
    std::optional<ConnectionEnd> end_;
    bool will_retry_ = false;  ///< a connection follows the one that has ended
    bool closes_ = false;      ///< messages are discarded, and no connection follows
    std::deque<ReceivedMessage> messages_;
    std::size_t bytes_ = 0;
    std::vector<ClientOperation*> waiting_;  ///< in the order in which they have begun
    Callback<void()> open_listener_;
    Callback<void(const ConnectionEnd&, bool)> end_listener_;
};

}  // namespace detail
}  // namespace wsserver
