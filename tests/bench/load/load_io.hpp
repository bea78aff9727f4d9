// The I/O of a load. It is as cheap as possible, so that the benchmark measures the server and not the load.
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
        /// All bytes that waited have been sent.
        virtual void on_writable(std::size_t connection) = 0;

       protected:
        ~Handler() = default;
    };

    virtual ~LoadIo() = default;

    /// Takes ownership of a connected socket. Connections are numbered from 0 in the order in which they are added.
    virtual void add(int socket) = 0;
    /// True if bytes wait until the kernel takes them; send() must not be called then. False after on_writable().
    virtual bool waits_to_send(std::size_t connection) const = 0;
    /// Sends `bytes`, which must stay valid until they are sent. At most once per connection between two turns.
    virtual void send(std::size_t connection, std::string_view bytes) = 0;
    /// Waits for events and handles them. Throws std::runtime_error if the server closes a connection.
    virtual void turn(std::chrono::milliseconds timeout, Handler& handler) = 0;
};

/// Uses io_uring if it was built and the kernel allows it, otherwise epoll.
std::unique_ptr<LoadIo> make_load_io();

}  // namespace wsserver::bench
