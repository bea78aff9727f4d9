// How a load's bytes get through the kernel: the cheapest way that there is, so that servers and not the load are
// what is measured.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

namespace wsserver::bench {

class LoadIo {
   public:
    struct Handler {
        virtual void on_bytes(std::size_t connection, std::string_view bytes) = 0;
        /// What waited for room has been sent.
        virtual void on_writable(std::size_t connection) = 0;

       protected:
        ~Handler() = default;
    };

    virtual ~LoadIo() = default;

    /// Takes over a connected socket; connections count from 0 in the order in which they are added.
    virtual void add(int socket) = 0;
    /// Whether bytes wait for room, so that nothing else may be sent. True at most until on_writable().
    virtual bool waits_to_send(std::size_t connection) const = 0;
    /// At most once for each connection between two turns. `bytes` must stay until they are sent.
    virtual void send(std::size_t connection, std::string_view bytes) = 0;
    /// Waits for something to do, and does what there is. Throws std::runtime_error if a server closes a connection.
    virtual void turn(std::chrono::milliseconds timeout, Handler& handler) = 0;
};

/// With io_uring where it was built and the kernel lets us, else with epoll.
std::unique_ptr<LoadIo> make_load_io();

}  // namespace wsserver::bench
