// A program of somebody else: it has the installed wsserver and nothing of its source tree. Its server and its
// client talk to each other.
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <string>
#include <wsserver/wsserver.hpp>

struct Hello {
    std::string& heard;

    void on_open(wsserver::AnyConnection& connection) { connection.send(wsserver::Text{"hello, installed tree"}); }
    void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) {
        heard = message.text;
        connection.close();
    }
};

int main() {
    wsserver::Server server;
    server.handle("", wsserver::make_echo());
    const auto url = server.listen("127.0.0.1:0");
    if (!url) {
        std::fprintf(stderr, "%s\n", url.error().c_str());
        return 1;
    }
    server.start();

    std::string heard;
    boost::asio::io_context context;
    wsserver::Client client{context};
    client.on_end([](const wsserver::ConnectionEnd& end, bool) { std::fprintf(stderr, "%s\n", end.cause.c_str()); });
    client.connect(*url, Hello{heard});
    context.run();
    (void)server.stop();
    std::puts(heard.c_str());
}
