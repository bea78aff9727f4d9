// A game in the program's own io_context: its timer, its signals and the server share one thread, so nothing is locked.
// Players of an arena (ws://HOST/arenas/forest) send left and right, and get all positions 60 times a second.
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <wsserver/server.hpp>

using namespace wsserver;
using namespace std::chrono_literals;
namespace asio = boost::asio;

class Game {
   public:
    void on_open(AnyConnection& connection) {
        connection.join(arena_of(connection));
        arenas_[arena_of(connection)].emplace(connection.id(), 0);
    }
    void on_message(AnyConnection& connection, const Text& move) {
        int& position = arenas_[arena_of(connection)][connection.id()];
        if (move.text == "left") {
            --position;
        } else if (move.text == "right") {
            ++position;
        } else {
            connection.close(CloseCode{4000}, "kicked: no such move");
        }
    }
    void on_close(AnyConnection& connection, const Close&) {
        const auto arena = arenas_.find(arena_of(connection));
        arena->second.erase(connection.id());
        if (arena->second.empty()) arenas_.erase(arena);
    }

    void send_states(Hub& hub) const {
        for (const auto& [arena, players] : arenas_) {
            std::string state;
            for (const auto& [id, position] : players) state += std::to_string(position) + ' ';
            hub.broadcast({.room = arena}, state);  // encoded once for the whole arena
        }
    }
    void end() { is_over_ = true; }
    bool is_over() const { return is_over_; }

   private:
    static std::string arena_of(const AnyConnection& connection) { return connection.parameter("arena").value_or(""); }

    std::map<std::string, std::map<ConnectionId, int>> arenas_;
    bool is_over_ = false;
};

void tick(asio::steady_timer& timer, const Game& game, Server& server) {
    if (game.is_over()) return;
    game.send_states(*server.hub());
    timer.expires_at(timer.expiry() + 1'000'000us / 60);  // not from now on: delays do not add up
    timer.async_wait([&](const auto&) { tick(timer, game, server); });
}

int main(int argc, char** argv) {
    asio::io_context context;
    // A player that is slow gets the newest state, not all of them.
    Server server{context, {.connection = {.send_queue = {.policy = SlowConsumer::keep_latest}}}};
    const auto game = std::make_shared<Game>();
    server.handle_path("/arenas/{arena}", game);
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.start();  // on the context, which this thread runs below

    asio::steady_timer timer{context, std::chrono::steady_clock::now()};
    tick(timer, *game, server);
    asio::signal_set signals{context, SIGINT, SIGTERM};
    signals.async_wait([&](const auto&, int) {
        game->end();
        server.request_stop(1s);  // closes all players with 1001; stop() would wait for its own thread
    });
    context.run();  // returns when the server has ended
}
