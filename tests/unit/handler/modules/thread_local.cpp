// Has an object of each thread whose destructor is its own code.
#include <string>

#include "wsserver/handler.hpp"

struct ThreadLocal {
    void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) {
        thread_local std::string last;
        connection.send(std::exchange(last, std::string{message.text}));
    }
};

WSSERVER_HANDLER(ThreadLocal);
