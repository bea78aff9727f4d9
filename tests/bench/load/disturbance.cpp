// Sends messages in a loop until it is stopped.
#include "disturbance.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <string_view>
#include <vector>

#include "connecting.hpp"
#include "messages.hpp"
#include "server_process.hpp"

namespace wsserver::bench {

using namespace std::chrono_literals;

Disturbance::Disturbance(const DisturbanceOptions& options)
    : options_(options),
      frames_(masked_frames({.text = false, .size = options.kind.size}, options.kind.messages)),
      thread_([this] { run(); }) {}

Disturbance::~Disturbance() {
    stop_ = true;
    thread_.join();
}

void Disturbance::run() {
    const sched_param none{};
    sched_setscheduler(0, SCHED_IDLE, &none);  // gives way to the threads that measure
    while (!stop_) {
        try {
            if (options_.core) pin_to(*options_.core);
            const int socket = connect_to(options_.port);
            if (options_.websocket) shake_hands(socket, options_.target, options_.kind.subprotocol);
            fcntl(socket, F_SETFL, O_NONBLOCK);
            disturb(socket);
            close(socket);
        } catch (const std::exception&) {
            std::this_thread::sleep_for(10ms);  // the server refuses; try again
        }
    }
}

/// Returns when the server closes the connection, or when the disturbance is stopped.
void Disturbance::disturb(int socket) {
    std::vector<char> replies(256 * 1024);
    std::string_view unsent;
    while (!stop_) {
        pollfd ready{socket, static_cast<short>(options_.kind.reads ? POLLIN | POLLOUT : POLLOUT), 0};
        poll(&ready, 1, 10);
        if ((ready.revents & (POLLERR | POLLHUP)) != 0) return;
        if ((ready.revents & POLLIN) != 0) {
            const ssize_t count = recv(socket, replies.data(), replies.size(), 0);
            if (count == 0 || (count < 0 && errno != EAGAIN)) return;
            if (count > 0) taken_ += static_cast<std::uint64_t>(count);
        }
        if ((ready.revents & POLLOUT) == 0) continue;
        if (unsent.empty()) unsent = frames_;
        const ssize_t count = send(socket, unsent.data(), unsent.size(), MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN) return;
        if (count < 0) continue;
        unsent.remove_prefix(static_cast<std::size_t>(count));
        if (!options_.kind.reads) taken_ += static_cast<std::uint64_t>(count);
    }
}

}  // namespace wsserver::bench
