// The limits of a connection's send queue.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wsserver {

/// What happens to a message when the send queue is over its limit: the high mark for messages from others, the hard
/// limit for all messages.
enum class SlowConsumer : std::uint8_t {
    close,        ///< the connection is closed with 1013
    drop_oldest,  ///< the oldest waiting message is dropped
    drop_newest,  ///< this message is dropped
    keep_latest,  ///< all waiting messages are dropped, this one is queued: for states that replace each other
};

/// In bytes that wait or are in flight, bookkeeping included. A message of any size is queued if no more than the limit
/// is queued already, so a queue holds at most `hard_limit` and one message.
struct SendQueueLimits {
    std::size_t high_mark = std::size_t{1} << 20;
    std::size_t hard_limit = std::size_t{16} << 20;
    SlowConsumer policy = SlowConsumer::close;
};

}  // namespace wsserver
