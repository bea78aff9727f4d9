// The yardstick: sends back whatever comes over TCP, with epoll and nothing else. What a WebSocket server costs
// beyond this is its own doing.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "loopback.hpp"

namespace {

using namespace wsserver::bench;

struct Peer {
    int socket;
    std::string unsent{};  ///< what the kernel didn't take; nothing more is received before it has left
};

void watch(int epoll, int operation, int socket, std::uint32_t events, void* data) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = data;
    if (epoll_ctl(epoll, operation, socket, &event) != 0) fail("epoll_ctl");
}

void accept_all(int listener, int epoll) {
    for (;;) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            fail("accept4");
        }
        watch(epoll, EPOLL_CTL_ADD, accepted, EPOLLIN, new Peer{accepted});
    }
}

/// Octets sent; -1 if the peer is gone.
ssize_t send_some(int socket, std::string_view octets) {
    const ssize_t count = send(socket, octets.data(), octets.size(), MSG_NOSIGNAL);
    return count >= 0 ? count : errno == EAGAIN ? 0 : -1;
}

/// False if the peer is gone.
bool echo(Peer& peer, int epoll, std::vector<char>& buffer) {
    const ssize_t received = recv(peer.socket, buffer.data(), buffer.size(), 0);
    if (received <= 0) return received < 0 && errno == EAGAIN;
    const std::string_view octets{buffer.data(), static_cast<std::size_t>(received)};
    const ssize_t sent = send_some(peer.socket, octets);
    if (sent < 0) return false;
    if (sent < received) {
        peer.unsent = octets.substr(static_cast<std::size_t>(sent));
        watch(epoll, EPOLL_CTL_MOD, peer.socket, EPOLLOUT, &peer);
    }
    return true;
}

bool send_rest(Peer& peer, int epoll) {
    const ssize_t sent = send_some(peer.socket, peer.unsent);
    if (sent < 0) return false;
    peer.unsent.erase(0, static_cast<std::size_t>(sent));
    if (peer.unsent.empty()) watch(epoll, EPOLL_CTL_MOD, peer.socket, EPOLLIN, &peer);
    return true;
}

}  // namespace

int main() {
    const int listener = listen_on_loopback(SOCK_NONBLOCK);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, nullptr);
    std::vector<char> buffer(256 * 1024);
    std::array<epoll_event, 1024> events;
    for (;;) {
        const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; ++i) {
            auto* const peer = static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr);
            if (peer == nullptr) {
                accept_all(listener, epoll);
                continue;
            }
            if (peer->unsent.empty() ? echo(*peer, epoll, buffer) : send_rest(*peer, epoll)) continue;
            close(peer->socket);
            delete peer;
        }
    }
}
