// Sends each message back, text as text and binary as binary.
#include <iostream>
#include <wsserver/server.hpp>

struct Echo {
    void on_message(wsserver::AnyConnection& connection, const auto& message) { connection.send(message); }
};

int main(int, char** argv) {
    wsserver::Server server;
    server.handle(Echo{});
    const auto url = server.listen(argv[1] ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.run();
}
