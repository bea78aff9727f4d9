// Uses rooms, users, flow control and calls through the C++ interface.
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "wsserver/handler.hpp"

namespace {

using namespace wsserver;

std::string word_of(SendStatus status) {
    constexpr const char* words[] = {"queued", "dropped", "closed", "refused"};
    return words[static_cast<int>(status)];
}

class Society {
   public:
    struct Data {
        int calls = 0;
    };

    explicit Society(const HandlerHost& host) : host_(host) {}

    Admission on_upgrade(const UpgradeRequest& request) {
        Admission admission;
        admission.user = request.query("user").value_or("");
        return admission;
    }
    void on_message(AnyConnection& connection, const Text& message) {
        const auto space = message.text.find(' ');
        const std::string_view word = message.text.substr(0, space);
        const std::string_view rest = space != std::string_view::npos ? message.text.substr(space + 1) : "";
        if (word == "join") connection.send(word_of(connection.join(rest)));
        if (word == "leave") connection.send(word_of(connection.leave(rest)));
        if (word == "rooms") {
            for (const std::string& room : connection.rooms()) connection.send(room);
        }
        if (word == "user") connection.send(connection.user());
        if (word == "set-user") connection.send(word_of(connection.set_user(rest)));
        if (word == "field") connection.send(connection.request_field(rest).value_or("none"));
        if (word == "publish") connection.publish(rest, "to the room");
        if (word == "state") {
            connection.send(std::to_string(connection.queued()) + (connection.has_space() ? " space" : " none") + ' ' +
                            std::to_string(connection.handle().queued()));
        }
        if (word == "waiting") connection.send(word_of(connection.send_waiting(rest)));
        if (word == "pause") connection.send(word_of(connection.pause_receiving()));
        if (word == "resume") connection.send(word_of(connection.resume_receiving()));
        if (word == "each") connection.hub()->send(std::vector{connection.id(), connection.id()}, rest);
        if (word == "to-user") connection.hub()->send_to_user(rest, Binary{bytes_of("for you")});
        if (word == "post") connection.handle().post([](AnyConnection& c) { called(c); });
        if (word == "nothing") connection.send(word_of(connection.handle().post({})));
        if (word == "later") connection.after(std::chrono::seconds{1}, [](AnyConnection& c) { called(c); });
        if (word == "fail") connection.handle().post([](AnyConnection&) { throw std::runtime_error{"oh"}; });
    }
    void on_drained(AnyConnection& connection) { connection.send("drained"); }

   private:
    static void called(AnyConnection& connection) {
        connection.send("called " + std::to_string(++connection.data<Data>().calls));
    }

    HandlerHost host_;
};

}  // namespace

WSSERVER_HANDLER(Society);
