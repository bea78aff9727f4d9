// Eight threads send to all clients, while clients come and go. A handle may outlive its connection: it then answers
// `closed`, also after the end of the server.
#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>
#include <wsserver/server.hpp>

using namespace wsserver;
using namespace std::chrono_literals;

class Readers {
   public:
    void on_open(AnyConnection& connection) {
        const std::lock_guard lock{mutex_};
        handles_.push_back(connection.handle());
    }
    void on_message(AnyConnection&, const auto&) {}

    // Any thread. There is no on_close(): what has ended is forgotten here.
    void send(const std::string& text) {
        for (const ConnectionHandle& handle : all()) {
            const auto status = handle.send(text);
            if (status == SendStatus::closed) forget(handle);
            ++(status == SendStatus::queued ? sent : missed);
        }
    }

    std::atomic<int> sent = 0;
    std::atomic<int> missed = 0;

   private:
    std::vector<ConnectionHandle> all() {
        const std::lock_guard lock{mutex_};
        return handles_;
    }
    void forget(const ConnectionHandle& gone) {
        const std::lock_guard lock{mutex_};
        std::erase(handles_, gone);
    }

    std::mutex mutex_;
    std::vector<ConnectionHandle> handles_;
};

std::atomic<bool> stopping = false;

int main(int argc, char** argv) {
    std::signal(SIGINT, [](int) { stopping = true; });
    std::signal(SIGTERM, [](int) { stopping = true; });

    Server server;
    const auto readers = server.handle<Readers>();
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.start();

    std::vector<std::jthread> threads;
    for (int i = 1; i <= 8; ++i) {
        threads.emplace_back([i, &readers](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                readers->send("from thread " + std::to_string(i));
                std::this_thread::sleep_for(10ms);
            }
        });
    }
    while (!stopping) std::this_thread::sleep_for(100ms);
    const bool complete = server.stop(2s).complete();  // the threads go on
    readers->send("too late");
    threads.clear();
    std::cout << readers->sent << " sent, " << readers->missed << " missed" << std::endl;
    return complete ? 0 : 1;
}
