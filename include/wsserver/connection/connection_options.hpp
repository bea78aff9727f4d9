// The limits and timeouts that an owner sets for its connections.
#pragma once

#include <chrono>
#include <string>

#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/limits.hpp"
#include "wsserver/protocol/protocol.hpp"

namespace wsserver {

/// The options of all connections of an owner. The owner may change them between turns.
struct ConnectionOptions {
    HandshakeLimits handshake{};                          ///< limits of the opening handshake
    ProtocolOptions protocol{};                           ///< limits of messages
    SendQueueLimits send_queue{};                         ///< limits of the send queue of each connection
    std::chrono::milliseconds handshake_timeout{10'000};  ///< for the opening handshake
    std::chrono::milliseconds ping_interval{25'000};      ///< of silence before a ping; 0: never
    std::chrono::milliseconds pong_timeout{20'000};       ///< for the answer to that ping

    /// For the answer to a Close frame, from when that has left, and then for the end of the stream. Before that, for
    /// the peer to take any byte of what is queued.
    std::chrono::milliseconds close_timeout{5'000};
    std::string server_name{};  ///< the Server field of responses; empty: no such field
};

}  // namespace wsserver
