// The limits of a connection's send queue.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>

namespace wsserver {

/// The policy for a message when the send queue is over its limit. The limit is the hard limit for replies of the
/// connection's own handler, and the high mark for other messages.
enum class SlowConsumer : std::uint8_t {
    close,        ///< the connection is closed with 1013
    drop_oldest,  ///< the oldest waiting message is dropped
    drop_newest,  ///< this message is dropped
    keep_latest,  ///< all waiting messages are dropped and this one is queued: for states that replace each other
};

/// The limits of a send queue, in bytes that wait or are in flight, including bookkeeping. A message of any size is
/// queued if the queue is not over the limit before, so a queue holds at most `hard_limit` and one message.
struct SendQueueLimits {
    std::size_t high_mark = std::size_t{1}
                            << 20;  ///< over it, reading stops, and the policy applies to all but replies
    std::size_t hard_limit = std::size_t{16} << 20;  ///< over it, the policy applies to all messages
    SlowConsumer policy = SlowConsumer::close;       ///< for messages over the limit
};

}  // namespace wsserver
