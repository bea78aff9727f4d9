// The reference echo server with select() or poll(), which scan every socket in each turn. Shows what that costs with
// many connections. usage: raw_echo_scan select|poll
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loopback.hpp"

namespace {

using namespace wsserver::bench;

/// The sockets; the first is the listener. `unsent` has the bytes of each that the kernel has not taken; receiving is
/// paused until they are sent.
struct Sockets {
    std::vector<pollfd> polled;
    std::vector<std::string> unsent;

    void add(int socket) {
        polled.push_back({socket, POLLIN, 0});
        unsent.emplace_back();
    }
    void remove(std::size_t place) {
        close(polled[place].fd);
        polled[place] = polled.back();
        unsent[place] = std::move(unsent.back());
        polled.pop_back();
        unsent.pop_back();
    }
};

void wait_by_poll(Sockets& sockets) {
    if (poll(sockets.polled.data(), sockets.polled.size(), -1) < 0 && errno != EINTR) fail("poll");
}

void wait_by_select(Sockets& sockets) {
    fd_set readable, writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    int highest = 0;
    for (const pollfd& one : sockets.polled) {
        FD_SET(one.fd, (one.events & POLLIN) != 0 ? &readable : &writable);
        highest = std::max(highest, one.fd);
    }
    if (select(highest + 1, &readable, &writable, nullptr, nullptr) < 0) fail("select");
    for (pollfd& one : sockets.polled) {
        const bool ready = FD_ISSET(one.fd, &readable) || FD_ISSET(one.fd, &writable);
        one.revents = ready ? one.events : short{0};
    }
}

void accept_all(Sockets& sockets, bool selects) {
    for (;;) {
        const int accepted = accept4(sockets.polled.front().fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            fail("accept4");
        }
        if (selects && accepted >= FD_SETSIZE) {
            close(accepted);
        } else {
            sockets.add(accepted);
        }
    }
}

/// False if the peer is gone.
bool send_some(pollfd& peer, std::string& unsent, std::string_view bytes) {
    const ssize_t sent = send(peer.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return false;
    unsent = std::string{bytes.substr(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)))};
    peer.events = unsent.empty() ? POLLIN : POLLOUT;
    return true;
}

/// False if the peer is gone.
bool serve(pollfd& peer, std::string& unsent, std::vector<char>& buffer) {
    if (!unsent.empty()) return send_some(peer, unsent, std::string{unsent});
    const ssize_t received = recv(peer.fd, buffer.data(), buffer.size(), 0);
    if (received <= 0) return received < 0 && errno == EAGAIN;
    return send_some(peer, unsent, {buffer.data(), static_cast<std::size_t>(received)});
}

}  // namespace

int main(int count, char** words) {
    const std::string_view how = count == 2 ? words[1] : "";
    if (how != "select" && how != "poll") {
        std::fputs("usage: raw_echo_scan select|poll\n", stderr);
        return 2;
    }
    const bool selects = how == "select";
    Sockets sockets;
    sockets.add(listen_on_loopback(SOCK_NONBLOCK));
    std::vector<char> buffer(256 * 1024);
    for (;;) {
        selects ? wait_by_select(sockets) : wait_by_poll(sockets);
        // Backwards, because remove() replaces a socket by the last one, which was served already.
        for (std::size_t i = sockets.polled.size(); i-- > 1;) {
            if (sockets.polled[i].revents == 0) continue;
            if (!serve(sockets.polled[i], sockets.unsent[i], buffer)) sockets.remove(i);
        }
        if (sockets.polled.front().revents != 0) accept_all(sockets, selects);
    }
}
