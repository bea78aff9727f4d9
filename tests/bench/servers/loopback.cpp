// Opens the listening socket of a raw server and parses its arguments.
#include "loopback.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace wsserver::bench {

void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

Sends parse_words(int count, char** words) {
    if (count == 1) return Sends::back;
    if (count == 2 && std::strcmp(words[1], "--broadcast") == 0) return Sends::to_all;
    std::fprintf(stderr, "usage: %s [--broadcast]\n", words[0]);
    std::exit(2);
}

int listen_on_loopback(int socket_flags) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | socket_flags, 0);
    if (listener < 0) fail("socket");
    const int on = 1;
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener, plain, size) != 0 || listen(listener, SOMAXCONN) != 0) fail("listen");
    if (getsockname(listener, plain, &size) != 0) fail("getsockname");
    std::printf("listening on tcp://127.0.0.1:%u\n", static_cast<unsigned>(ntohs(address.sin_port)));
    std::fflush(stdout);
    return listener;
}

}  // namespace wsserver::bench
