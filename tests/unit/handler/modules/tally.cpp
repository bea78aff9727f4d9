// Has data of its own for each connection. The command `alive` says how many objects of it exist.
#include <atomic>
#include <stdexcept>
#include <string>

#include "wsserver/handler.hpp"

namespace {

std::atomic<int> alive = 0;

struct Count {
    explicit Count(wsserver::AnyConnection& connection) : target(connection.target()) {
        if (target == "/bad") throw std::runtime_error{"a bad target"};
        ++alive;
    }
    ~Count() { --alive; }
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;

    std::string target;
    int messages = 0;
};

class Tally {
   public:
    using Data = Count;

    void on_message(wsserver::AnyConnection& connection, const wsserver::Text&) {
        auto& count = connection.data<Count>();
        if (count.messages == 0) connection.set_user_data(this);
        const bool kept = connection.user_data() == this;
        connection.send(count.target + ' ' + std::to_string(++count.messages) + (kept ? "" : " lost"));
    }
    wsserver::CommandAnswer on_command(std::span<const std::string>, wsserver::Bytes) {
        return {true, std::to_string(alive)};
    }
};

}  // namespace

WSSERVER_HANDLER(Tally);
