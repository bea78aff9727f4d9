// Many clients on one io_context.
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/client_task.hpp"

using namespace wsserver;
using test::OneLoop;
namespace asio = boost::asio;

namespace {

/// Whether the client received its own messages, in order.
asio::awaitable<bool> talk(AwaitableClient& client, std::string url, std::string name) {
    if (!co_await client.connect(url)) co_return false;
    for (int i = 0; i < 3; ++i) client.send(name + std::to_string(i));
    for (int i = 0; i < 3; ++i) {
        const auto message = co_await client.receive();
        if (!message || message->payload != name + std::to_string(i)) co_return false;
    }
    const ConnectionEnd end = co_await client.close();
    co_return end.code == CloseCode::normal;
}

}  // namespace

TEST_CASE("300 clients of one io_context talk at the same time", "[client][awaitable]") {
    constexpr std::size_t many = 300;
    OneLoop loop;
    std::vector<std::unique_ptr<AwaitableClient>> clients;
    std::size_t right = 0, ended = 0;
    for (std::size_t i = 0; i < many; ++i) {
        clients.push_back(std::make_unique<AwaitableClient>(loop.context));
        asio::co_spawn(loop.context, talk(*clients.back(), loop.url, "client " + std::to_string(i) + " "),
                       [&](std::exception_ptr failure, bool is_right) {
                           ++ended;
                           if (!failure && is_right) ++right;
                       });
    }
    loop.run_until([&] { return ended == many; });
    CHECK(right == many);
}

TEST_CASE("many clients are destroyed while they talk", "[client][awaitable]") {
    OneLoop loop;
    std::vector<std::unique_ptr<AwaitableClient>> clients;
    std::size_t begun = 0, ended = 0;
    for (std::size_t i = 0; i < 100; ++i) {
        clients.push_back(std::make_unique<AwaitableClient>(loop.context));
        clients.back()->client().on_request([&](std::string_view) { ++begun; });
        asio::co_spawn(loop.context, talk(*clients.back(), loop.url, std::to_string(i) + " "),
                       [&](std::exception_ptr, bool) { ++ended; });
    }
    loop.run_until([&] { return begun == 100; });
    while (!clients.empty()) {
        loop.context.run_one_for(std::chrono::seconds{1});
        clients.pop_back();
    }
    loop.run_until([&] { return ended == 100; });
}
