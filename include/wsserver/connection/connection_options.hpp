// The limits and timeouts of a connection, for both roles.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <cstddef>
#include <optional>

#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/limits.hpp"

namespace wsserver {

/// The options of all connections of a server or a client. Each limit holds for one connection.
struct ConnectionOptions {
    HandshakeLimits handshake{};                          ///< limits of the header that the peer sends
    std::chrono::milliseconds handshake_timeout{10'000};  ///< for the opening handshake; a Client has connect_timeout

    std::size_t max_message = std::size_t{16} << 20;  ///< most bytes of a received message; over it: close code 1009
    std::size_t max_fragments = 131'072;              ///< most frames of a received message; over it: close code 1009
    /// From the first byte of a received message to its end; then close code 1008. 0: unlimited. Without a value: a
    /// minute on a server, unlimited on a client.
    std::optional<std::chrono::milliseconds> message_timeout{};
    /// What may be received in a second. Reading pauses for a peer that sends more, so it has to wait, and nothing is
    /// lost. Its Ping, Pong and Close frames wait, too.
    ReceiveRates receive_rates{};

    SendQueueLimits send_queue{};  ///< what may wait to be sent

    std::chrono::milliseconds ping_interval{25'000};  ///< silence of the peer before a ping; 0: no pings
    std::chrono::milliseconds pong_timeout{20'000};   ///< silence after that ping before the connection ends (1006)

    /// For the answer to a Close frame, from when that has left, and then for the end of the stream. Before that, for
    /// the peer to take any byte of what is queued.
    std::chrono::milliseconds close_timeout{5'000};

    std::size_t max_rooms = 256;  ///< most rooms that a connection of a server may be in; over it, join() is `dropped`
};

}  // namespace wsserver
