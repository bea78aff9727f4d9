// Receives and sends when epoll reports a socket as ready.
#include "load_epoll.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace wsserver::bench {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

}  // namespace

LoadEpoll::LoadEpoll() : epoll_(epoll_create1(EPOLL_CLOEXEC)), buffer_(256 * 1024) {
    if (epoll_ < 0) fail("epoll_create1");
}

LoadEpoll::~LoadEpoll() {
    for (const Connection& connection : connections_) close(connection.socket);
    close(epoll_);
}

void LoadEpoll::add(int socket) {
    fcntl(socket, F_SETFL, O_NONBLOCK);
    connections_.push_back({socket});
    watch(EPOLL_CTL_ADD, connections_.size() - 1, EPOLLIN);
}

void LoadEpoll::send(std::size_t connection, std::string_view bytes) {
    std::string_view& unsent = connections_[connection].unsent;
    const bool waited = !unsent.empty();
    const ssize_t count = ::send(connections_[connection].socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) fail("send");
    unsent = bytes.substr(count < 0 ? 0 : static_cast<std::size_t>(count));
    if (waited != !unsent.empty()) watch(EPOLL_CTL_MOD, connection, waited ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void LoadEpoll::turn(std::chrono::milliseconds timeout, Handler& handler) {
    std::array<epoll_event, 1024> events;
    const int count =
        epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), static_cast<int>(timeout.count()));
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if ((event.events & ~std::uint32_t{EPOLLOUT}) != 0) receive(event.data.u64, handler);
        if ((event.events & EPOLLOUT) == 0) continue;
        send(event.data.u64, connections_[event.data.u64].unsent);
        if (!waits_to_send(event.data.u64)) handler.on_writable(event.data.u64);
    }
}

void LoadEpoll::receive(std::size_t connection, Handler& handler) {
    const ssize_t count = recv(connections_[connection].socket, buffer_.data(), buffer_.size(), 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) throw std::runtime_error{"the server under test closed a connection"};
    handler.on_bytes(connection, {buffer_.data(), static_cast<std::size_t>(count)});
}

void LoadEpoll::watch(int operation, std::size_t connection, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = connection;
    if (epoll_ctl(epoll_, operation, connections_[connection].socket, &event) != 0) fail("epoll_ctl");
}

}  // namespace wsserver::bench
