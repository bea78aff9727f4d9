// Sends hello, prints the reply, and closes the connection.
#include <iostream>
#include <wsserver/client.hpp>

struct Hello {
    void on_open(wsserver::AnyConnection& connection) { connection.send(wsserver::Text{"hello"}); }
    void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) {
        std::cout << message.text << '\n';
        connection.close();
    }
};

int main(int, char** argv) {
    boost::asio::io_context context;
    wsserver::Client client{context};
    client.on_end([](const wsserver::ConnectionEnd& end, bool) { std::cerr << end.cause; });
    client.connect(argv[1] ? argv[1] : "ws://127.0.0.1:8080", Hello{});
    context.run();
}
