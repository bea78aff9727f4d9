// A chat: each message goes to all others of the subprotocol "chat", and so does a notice when someone comes or goes.
#include <iostream>
#include <string>
#include <wsserver/server.hpp>

using namespace wsserver;

// One object serves all connections, from several threads at once. It therefore has no state, or locks it.
struct Chat {
    void on_open(AnyConnection& connection) { tell_others(connection, "came"); }

    void on_message(AnyConnection& connection, const Text& message) {
        // The message is encoded once for all receivers, and no receiver waits for another.
        connection.hub()->broadcast(others(connection), message);
    }

    void on_close(AnyConnection& connection, const Close& close) {
        tell_others(connection, close.reason.empty() ? "went" : "went: " + std::string{close.reason});
    }

   private:
    static Audience others(const AnyConnection& connection) {
        return {.subprotocol = std::string{connection.subprotocol()}, .except = connection.id()};
    }

    static void tell_others(const AnyConnection& connection, const std::string& what) {
        connection.hub()->broadcast(others(connection), Text{connection.peer() + " " + what});
    }
};

int main(int argc, char** argv) {
    Server server;
    server.handle("chat", Chat{});
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.run();
}
