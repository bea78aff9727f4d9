// Passes each connection on to another server, and reads from either end only as fast as the other one takes it.
#include <iostream>
#include <wsserver/relay.hpp>
#include <wsserver/server.hpp>

int main(int count, char** words) {
    boost::asio::io_context context;
    wsserver::Server server{context};
    server.handle(wsserver::Relay{context, count > 2 ? words[2] : "ws://127.0.0.1:9000"});
    const auto url = server.listen(count > 1 ? words[1] : "127.0.0.1:8080");
    if (!url) {
        std::cerr << url.error() << '\n';
        return 1;
    }
    std::cout << *url << std::endl;
    server.start();
    context.run();
}
