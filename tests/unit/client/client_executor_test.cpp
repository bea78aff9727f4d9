// Executors from which clients are constructed.
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/client_task.hpp"
#include "wsserver/awaitable_client.hpp"
#include "wsserver/client.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using test::OneLoop;
namespace asio = boost::asio;

namespace {

using Any = asio::any_io_executor;

/// Executors of `context`, each in another wrapping.
std::vector<Any> executors_of(asio::io_context& context) {
    const auto executor = context.get_executor();
    return {
        executor,
        Any{Any{executor}},
        asio::require(executor, asio::execution::outstanding_work.tracked),
        asio::make_strand(context),
        asio::make_strand(Any{executor}),
        asio::make_strand(Any{asio::make_strand(context)}),
        asio::make_strand(asio::require(executor, asio::execution::outstanding_work.tracked)),
    };
}

struct Counter {
    int* opened;
    void on_open(AnyConnection&) { ++*opened; }
};

}  // namespace

TEST_CASE("a client is constructed from any executor of an io_context", "[client]") {
    OneLoop loop;
    int opened = 0;
    for (const Any& executor : executors_of(loop.context)) {
        Client client{executor};
        CHECK(client.get_executor() == executor);
        client.connect(loop.url, Counter{&opened});
        const int before = opened;
        loop.run_until([&] { return opened > before; });
    }
    Client direct{asio::make_strand(loop.context)};
    direct.connect(loop.url, Counter{&opened});
    loop.run_until([&] { return direct.is_open(); });
}

TEST_CASE("completion handlers are called through the executor of the client", "[client][awaitable]") {
    OneLoop loop;
    const auto strand = asio::make_strand(loop.context);
    AwaitableClient client{strand};
    CHECK(client.get_executor() == strand);
    int right = 0;
    const auto count = [&] { right += strand.running_in_this_thread() ? 1 : 0; };
    bool ended = false;
    client.async_connect(loop.url, [&](boost::system::error_code) {
        count();
        client.send("a");
        client.async_receive([&](boost::system::error_code, const ReceivedMessage&) {
            count();
            client.async_close(CloseCode::normal, "", [&](boost::system::error_code, const ConnectionEnd&) {
                count();
                ended = true;
            });
        });
    });
    loop.run_until([&] { return ended; });
    CHECK(right == 3);
}

TEST_CASE("coroutines in a strand use a client in that strand", "[client][awaitable]") {
    OneLoop loop;
    const auto strand = asio::make_strand(loop.context);
    AwaitableClient client{strand};
    bool ended = false;
    const auto talk = [&]() -> asio::awaitable<void> {
        const auto connected = co_await client.connect(loop.url);
        CHECK(connected);
        client.send("a");
        const auto message = co_await client.receive();
        CHECK(message);
        CHECK(strand.running_in_this_thread());
        co_await client.close();
        ended = true;
    };
    asio::co_spawn(strand, talk, [](std::exception_ptr failure) { CHECK_FALSE(failure); });
    loop.run_until([&] { return ended; });
}

TEST_CASE("an executor without an io_context is rejected", "[client]") {
    asio::thread_pool pool{1};
    CHECK_THROWS_AS(Client(pool.get_executor()), std::invalid_argument);
    CHECK_THROWS_AS(AwaitableClient(pool.get_executor()), std::invalid_argument);
    CHECK_THROWS_AS(Client(asio::make_strand(Any{pool.get_executor()})), std::invalid_argument);
    CHECK_THROWS_AS(Client(Any{}), std::invalid_argument);
    pool.join();
}
