// The I/O of a load with epoll, where io_uring is not available.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "load_io.hpp"

namespace wsserver::bench {

class LoadEpoll final : public LoadIo {
   public:
    LoadEpoll();
    LoadEpoll(const LoadEpoll&) = delete;
    LoadEpoll& operator=(const LoadEpoll&) = delete;
    ~LoadEpoll() override;

    void add(int socket) override;
    bool waits_to_send(std::size_t connection) const override { return !connections_[connection].unsent.empty(); }
    void send(std::size_t connection, std::string_view bytes) override;
    void turn(std::chrono::milliseconds timeout, Handler& handler) override;

   private:
    struct Connection {
        int socket;
        std::string_view unsent{};
    };
    void receive(std::size_t connection, Handler& handler);
    void watch(int operation, std::size_t connection, std::uint32_t events);

    int epoll_;
    std::vector<Connection> connections_;
    std::vector<char> buffer_;
};

}  // namespace wsserver::bench
