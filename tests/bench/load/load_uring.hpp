// The I/O of a load with io_uring: one system call per turn.
#pragma once

#include <cstdint>
#include <vector>

#include "load_io.hpp"
#include "ring.hpp"

namespace wsserver::bench {

class LoadUring final : public LoadIo {
   public:
    /// Throws std::system_error if io_uring is not available.
    LoadUring() = default;
    LoadUring(const LoadUring&) = delete;
    LoadUring& operator=(const LoadUring&) = delete;
    ~LoadUring() override;

    void add(int socket) override;
    bool waits_to_send(std::size_t connection) const override { return connections_[connection].waits; }
    void send(std::size_t connection, std::string_view bytes) override;
    void turn(std::chrono::milliseconds timeout, Handler& handler) override;

   private:
    struct Connection {
        int socket;
        bool waits = false;
        std::string_view sending{};
    };
    void react(const io_uring_cqe& completion, Handler& handler);
    void received(std::uint32_t connection, const io_uring_cqe& completion, Handler& handler);
    void sent_some(std::uint32_t connection, int result);

    Ring ring_{Ring::Options{}};
    std::vector<Connection> connections_;
};

}  // namespace wsserver::bench
