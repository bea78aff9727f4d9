// The same as 03_client with co_await: sends hello, prints the reply, and closes the connection.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <iostream>
#include <wsserver/awaitable_client.hpp>

boost::asio::awaitable<void> talk(wsserver::AwaitableClient& client, std::string url) {
    const auto connected = co_await client.connect(url);
    if (!connected) co_return void(std::cerr << connected.error() << '\n');
    client.send(wsserver::Text{"hello"});
    if (const auto message = co_await client.receive()) std::cout << message->payload << '\n';
    co_await client.close();
}

int main(int argc, char** argv) {
    boost::asio::io_context context;
    wsserver::AwaitableClient client{context};
    boost::asio::co_spawn(context, talk(client, argc > 1 ? argv[1] : "ws://127.0.0.1:8080"), boost::asio::detached);
    context.run();
}
