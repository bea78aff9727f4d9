// The limits and times of connections, and what else their owner decides for all of them.
#pragma once

#include <chrono>
#include <string>

#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/limits.hpp"
#include "wsserver/protocol/protocol.hpp"

namespace wsserver {

/// One for all connections of an owner, which may change it between turns.
struct ConnectionOptions {
    HandshakeLimits handshake{};
    ProtocolOptions protocol{};
    SendQueueLimits send_queue{};
    std::chrono::milliseconds handshake_timeout{10'000};
    std::chrono::milliseconds ping_interval{25'000};  ///< 0: never
    std::chrono::milliseconds pong_timeout{20'000};
    std::chrono::milliseconds close_timeout{5'000};
    std::string server_name{};
};

}  // namespace wsserver
