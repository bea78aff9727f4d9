// Throws in every reaction. Some configurations make its constructor throw.
#include <stdexcept>
#include <string>
#include <wsserver/handler.hpp>

namespace {

using wsserver::AnyConnection;

class Thrower {
   public:
    explicit Thrower(std::string_view config) {
        if (config == "std") throw std::runtime_error{"the database is down\nforever"};
        if (config == "int") throw 7;
    }
    void on_open(AnyConnection&) { throw std::runtime_error{"on_open threw"}; }
    void on_message(AnyConnection&, const wsserver::Text& message) {
        if (message.text == "int") throw 7;
        throw std::runtime_error{std::string{message.text}};
    }
    void on_ping(AnyConnection&, const wsserver::Ping&) { throw std::runtime_error{"on_ping threw"}; }
    void on_pong(AnyConnection&, const wsserver::Pong&) { throw std::runtime_error{"on_pong threw"}; }
    void on_close(AnyConnection&, const wsserver::Close&) { throw std::runtime_error{"on_close threw"}; }
    wsserver::CommandAnswer on_command(std::span<const std::string>, wsserver::Bytes) {
        throw std::runtime_error{"on_command threw"};
    }
};

}  // namespace

WSSERVER_HANDLER(Thrower);
