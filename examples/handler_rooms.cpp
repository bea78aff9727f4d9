// A handler in C++: a chat with rooms. A client that connects to /lobby receives the messages of others in /lobby only.
//
//     g++ -std=c++20 -shared -fPIC -fvisibility=hidden handler_rooms.cpp -o rooms.so $(pkg-config --cflags wsserver)
//     wsd --handler chat=./rooms.so
//     wsd-ctl call chat rooms
#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <vector>
#include <wsserver/handler.hpp>

namespace {

using wsserver::AnyConnection;

class Rooms {
   public:
    void on_open(AnyConnection& connection) {
        const std::lock_guard lock(mutex_);
        // Keep a handle: the connection itself is valid only until this function returns.
        rooms_[std::string{connection.target()}].push_back(connection.handle());
    }

    void on_message(AnyConnection& connection, const wsserver::Text& message) {
        for (const auto& other : others(connection)) other.send(message);
    }

    void on_close(AnyConnection& connection, const wsserver::Close&) {
        const std::lock_guard lock(mutex_);
        const auto room = rooms_.find(connection.target());
        if (room == rooms_.end()) return;
        std::erase(room->second, connection.handle());
        if (room->second.empty()) rooms_.erase(room);
    }

    /// The command `rooms` lists the rooms, one per line, with the number of connections in each.
    wsserver::CommandAnswer on_command(std::span<const std::string> words, wsserver::Bytes) {
        if (words.size() != 1 || words[0] != "rooms") return {false, "this chat knows one word: rooms\n"};
        const std::lock_guard lock(mutex_);
        std::string output;
        for (const auto& [name, people] : rooms_) output += std::to_string(people.size()) + ' ' + name + '\n';
        return {true, output};
    }

   private:
    using Room = std::vector<wsserver::ConnectionHandle>;

    // Returns a copy, so that the lock is not held while messages are sent.
    Room others(AnyConnection& connection) {
        const std::lock_guard lock(mutex_);
        const auto found = rooms_.find(connection.target());
        Room room = found == rooms_.end() ? Room{} : found->second;
        std::erase(room, connection.handle());
        return room;
    }

    // Reactions to different connections may run at the same time.
    std::mutex mutex_;
    std::map<std::string, Room, std::less<>> rooms_;
};

}  // namespace

WSSERVER_HANDLER(Rooms);
