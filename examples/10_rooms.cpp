// A chat with rooms for users with a token: ws://HOST/rooms/red?token=apple. Others get a 401 and a text instead.
#include <iostream>
#include <map>
#include <string>
#include <wsserver/server.hpp>

using namespace wsserver;

struct Chat {
    void on_open(AnyConnection& connection) {
        connection.join(room_of(connection));
        connection.publish(room_of(connection), name_of(connection) + " came");
    }
    void on_message(AnyConnection& connection, const Text& message) {
        connection.publish(room_of(connection), name_of(connection) + ": " + std::string{message.text});
    }
    void on_close(AnyConnection& connection, const Close&) {  // it leaves its room by itself
        connection.publish(room_of(connection), name_of(connection) + " went");
    }

   private:
    static std::string room_of(const AnyConnection& connection) { return connection.parameter("room").value_or(""); }
    static std::string name_of(const AnyConnection& connection) { return std::string{connection.user()}; }
};

// Called before the 101. A function that asks a database runs on a worker: on_upgrade(function, Runs::pooled).
Admission admit(const UpgradeRequest& request) {
    static const std::map<std::string, std::string> users{{"apple", "Ann"}, {"banana", "Bob"}, {"cherry", "Cid"}};
    const auto user = users.find(request.query("token").value_or(""));
    if (user == users.end()) return Admission::refuse({.status = 401, .body = "no valid token\n"});
    Admission admission;
    admission.user = user->second;
    return admission;
}

int main(int argc, char** argv) {
    Server server;
    server.handle_path("/rooms/{room}", Chat{});
    server.on_upgrade(admit);
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.run();
}
