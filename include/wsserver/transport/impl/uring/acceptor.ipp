// Accepts the peers of a listening socket, and pauses when descriptors or memory run out.
#pragma once

#include "wsserver/transport/detail/uring/acceptor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/transport/detail/accept_peers.hpp"
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
}

void UringAcceptor::start() { await_peers(); }

void UringAcceptor::stop() {
    if (std::exchange(stopped_, true)) return;
    if (awaiting_peers_) loop_.ring().cancel(UringEvent::peers, this);
    // The poll request may not have reached the kernel yet. Until it has ended, the descriptor must stay open so that
    // no other socket gets its number. Meanwhile peers are refused, or wait in an inherited socket.
    if (!listener_.is_inherited()) ::shutdown(listener_.descriptor(), SHUT_RD);
    Descriptor socket = listener_.release();
    if (awaiting_peers_) ending_ = std::move(socket);
    retry_timer_.set(Clock::time_point::max());
}

void UringAcceptor::abandon() {
    stop();
    ending_.reset();
    accepted_ = {};
}

void UringAcceptor::await_peers() {
    awaiting_peers_ = true;
    io_uring_prep_poll_add(&loop_.ring().sqe(UringEvent::peers, this), listener_.descriptor(), POLLIN);
}

void UringAcceptor::completed(int result) {
    awaiting_peers_ = false;
    ending_.reset();
    if (stopped_) return;
    if (result < 0) return pause(-result);
    accept_peers();
}

void UringAcceptor::request_lost() {
    if (!std::exchange(awaiting_peers_, false)) return;
    ending_.reset();
    if (!stopped_) await_peers();
}

/// Accepts here and not in the kernel, where a request would keep the limit of descriptors of the time at which it was
/// submitted, and would accept peers for a loop that is blocked.
void UringAcceptor::accept_peers() {
    const int error = detail::accept_peers(listener_.descriptor(), 0, [this](Descriptor peer) {
        pause_reported_ = false;
        // Without memory the peer is refused.
        (void)within_memory([&] { accepted_(UringTransport::Socket::blocking(std::move(peer))); });
        return !stopped_;  // accepted_ may have called stop()
    });
    if (stopped_) return;
    if (error != 0) return pause(error);
    await_peers();
}

void UringAcceptor::pause(int error) {
    paused_ = true;
    retry_timer_.set(Clock::now() + accept_pause);
    // Reported once per pause, not again after each retry that fails.
    if (std::exchange(pause_reported_, true)) return;
    (void)within_memory([&] { loop_.accept_paused({error, std::system_category()}); });
}

void UringAcceptor::retry() {
    if (stopped_ || !std::exchange(paused_, false)) return;
    retry_timer_.set(Clock::time_point::max());
    await_peers();
}

}  // namespace wsserver::detail
