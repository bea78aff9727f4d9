// The errors of accept(2), for the transports that listen.
#pragma once

#include <cerrno>
#include <chrono>

namespace wsserver::detail {

/// The delay before accepting again after descriptors or memory ran out. A stream that closes ends it early.
constexpr std::chrono::milliseconds accept_pause{100};

/// True if the error concerns only the peer that was being accepted, and the next one can be accepted at once. See
/// accept(2).
inline bool is_error_of_peer(int error) noexcept {
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
        case EPERM:  // a firewall rule
            return true;
        default:
            return false;
    }
}

}  // namespace wsserver::detail
