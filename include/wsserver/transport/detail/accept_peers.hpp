// Accepts the peers that wait at a listening socket, for the transports that listen.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <utility>

#include "wsserver/base/descriptor.hpp"

namespace wsserver::detail {

/// The delay before accepting again after a lasting error, such as a lack of descriptors. A stream that closes ends it
/// early.
constexpr std::chrono::milliseconds accept_pause{100};

/// Accepts per turn: enough to empty the backlog fast, and too few to delay the other streams.
constexpr int accepts_per_turn = 64;

/// What an error of accept(2) says about the next call.
enum class AcceptError : std::uint8_t {
    none_waits,  ///< no peer waits
    of_peer,     ///< one peer is gone, and the next one can be accepted at once
    lasting,     ///< peers wait, and the next call would fail, too: descriptors or memory ran out, or it is forbidden
};

/// See accept(2). EPERM is lasting: seccomp and security modules answer it before they look at a peer.
inline AcceptError classify_accept_error(int error) noexcept {
    switch (error) {
        case EAGAIN:
            return AcceptError::none_waits;
        case EINTR:
        case ECONNABORTED:
        case ECONNRESET:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case ETIMEDOUT:
            return AcceptError::of_peer;
        default:
            return AcceptError::lasting;
    }
}

/// Passes peers to `accepted` (Descriptor) until none waits, at most accepts_per_turn of them, or until it returns
/// false. `next` (no arguments) returns a peer, or an empty Descriptor and errno.
///
/// Returns 0, or the errno because of which accepting must pause: a lasting one, or any that was the answer to all
/// calls of a turn. The peers then stay in the backlog and the listener stays readable, so that accepting again at once
/// would spin.
template <class Next, class F>
int accept_peers_from(Next&& next, F&& accepted) {
    int error = 0;
    bool has_accepted = false;
    for (int i = 0; i < accepts_per_turn; ++i) {
        Descriptor peer = next();
        if (peer) {
            has_accepted = true;
            if (!accepted(std::move(peer))) return 0;
            continue;
        }
        error = errno;
        const AcceptError kind = classify_accept_error(error);
        if (kind == AcceptError::none_waits) return 0;
        if (kind == AcceptError::lasting) return error;
    }
    return has_accepted ? 0 : error;
}

/// The same for the peers of `listener`, which is non-blocking. `flags` are those of accept4(2) for the peers' sockets,
/// which are close-on-exec.
template <class F>
int accept_peers(int listener, int flags, F&& accepted) {
    const auto next = [=] { return Descriptor{::accept4(listener, nullptr, nullptr, flags | SOCK_CLOEXEC)}; };
    return accept_peers_from(next, std::forward<F>(accepted));
}

}  // namespace wsserver::detail
