// The limits of a connection: what it may receive in a second, and what may wait to be sent.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>

namespace wsserver {

/// The most that is received from one peer in a second; 0: unlimited. A peer may send as much at once, if it has sent
/// nothing for a second. Reading pauses if it sends more. More than 2^32 - 1 is taken for that.
struct ReceiveRates {
    std::size_t messages = 0;  ///< messages and control frames
    /// On the wire, after the opening handshake. A read of up to 256 KiB may exceed it: what is more than a second
    /// allows is kept, and handled later.
    std::size_t bytes = 0;

    /// True if there is a limit.
    bool any() const noexcept { return (messages | bytes) != 0; }
};

/// The limits of all clients of one address together, or of one user. 0: unlimited. Numbers of more than 2^32 - 1 are
/// taken for that.
struct GroupLimits {
    std::size_t connections = 0;             ///< connections at a time
    std::size_t connections_per_second = 0;  ///< new connections in a second, or at once after a second without any
    /// What is received from all connections in a second. Reading pauses, as it does for one connection. Control frames
    /// count as messages.
    ReceiveRates receive_rates{};

    /// True if there is a limit.
    bool any() const noexcept { return (connections | connections_per_second) != 0 || receive_rates.any(); }
};

/// The policy for a message when the send queue is over its limit. The limit is the hard limit for replies of the
/// connection's own handler, and the high mark for other messages.
enum class SlowConsumer : std::uint8_t {
    close,        ///< the connection is closed with 1013
    drop_oldest,  ///< the oldest waiting message is dropped
    drop_newest,  ///< this message is dropped
    keep_latest,  ///< all waiting messages are dropped and this one is queued: for states that replace each other
};

/// The limits of a send queue, in bytes that wait or are in flight, including bookkeeping. A message of any size is
/// queued if the queue is not over the limit before, so a queue holds at most `hard_limit` and one message. What waits
/// for the end of a message that is sent in pieces has a `hard_limit` of its own.
struct SendQueueLimits {
    std::size_t high_mark = std::size_t{1}
                            << 20;  ///< over it, reading stops, and the policy applies to all but replies
    std::size_t hard_limit = std::size_t{16} << 20;  ///< over it, the policy applies to all messages
    SlowConsumer policy = SlowConsumer::close;       ///< for messages over the limit
};

}  // namespace wsserver
