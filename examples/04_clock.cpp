// Any thread may send: this one tells everybody the time once a second, and stops in an orderly way on Ctrl-C.
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <iostream>
#include <string>
#include <thread>
#include <wsserver/server.hpp>

using namespace wsserver;

// A clock has nothing to say to what its listeners send. A handler without on_message would refuse it with 1003.
struct Listener {
    void on_message(AnyConnection&, const auto&) {}
};

std::string now() {
    const std::time_t seconds = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    char text[] = "2000-01-01 00:00:00 UTC";
    return {text, std::strftime(text, sizeof text, "%F %T UTC", &parts)};
}

std::atomic<bool> stopping = false;

int main(int argc, char** argv) {
    std::signal(SIGINT, [](int) { stopping = true; });
    std::signal(SIGTERM, [](int) { stopping = true; });

    Server server;
    server.handle(Listener{});
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.start();  // its own threads; this one goes on

    while (!stopping) {
        server.hub()->broadcast({}, Text{now()});
        std::this_thread::sleep_for(std::chrono::seconds{1});
    }
    server.stop(std::chrono::seconds{2});  // tells all 1001, waits for their goodbye
}
