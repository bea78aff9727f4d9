// Accepts the peers of a listening socket, and pauses when descriptors or memory run out.
#pragma once

#include "wsserver/transport/detail/asio/acceptor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/transport/detail/accept_peers.hpp"

namespace wsserver::detail {

namespace {

/// Returns 0 if epoll takes `descriptor`, or the errno.
int epoll_error(int descriptor) noexcept {
    const Descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
    epoll_event event{};
    return epoll && ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : errno;
}

}  // namespace

AsioAcceptor::AsioAcceptor(AsioLoop& loop, ListeningSocket listener, UniqueFunction<void(Descriptor)> accepted)
    : loop_(&loop),
      listener_(std::move(listener)),
      accepted_(std::move(accepted)),
      waiting_(loop.context()),
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

/// Returns 0, or the errno with which epoll refuses the listener, for example because this user has too many
/// descriptors in it.
int AsioAcceptor::register_listener() {
    if (waiting_.is_open()) return 0;
    // Each refusal costs memory, which Asio keeps until its context ends.
    if (is_refused_) {
        if (const int error = epoll_error(listener_.descriptor()); error != 0) return error;
    }
    boost::system::error_code error;
    if (!within_memory([&] { waiting_.assign(listener_.descriptor(), error); })) return ENOMEM;
    is_refused_ = bool{error};
    return error.value();
}

void AsioAcceptor::await_peers() {
    if (const int error = register_listener(); error != 0) return pause(error);
    const auto ready = [self = shared_from_this()](boost::system::error_code error) {
        if (!error) self->accept_peers();
    };
    waiting_.async_wait(WaitableDescriptor::wait_read, InMemory{waiting_memory_, ready});
}

void AsioAcceptor::accept_peers() {
    if (loop_ == nullptr) return;
    const auto turn = loop_->turn();
    const int error = detail::accept_peers(listener_.descriptor(), SOCK_NONBLOCK, [this](Descriptor peer) {
        pause_reported_ = false;
        (void)within_memory([&] { accepted_(std::move(peer)); });  // without memory the peer is refused
        return loop_ != nullptr;                                   // accepted_ may have called stop()
    });
    if (loop_ == nullptr) return;
    if (error != 0) return pause(error);
    await_peers();
}

void AsioAcceptor::pause(int error) {
    paused_ = true;
    await_retry();
    // Reported once per pause, not again after each retry that fails.
    if (std::exchange(pause_reported_, true)) return;
    (void)within_memory([&] { loop_->accept_paused({error, std::system_category()}); });
}

/// Waits once at a time, so that there is memory for it: the timer of a pause that has ended early goes on, and may end
/// the next pause early.
void AsioAcceptor::await_retry() {
    if (std::exchange(retry_waits_, true)) return;
    auto retry = [self = shared_from_this()](boost::system::error_code = {}) {
        self->retry_waits_ = false;
        self->retry();
    };
    const bool armed = within_memory([&] {
        retry_timer_.expires_after(accept_pause);
        retry_timer_.async_wait(InMemory{retry_memory_, retry});
    });
    if (armed) return;
    // The timers of the context share an array, which may have to grow: without memory for that, tries again at once.
    boost::asio::post(loop_->context(), InMemory{retry_memory_, std::move(retry)});
}

/// Without memory to do it soon, retry_timer_ does it.
void AsioAcceptor::retry_soon() noexcept {
    if (!paused_ || retry_posted_) return;
    retry_posted_ = within_memory([this] {
        loop_->post([self = shared_from_this()] {
            self->retry_posted_ = false;
            self->retry();
        });
    });
}

void AsioAcceptor::retry() {
    if (loop_ == nullptr || !std::exchange(paused_, false)) return;
    accept_peers();
}

}  // namespace wsserver::detail
