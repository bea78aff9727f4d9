// A JSON-RPC client that reconnects: many calls at once over one connection, matched by id, each with a time limit.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <wsserver/awaitable_client.hpp>

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

class Rpc {
   public:
    explicit Rpc(wsserver::AwaitableClient& client) : client_(client) {
        client_.on_end([this](auto&&...) {
            for (auto& [id, call] : calls_) call->timer.cancel();
        });  // no answer follows
    }
    asio::awaitable<std::string> call(std::string method, std::chrono::milliseconds at_most) {
        Call call{asio::steady_timer{client_.get_executor(), at_most}};
        co_await (client_.async_wait_open(asio::as_tuple(asio::use_awaitable)) ||
                  call.timer.async_wait(asio::use_awaitable));
        const auto place = calls_.emplace(++last_id_, &call).first;
        const auto sent =
            client_.send(R"({"jsonrpc":"2.0","id":)" + std::to_string(last_id_) + R"(,"method":")" + method + "\"}");
        if (sent == wsserver::SendStatus::queued) co_await call.timer.async_wait(asio::as_tuple(asio::use_awaitable));
        calls_.erase(place);
        co_return method + ": " + call.answer;
    }
    asio::awaitable<void> run(std::string url) {
        co_await client_.async_connect(url);
        while (const auto message = co_await client_.receive()) {  // {"id":7,...}; use a JSON library for others
            const auto found = calls_.find(std::atoi(message->payload.c_str() + std::strlen(R"({"id":)")));
            if (found == calls_.end()) continue;  // its call has timed out
            found->second->answer = message->payload;
            found->second->timer.cancel();
        }
    }

   private:
    struct Call {
        asio::steady_timer timer;
        std::string answer = "no answer";
    };
    wsserver::AwaitableClient& client_;
    std::map<int, Call*> calls_;
    int last_id_ = 0;
};

asio::awaitable<void> use(wsserver::AwaitableClient& client, Rpc& rpc) {
    const auto [slow, fast, lost] = co_await (rpc.call("slow", 1min) && rpc.call("fast", 1min) && rpc.call("lost", 1s));
    std::cout << slow << '\n' << fast << '\n' << lost << '\n';
    std::cout << co_await rpc.call("restart", 1min) << '\n';  // the server closes the connection
    std::cout << co_await rpc.call("fast", 1min) << '\n';     // over the next one
    co_await client.close();
}

int main(int argc, char** argv) {
    asio::io_context context;
    wsserver::AwaitableClient client{context, {.reconnect = wsserver::Reconnect{.first = 10ms}}};
    Rpc rpc{client};
    asio::co_spawn(context, rpc.run(argc > 1 ? argv[1] : "ws://127.0.0.1:8080"), asio::detached);
    asio::co_spawn(context, use(client, rpc), asio::detached);
    context.run();
}
