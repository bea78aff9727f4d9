// Accepts the peers of a listening socket, and pauses when descriptors or memory run out.
#pragma once

#include "wsserver/transport/detail/asio/acceptor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "wsserver/transport/detail/accept_errors.hpp"

namespace wsserver::detail {

namespace {

/// Accepts per turn: enough to empty the backlog fast, and too few to delay the other streams.
constexpr int accepts_per_turn = 64;

}  // namespace

AsioAcceptor::AsioAcceptor(AsioLoop& loop, ListeningSocket listener, UniqueFunction<void(Descriptor)> accepted)
    : loop_(&loop),
      listener_(std::move(listener)),
      accepted_(std::move(accepted)),
      waiting_(loop.context(), listener_.descriptor()),
      retry_timer_(loop.context()) {
    // On Linux accepted sockets inherit it, which saves a system call for each. (On a Unix socket it fails and is not
    // needed.)
    const int on = 1;
    ::setsockopt(listener_.descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

AsioAcceptor::~AsioAcceptor() {
    if (waiting_.is_open()) waiting_.release();
}

void AsioAcceptor::start() { await_peers(); }

void AsioAcceptor::stop() {
    loop_ = nullptr;
    waiting_.release();
    listener_ = {};
    retry_timer_.cancel();
}

void AsioAcceptor::await_peers() {
    waiting_.async_wait(WaitableDescriptor::wait_read, [self = shared_from_this()](boost::system::error_code error) {
        if (!error) self->accept_peers();
    });
}

void AsioAcceptor::accept_peers() {
    for (int i = 0; i < accepts_per_turn; ++i) {
        if (loop_ == nullptr) return;  // accepted_ may have called stop()
        Descriptor peer{::accept4(listener_.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (peer) {
            pause_reported_ = false;
            accepted_(std::move(peer));
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (!is_error_of_peer(errno)) {
            return pause(errno);
        }
    }
    if (loop_ != nullptr) await_peers();
}

/// After EMFILE, ENFILE, ENOBUFS, ENOMEM or an unexpected error: the peer stays in the backlog and the socket stays
/// readable, so that waiting for readiness would spin.
void AsioAcceptor::pause(int error) {
    paused_ = true;
    retry_timer_.expires_after(accept_pause);
    retry_timer_.async_wait([self = shared_from_this()](boost::system::error_code cancelled) {
        if (!cancelled) self->retry();
    });
    // Reported once per pause, not again after each retry that fails.
    if (!std::exchange(pause_reported_, true)) loop_->accept_paused({error, std::system_category()});
}

void AsioAcceptor::retry_soon() {
    if (!paused_ || std::exchange(retry_posted_, true)) return;
    loop_->post([self = shared_from_this()] {
        self->retry_posted_ = false;
        self->retry();
    });
}

void AsioAcceptor::retry() {
    if (loop_ == nullptr || !std::exchange(paused_, false)) return;
    retry_timer_.cancel();
    accept_peers();
}

}  // namespace wsserver::detail
