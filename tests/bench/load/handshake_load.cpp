// Opens connections, closes them, and counts those that have ended.
#include "handshake_load.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "connecting.hpp"

namespace wsserver::bench {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

void send_all(int socket, std::string_view bytes) {
    const ssize_t count = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count != static_cast<ssize_t>(bytes.size())) fail("send");
}

/// FIN, close code 1000, masked with zeros.
constexpr std::string_view close_frame{"\x88\x82\0\0\0\0\x03\xe8", 8};

}  // namespace

HandshakeLoad::HandshakeLoad(const HandshakeLoadOptions& options)
    : options_(options),
      request_(opening_request(options.target)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      connections_(options.at_a_time) {
    if (epoll_ < 0) fail("epoll_create1");
    for (std::size_t i = 0; i < connections_.size(); ++i) idle_.push_back(i);
}

HandshakeLoad::~HandshakeLoad() {
    for (const Connection& connection : connections_) {
        if (connection.socket >= 0) close(connection.socket);
    }
    close(epoll_);
}

void HandshakeLoad::begin() {}  // turn() opens connections

void HandshakeLoad::turn() {
    while (!stopping() && !idle_.empty()) {
        const std::size_t index = idle_.back();
        idle_.pop_back();
        open(index);
    }
    std::array<epoll_event, 256> events;
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 100);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) receive(events[static_cast<std::size_t>(i)].data.u64);
}

void HandshakeLoad::open(std::size_t index) {
    Connection& connection = connections_[index];
    connection = {.socket = connect_to(options_.port)};
    ++open_;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket, &event) != 0) fail("epoll_ctl");
    send_all(connection.socket, request_);
}

void HandshakeLoad::receive(std::size_t index) {
    Connection& connection = connections_[index];
    std::array<char, 2048> buffer;
    const ssize_t count = recv(connection.socket, buffer.data(), buffer.size(), 0);
    if (count > 0) {
        if (!connection.closing) on_bytes(index, {buffer.data(), static_cast<std::size_t>(count)});
    } else if (connection.closing) {
        end(index);
    } else {
        throw std::runtime_error{"the server under test closed a connection"};
    }
}

void HandshakeLoad::on_bytes(std::size_t index, std::string_view bytes) {
    Connection& connection = connections_[index];
    connection.response += bytes;
    if (!options_.websocket) {
        if (connection.response.size() < request_.size()) return;
        // The load closes first. With a reset its ports do not stay in TIME_WAIT.
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        setsockopt(connection.socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return end(index);
    }
    if (connection.response.find("\r\n\r\n") == std::string::npos) return;
    if (!connection.response.starts_with("HTTP/1.1 101 ")) {
        throw std::runtime_error{"the server under test refuses the opening handshake: " + connection.response};
    }
    send_all(connection.socket, close_frame);
    connection.closing = true;
}

void HandshakeLoad::end(std::size_t index) {
    close(std::exchange(connections_[index].socket, -1));
    idle_.push_back(index);
    --open_;
    count(1);
}

}  // namespace wsserver::bench
