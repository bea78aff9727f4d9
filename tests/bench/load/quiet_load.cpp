// Sends messages at fixed times and measures how long each waits for its reply.
#include "quiet_load.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <system_error>

#include "connecting.hpp"

namespace wsserver::bench {

namespace {

using namespace std::chrono_literals;

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

double microseconds(QuietLoad::Clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

}  // namespace

QuietLoad::QuietLoad(const QuietLoadOptions& options)
    : options_(options),
      frame_(masked_frames(options.kind, 1)),
      counter_(options.kind),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
    prctl(PR_SET_TIMERSLACK, 1UL);  // otherwise timeouts are up to 50 us late
    for (std::size_t i = 0; i < options.connections; ++i) {
        const int socket = connect_to(options.port);
        if (options.websocket) shake_hands(socket, options.target);
        fcntl(socket, F_SETFL, O_NONBLOCK);
        connections_.push_back({.socket = socket});
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = i;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) != 0) fail("epoll_ctl");
    }
}

QuietLoad::~QuietLoad() {
    for (const Connection& connection : connections_) close(connection.socket);
    close(epoll_);
}

std::vector<double> QuietLoad::run(std::chrono::milliseconds time) {
    waits_.clear();
    const auto start = Clock::now();
    const auto step = options_.pause / connections_.size();  // spreads the messages over the pause
    std::size_t index = 0;
    for (auto due = start; due < start + time; due += step, index = (index + 1) % connections_.size()) {
        wait_until(due);
        Connection& connection = connections_[index];
        const bool free = connection.waiting.empty();
        connection.waiting.push_back(free ? Clock::now() : due);
        if (free) send_message(connection);
    }
    wait_until(Clock::now() + options_.pause);
    for (Connection& connection : connections_) {
        for (const auto since : connection.waiting) waits_.push_back(microseconds(Clock::now() - since));
        // The first was sent and stays. The others were not sent and are dropped.
        if (connection.waiting.size() > 1) connection.waiting.resize(1);
    }
    return waits_;
}

void QuietLoad::send_message(Connection& connection) {
    const ssize_t sent = send(connection.socket, frame_.data(), frame_.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(frame_.size())) fail("send");  // the kernel always takes one small message
}

void QuietLoad::wait_until(Clock::time_point time) {
    for (;;) {
        const auto left = std::max<Clock::duration>(time - Clock::now(), 0ns);
        const timespec timeout{.tv_sec = left / 1s, .tv_nsec = (left % 1s).count()};
        std::array<epoll_event, 128> events;
        const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
        if (count < 0 && errno != EINTR) fail("epoll_pwait2");
        for (int i = 0; i < count; ++i) receive(connections_[events[static_cast<std::size_t>(i)].data.u64]);
        if (left == 0ns) return;
    }
}

void QuietLoad::receive(Connection& connection) {
    std::array<char, 64 * 1024> buffer;
    const ssize_t count = recv(connection.socket, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) throw std::runtime_error{"the server under test closed a quiet connection"};
    const auto now = Clock::now();
    for (auto left = this->count(connection, {buffer.data(), static_cast<std::size_t>(count)}); left > 0; --left) {
        if (connection.waiting.empty())
            throw std::runtime_error{"the server under test sends more replies than messages"};
        waits_.push_back(microseconds(now - connection.waiting.front()));
        connection.waiting.pop_front();
        if (!connection.waiting.empty()) send_message(connection);
    }
}

std::size_t QuietLoad::count(Connection& connection, std::string_view bytes) const {
    if (options_.websocket) return counter_.count(connection.progress, bytes);
    connection.bytes += bytes.size();
    const std::size_t replies = connection.bytes / frame_.size();
    connection.bytes %= frame_.size();
    return replies;
}

}  // namespace wsserver::bench
