// Opens connections on loopback, with or without the opening handshake.
#include "connecting.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace wsserver::bench {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

sockaddr_in loopback(std::uint8_t host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl((INADDR_LOOPBACK & 0xffffff00) | host);
    return address;
}

}  // namespace

int connect_to(std::uint16_t port, std::uint8_t host) {
    const int connected = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connected < 0) fail("socket");
    const int on = 1;
    const sockaddr_in from = loopback(host, 0);
    setsockopt(connected, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(connected, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) fail("bind");
    const sockaddr_in to = loopback(1, port);
    if (connect(connected, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
    setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connected;
}

std::string opening_request(const std::string& target, const std::string& subprotocol) {
    std::string request = "GET " + target +
                          " HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    if (!subprotocol.empty()) request.append("Sec-WebSocket-Protocol: ").append(subprotocol).append("\r\n");
    return request.append("\r\n");
}

void shake_hands(int socket, const std::string& target, const std::string& subprotocol) {
    const std::string request = opening_request(target, subprotocol);
    if (send(socket, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
        fail("send");
    }
    std::string response;
    while (!response.ends_with("\r\n\r\n")) {
        char byte = 0;
        if (recv(socket, &byte, 1, 0) != 1)
            throw std::runtime_error{"the server under test does not answer the opening handshake"};
        response += byte;
    }
    if (!response.starts_with("HTTP/1.1 101 "))
        throw std::runtime_error{"the server under test refuses the opening handshake: " + response};
}

}  // namespace wsserver::bench
