// Says which room its path names.
#include <string>
#include <wsserver/handler.hpp>

namespace {

using namespace wsserver;

struct RoomsOfPaths {
    void on_open(AnyConnection& connection) {
        const auto room = connection.parameter("room");
        const auto door = connection.parameter("door");
        connection.send("room " + room.value_or("?") + (door ? ", a door" : ", no door"));
    }
};

}  // namespace

WSSERVER_HANDLER(RoomsOfPaths);
