// Uses every function of the C++ interface in both directions. The command `version` answers VERSION.
#include <string>
#include <wsserver/handler.hpp>

namespace {

using namespace wsserver;

std::string_view word_of(SendStatus status) {
    constexpr std::string_view words[] = {"queued", "dropped", "closed", "refused"};
    return words[static_cast<int>(status)];
}

class Mirror {
   public:
    static constexpr Runs runs = Runs::pooled;

    Mirror(const HandlerHost& host, std::string_view config) : host_(host), config_(config) {
        host.log_info("hello");
        host.log_warning("careful\n");
        host.log_error("oh");
    }

    void on_open(AnyConnection& connection) {
        connection.set_user_data(this);
        if (connection.user_data() != this) connection.close();
    }
    void on_message(AnyConnection& connection, const Text& message) {
        const auto status = connection.send(message);
        connection.send(Binary{bytes_of(word_of(status))});
        connection.ping(bytes_of("p"));
        connection.close(CloseCode{4000}, connection.target());
        connection.hub()->broadcast({.subprotocol = std::string{connection.subprotocol()}, .except = connection.id()},
                                    message);
        connection.hub()->send(connection.id(), Text{connection.peer()});
        connection.handle().send(Binary{message.payload()});
        connection.handle().ping(bytes_of("q"));
        connection.handle().close(CloseCode::going_away, "r");
    }

    CommandAnswer on_command(std::span<const std::string> words, Bytes payload) {
        if (words.empty()) return {false, "no words"};
        const auto& word = words.front();
        const auto told = [host = host_](std::size_t receivers) { host.log_info(std::to_string(receivers)); };
        if (word == "version") return {true, std::to_string(VERSION)};
        if (word == "config") return {true, config_};
        if (word == "payload") return {true, std::string{text_of(payload)}};
        if (word == "text") host_.hub()->broadcast({}, Text{text_of(payload)}, told);
        if (word == "binary") host_.hub()->broadcast({}, Binary{payload}, told);
        if (word == "ping") host_.hub()->ping_all(told);
        if (word == "close") host_.hub()->close_all(CloseCode::going_away, text_of(payload), told);
        return {};
    }

   private:
    HandlerHost host_;
    std::string config_;
};

}  // namespace

WSSERVER_HANDLER(Mirror);
