// Resolves a host in a thread of its own and tries each address within its share of the time.
#pragma once

#include "wsserver/transport/detail/asio/connecting.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/scheduling/detail/signals_blocked.hpp"

namespace wsserver::detail {

namespace {

/// connect() to a Unix socket whose backlog is full fails with EAGAIN. Nothing reports when it has space again, so try
/// again after this time.
constexpr std::chrono::milliseconds full_backlog_time{20};

}  // namespace

AsioConnecting::AsioConnecting(AsioLoop& loop, Clock::time_point deadline, AsioTransport::Connected connected)
    : loop_(loop),
      deadline_(deadline),
      connected_(std::move(connected)),
      socket_(loop.context()),
      deadline_timer_(loop.context()),
      attempt_timer_(loop.context()) {}

void AsioConnecting::start(const Endpoint& to) {
    if (deadline_ != Clock::time_point::max()) {
        deadline_timer_.expires_at(deadline_);
        deadline_timer_.async_wait([self = shared_from_this()](boost::system::error_code cancelled) {
            if (cancelled || self->finished_ || !self->connected_) return;  // the loop may be gone
            const auto turn = self->loop_.turn();
            self->in_turn([&] { self->finish(Unexpected{std::make_error_code(std::errc::timed_out)}); });
        });
    }
    if (to.is_unix()) {
        const auto address = unix_address(to.unix_path);
        if (!address) return finish(Unexpected{std::make_error_code(std::errc::filename_too_long)});
        addresses_.push_back(*address);
        return try_address();
    }
    if (const auto address = numeric_address(to.host, to.port)) {
        addresses_.push_back(*address);
        return try_address();
    }
    look_up(to);
}

/// Shared with the lookup thread.
struct AsioConnecting::Lookup {
    std::mutex mutex;
    AsioConnecting* owner;  // null when the result is no longer wanted
};

/// getaddrinfo() blocks, for many seconds if a name server does not answer, and cannot be stopped. It runs in a
/// detached thread, so that cancel() and the destructor do not wait for it. (With Asio's resolver the destructor of the
/// io_context would wait.)
void AsioConnecting::look_up(const Endpoint& to) {
    lookup_ = std::make_shared<Lookup>();
    lookup_->owner = this;
    lookup_work_.emplace(loop_.context().get_executor());
    try {
        const detail::SignalsBlocked signals;
        std::thread([lookup = lookup_, host = to.host, port = to.port] {
            // Without memory there is no answer, and the deadline ends the attempt.
            (void)within_memory([&] {
                auto found = wsserver::look_up(host, port);
                const std::lock_guard lock(lookup->mutex);
                if (lookup->owner == nullptr) return;
                auto self = lookup->owner->shared_from_this();
                lookup->owner->loop_.post([self = std::move(self), found = std::move(found)]() mutable {
                    self->in_turn([&] { self->looked_up(std::move(found)); });
                });
            });
        }).detach();
    } catch (const std::system_error& no_thread) {
        finish(Unexpected{no_thread.code()});
    }
}

void AsioConnecting::abandon_lookup() noexcept {
    lookup_work_.reset();
    if (!lookup_) return;
    const std::lock_guard lock(lookup_->mutex);
    lookup_->owner = nullptr;
}

void AsioConnecting::looked_up(Result<std::vector<SocketAddress>, std::error_code> found) {
    if (!connected_ || finished_) return;
    abandon_lookup();
    if (!found) return finish(Unexpected{found.error()});
    addresses_ = *std::move(found);
    try_address();
}

void AsioConnecting::try_address() {
    const SocketAddress& address = addresses_[trying_];
    Descriptor socket{::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    boost::system::error_code error;
    if (socket) socket_.assign(socket.get(), error);
    if (!socket || error) return finish(Unexpected{std::error_code{socket ? ENOMEM : errno, std::system_category()}});
    const int number = socket.release();

    if (address.family() != AF_UNIX) {
        const int on = 1;
        ::setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (::connect(number, address.get(), address.size) == 0) return connection_settled();
    if (errno == EINPROGRESS || errno == EINTR) return await_connection();
    if (errno != EAGAIN || address.family() != AF_UNIX) return next_address(errno);
    stop_waiting();
    attempt_timer_.expires_after(full_backlog_time);
    attempt_timer_.async_wait([self = shared_from_this()](boost::system::error_code cancelled) {
        if (cancelled || self->finished_ || !self->connected_) return;
        const auto turn = self->loop_.turn();
        self->in_turn([&] { self->try_address(); });
    });
}

void AsioConnecting::await_connection() {
    socket_.async_wait(WaitableDescriptor::wait_write,
                       [self = shared_from_this(), attempt = trying_](boost::system::error_code cancelled) {
                           if (cancelled || !self->awaits(attempt)) return;
                           const auto turn = self->loop_.turn();
                           self->in_turn([&] { self->connection_settled(); });
                       });
    const auto end = end_of_attempt();
    if (end == Clock::time_point::max()) return;
    attempt_timer_.expires_at(end);
    attempt_timer_.async_wait([self = shared_from_this(), attempt = trying_](boost::system::error_code cancelled) {
        if (cancelled || !self->awaits(attempt)) return;
        const auto turn = self->loop_.turn();
        self->in_turn([&] { self->next_address(ETIMEDOUT); });
    });
}

/// Divides the remaining time between the remaining addresses, so that one that does not answer leaves time for the
/// next ones.
Clock::time_point AsioConnecting::end_of_attempt() const {
    const std::size_t left = addresses_.size() - trying_;
    if (deadline_ == Clock::time_point::max() || left == 1) return Clock::time_point::max();
    const auto now = Clock::now();
    return now + std::max(deadline_ - now, Clock::duration::zero()) / static_cast<int>(left);
}

void AsioConnecting::connection_settled() {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return next_address(error);
    finish(Descriptor{socket_.release()});
}

void AsioConnecting::next_address(int error) {
    stop_waiting();
    if (++trying_ < addresses_.size()) return try_address();
    finish(Unexpected{std::error_code{error, std::system_category()}});
}

void AsioConnecting::stop_waiting() {
    boost::system::error_code ignored;
    socket_.close(ignored);
    attempt_timer_.cancel();
}

void AsioConnecting::finish(Result<Descriptor, std::error_code> result) {
    if (!connected_ || finished_) return;
    loop_.post([self = shared_from_this(), result = std::move(result)]() mutable {
        if (auto connected = std::exchange(self->connected_, {})) connected(std::move(result));
    });
    finished_ = true;
    stop_waiting();
    deadline_timer_.cancel();
    abandon_lookup();
}

/// Calls `f` for the loop. Without memory the attempt fails.
template <class F>
void AsioConnecting::in_turn(F&& f) {
    if (within_memory(f) || finished_) return;
    auto connected = std::exchange(connected_, {});
    cancel();
    if (connected) connected(Unexpected{std::make_error_code(std::errc::not_enough_memory)});
}

void AsioConnecting::cancel() {
    connected_ = {};
    stop_waiting();
    deadline_timer_.cancel();
    abandon_lookup();
}

}  // namespace wsserver::detail
