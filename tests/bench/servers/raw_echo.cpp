// The reference server: sends received bytes back over TCP, or to all connections, with epoll only. The additional cost
// of a WebSocket server is that of the protocol and of its code.
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
    std::string unsent{};  ///< bytes that the kernel has not taken; receiving is paused until they are sent
    bool gone = false;
};

void watch(int epoll, int operation, int socket, std::uint32_t events, void* data) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = data;
    if (epoll_ctl(epoll, operation, socket, &event) != 0) fail("epoll_ctl");
}

/// All connected peers.
using Peers = std::vector<std::unique_ptr<Peer>>;

void accept_all(int listener, int epoll, Peers& peers) {
    for (;;) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            fail("accept4");
        }
        peers.push_back(std::make_unique<Peer>(Peer{accepted}));
        watch(epoll, EPOLL_CTL_ADD, accepted, EPOLLIN, peers.back().get());
    }
}

/// Returns the number of bytes sent, or -1 if the peer is gone.
ssize_t send_some(int socket, std::string_view bytes) {
    const ssize_t count = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return count >= 0 ? count : errno == EAGAIN ? 0 : -1;
}

void send_to(Peer& peer, int epoll, std::string_view bytes) {
    if (!peer.unsent.empty()) {
        peer.unsent += bytes;
        return;
    }
    const ssize_t sent = send_some(peer.socket, bytes);
    if (sent < 0) {
        peer.gone = true;
    } else if (static_cast<std::size_t>(sent) < bytes.size()) {
        peer.unsent = bytes.substr(static_cast<std::size_t>(sent));
        watch(epoll, EPOLL_CTL_MOD, peer.socket, EPOLLOUT, &peer);
    }
}

void send_rest(Peer& peer, int epoll) {
    const ssize_t sent = send_some(peer.socket, peer.unsent);
    peer.gone = sent < 0;
    if (peer.gone) return;
    peer.unsent.erase(0, static_cast<std::size_t>(sent));
    if (peer.unsent.empty()) watch(epoll, EPOLL_CTL_MOD, peer.socket, EPOLLIN, &peer);
}

/// Returns the received bytes, empty if there are none.
std::string_view receive(Peer& peer, std::vector<char>& buffer) {
    const ssize_t received = recv(peer.socket, buffer.data(), buffer.size(), 0);
    peer.gone = received == 0 || (received < 0 && errno != EAGAIN);
    return {buffer.data(), received > 0 ? static_cast<std::size_t>(received) : 0};
}

void pass_on(Sends sends, Peer& from, Peers& peers, int epoll, std::string_view bytes) {
    if (sends == Sends::back) return send_to(from, epoll, bytes);
    for (const auto& peer : peers) {
        if (!peer->gone) send_to(*peer, epoll, bytes);
    }
}

void serve(Sends sends, Peer& peer, Peers& peers, int epoll, std::vector<char>& buffer) {
    if (!peer.unsent.empty()) return send_rest(peer, epoll);
    const std::string_view bytes = receive(peer, buffer);
    if (!bytes.empty()) pass_on(sends, peer, peers, epoll, bytes);
}

void remove_gone(Peers& peers) {
    std::erase_if(peers, [](const auto& peer) {
        if (peer->gone) close(peer->socket);
        return peer->gone;
    });
}

}  // namespace

int main(int words_count, char** words) {
    const Sends sends = parse_words(words_count, words);
    const int listener = listen_on_loopback(SOCK_NONBLOCK);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, nullptr);
    std::vector<char> buffer(256 * 1024);
    std::array<epoll_event, 1024> events;
    Peers peers;
    for (;;) {
        const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        bool some_gone = false;
        for (int i = 0; i < count; ++i) {
            auto* const peer = static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr);
            if (peer == nullptr) {
                accept_all(listener, epoll, peers);
                continue;
            }
            if (!peer->gone) serve(sends, *peer, peers, epoll, buffer);
            some_gone = some_gone || peer->gone;
        }
        if (some_gone) remove_gone(peers);
    }
}
