// Any thread may send: the main thread sends the time to all clients once a second. Ctrl-C stops the server cleanly.
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <iostream>
#include <string>
#include <thread>
#include <wsserver/server.hpp>

using namespace wsserver;

// The clock ignores what its listeners send. A handler without on_message would close the connection with 1003.
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
    server.start();  // in threads of its own; returns at once

    while (!stopping) {
        server.hub()->broadcast({}, Text{now()});
        std::this_thread::sleep_for(std::chrono::seconds{1});
    }
    (void)server.stop(std::chrono::seconds{2});  // closes all with 1001, waits for them at most 2 s
}
