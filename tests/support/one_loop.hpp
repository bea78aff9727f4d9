// A server and its clients on one loop, which the test runs.
#pragma once

// g++ 12 reports a false mismatch when it inlines Asio's operators new and delete for coroutine frames.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/server.hpp"

namespace wsserver::test {

/// A server and the loop that it shares with its clients.
struct OneLoop {
    boost::asio::io_context context{1};
    Server server{context};
    std::string url;

    OneLoop() {
        server.handle(Echo{});
        server.handle("echo", Echo{});
        url = *server.listen("127.0.0.1:0");
        server.start();
    }
    /// Runs the loop until `done`, for at most 30 s.
    void run_until(const std::function<bool()>& done) {
        const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds{30};
        while (!done() && std::chrono::steady_clock::now() < patience) context.run_one_for(std::chrono::seconds{1});
        REQUIRE(done());
    }
    /// Runs the loop until the coroutine ends.
    void run(boost::asio::awaitable<void> coroutine) {
        bool ended = false;
        boost::asio::co_spawn(context, std::move(coroutine), [&](std::exception_ptr failure) {
            ended = true;
            if (failure) std::rethrow_exception(failure);
        });
        run_until([&] { return ended; });
    }
};

}  // namespace wsserver::test
