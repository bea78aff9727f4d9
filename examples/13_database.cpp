// Reactions that wait for a database: on workers, with a pool of its connections, a time limit, and a clean end. The
// message is how many milliseconds a query takes.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <wsserver/server.hpp>

using namespace wsserver;
using namespace std::chrono_literals;

// Stands for a database with some connections, whose driver can cancel a query.
class Database {
   public:
    explicit Database(int connections) : free_(connections) {}

    // False if `stop` is requested before the end of the query.
    bool query(std::chrono::milliseconds time, const std::stop_token& stop) {
        std::unique_lock lock{mutex_};
        if (!one_is_free_.wait(lock, stop, [&] { return free_ > 0; })) return false;
        --free_;
        std::condition_variable_any never;
        never.wait_for(lock, stop, time, [] { return false; });  // here the database works
        ++free_;
        one_is_free_.notify_one();
        return !stop.stop_requested();
    }

   private:
    std::mutex mutex_;
    std::condition_variable_any one_is_free_;
    int free_;
};

struct Ask {
    static constexpr auto runs = Runs::pooled;

    Database* database;

    void on_message(AnyConnection& connection, const Text& message) {
        const std::chrono::milliseconds time{std::atoi(std::string{message.text}.c_str())};
        // A stop is requested at the deadline, when the client has gone, and when the server stops.
        const bool done = database->query(time, connection.stop_token());
        const auto left = connection.deadline() - std::chrono::steady_clock::now();
        connection.send(done ? "done" : left <= 0ms ? "too late" : "stopped");
    }
};

std::atomic<bool> stopping = false;

int main(int argc, char** argv) {
    std::signal(SIGINT, [](int) { stopping = true; });
    std::signal(SIGTERM, [](int) { stopping = true; });

    Database database{2};  // before the server: its handlers use it
    Server server{{.workers = 4, .handler_deadline = 1s}};
    server.handle(Ask{&database});
    server.on_log([](LogLevel, std::string_view line) { std::cerr << line << '\n'; });
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.start();
    while (!stopping) std::this_thread::sleep_for(100ms);

    const StopReport report = server.stop(2s);
    if (report.complete()) return 0;  // no handler runs any more, so the database may be destroyed
    for (const auto& handler : report.handlers) std::cerr << handler << " has not returned\n";
    std::_Exit(1);  // it may still use the database: nothing is destroyed
}
