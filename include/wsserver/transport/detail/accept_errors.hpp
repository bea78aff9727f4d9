// What accept(2) says, for the transports that listen.
#pragma once

#include <cerrno>
#include <chrono>

namespace wsserver::detail {

/// So long accepting waits when it fails for want of descriptors or memory, unless a stream closes.
constexpr std::chrono::milliseconds accept_pause{100};

/// accept(2): errors of the peer that was to be accepted, who has gone again. The next one is none the worse.
inline bool is_the_peers(int error) noexcept {
    switch (error) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case ETIMEDOUT:
        case EPERM:  // a firewall's rule
            return true;
        default:
            return false;
    }
}

}  // namespace wsserver::detail
