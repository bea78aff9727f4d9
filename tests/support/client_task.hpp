// Coroutines of an AwaitableClient that a test cancels, and the servers that they meet.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "support/catch.hpp"
#include "support/one_loop.hpp"
#include "wsserver/awaitable_client.hpp"
#include "wsserver/transport/listener.hpp"

namespace wsserver::test {

/// A coroutine that runs on its own, can be cancelled, and stores its result.
template <class R>
struct Task {
    std::optional<R> result{};
    bool cancelled = false;
    bool ended = false;
    boost::asio::cancellation_signal cancel{};

    void start(boost::asio::io_context& context, boost::asio::awaitable<R> coroutine) {
        boost::asio::co_spawn(
            context, std::move(coroutine),
            boost::asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr failure, R value) {
                ended = true;
                take(failure, std::move(value));
            }));
    }
    void take(const std::exception_ptr& failure, R value) {
        if (!failure) return result.emplace(std::move(value)), void();
        try {
            std::rethrow_exception(failure);
        } catch (const boost::system::system_error& error) {
            cancelled = error.code() == boost::asio::error::operation_aborted;
        }
    }
};

using Connected = Result<void, ConnectError>;
using Received = std::optional<ReceivedMessage>;

inline std::string error_of(const Task<Connected>& task) {
    return task.result && !task.result->has_value() ? task.result->error().text : std::string{"(no error)"};
}

inline std::string payload_of(const Task<Received>& task) {
    return task.result && *task.result ? (*task.result)->payload : std::string{"(nothing)"};
}

/// A loop with a second server that accepts connections and stays silent.
struct SilentServer {
    OneLoop loop{};
    Listeners silent = *open_listeners(*parse_endpoint("127.0.0.1:0"));
    std::string silent_url = "ws://" + to_string(silent.endpoint);
    std::unique_ptr<AwaitableClient> client;
    std::string request{};

    explicit SilentServer(const ClientOptions& options = {})
        : client(std::make_unique<AwaitableClient>(loop.context, options)) {
        client->client().on_request([this](std::string_view text) { request = text; });
    }
    void connect() {
        Task<Connected> task;
        task.start(loop.context, client->connect(loop.url));
        loop.run_until([&] { return task.ended; });
        REQUIRE(error_of(task) == "(no error)");
    }
    std::string echo(const char* text) {
        client->send(Text{text});
        Task<Received> task;
        task.start(loop.context, client->receive());
        loop.run_until([&] { return task.ended; });
        return payload_of(task);
    }
};

}  // namespace wsserver::test
