// Numbers the texts of each connection in its data, and hands the numbers over to newer code.
#include <charconv>
#include <string>

#include "wsserver/handler.hpp"

namespace {

struct Count {
    int messages = 0;
};

class Journal {
   public:
    using Data = Count;
    static constexpr auto runs = wsserver::Runs::pooled;

    void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) {
        const int number = ++connection.data<Count>().messages;
        connection.send(std::to_string(VERSION) + ' ' + std::string{message.text} + ' ' + std::to_string(number));
    }

    wsserver::SavedState save_connection(wsserver::AnyConnection& connection) {
        return {VERSION, std::to_string(connection.data<Count>().messages)};
    }
    void restore_connection(wsserver::AnyConnection& connection, const wsserver::SavedState& state) {
        std::from_chars(state.bytes.data(), state.bytes.data() + state.bytes.size(), connection.data<Count>().messages);
    }
};

}  // namespace

WSSERVER_HANDLER(Journal);
