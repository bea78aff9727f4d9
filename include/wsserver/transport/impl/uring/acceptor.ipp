// Accepts the peers of a listening socket, and pauses when descriptors or memory run out.
#pragma once

#include "wsserver/transport/detail/uring/acceptor.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "wsserver/transport/detail/accept_errors.hpp"
#include "wsserver/transport/detail/uring/loop.hpp"

namespace wsserver::detail {

UringAcceptor::UringAcceptor(UringLoop& loop, ListeningSocket listener,
                             UniqueFunction<void(UringTransport::Socket)> accepted)
    : loop_(loop),
      listener_(std::move(listener)),
      accepted_(std::move(accepted)),
      retry_timer_(loop.ring(), [this] { retry(); }) {
    // On Linux accepted sockets inherit it, which saves a system call for each. (On a Unix socket it fails and is not
    // needed.)
    const int on = 1;
    ::setsockopt(listener_.descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::fcntl(listener_.descriptor(), F_SETFL, 0);  // on a non-blocking socket accept would fail at once with EAGAIN
}

void UringAcceptor::start() { await_peers(); }

void UringAcceptor::stop() {
    if (std::exchange(stopped_, true)) return;
    if (awaiting_peers_) loop_.ring().cancel(UringEvent::accepted, this);
    // The accept request may not have reached the kernel yet. Until it has ended, no peer must be accepted, and the
    // descriptor must stay open so that no other socket gets its number.
    ::shutdown(listener_.descriptor(), SHUT_RD);
    Descriptor socket = listener_.release();
    if (awaiting_peers_) ending_ = std::move(socket);
    retry_timer_.set(Clock::time_point::max());
}

void UringAcceptor::abandon() {
    stop();
    accepted_ = {};
}

void UringAcceptor::await_peers() {
    awaiting_peers_ = true;
    io_uring_prep_multishot_accept(&loop_.ring().sqe(UringEvent::accepted, this), listener_.descriptor(), nullptr,
                                   nullptr, SOCK_CLOEXEC);
}

void UringAcceptor::completed(int result, std::uint32_t flags) {
    if ((flags & IORING_CQE_F_MORE) == 0) awaiting_peers_ = false;
    if (!awaiting_peers_) ending_.reset();
    if (result >= 0) {
        Descriptor peer{result};
        if (stopped_) return;  // closes the peer
        pause_reported_ = false;
        accepted_(UringTransport::Socket::blocking(std::move(peer)));
    }
    if (stopped_ || awaiting_peers_) return;
    if (result >= 0 || is_error_of_peer(-result) || result == -EAGAIN) return await_peers();
    pause(-result);
}

/// After EMFILE, ENFILE, ENOBUFS, ENOMEM or an unexpected error: the peer stays in the backlog, and to accept again at
/// once would only fail again.
void UringAcceptor::pause(int error) {
    paused_ = true;
    retry_timer_.set(Clock::now() + accept_pause);
    // Reported once per pause, not again after each retry that fails.
    if (!std::exchange(pause_reported_, true)) loop_.accept_paused({error, std::system_category()});
}

void UringAcceptor::retry() {
    if (stopped_ || !std::exchange(paused_, false)) return;
    retry_timer_.set(Clock::time_point::max());
    await_peers();
}

}  // namespace wsserver::detail
