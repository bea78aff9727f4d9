// The limits and timeouts of a connection, for both roles.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <cstddef>
#include <optional>

#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/limits.hpp"

namespace wsserver {

/// What a server does with plain HTTP requests, if it has routes (ServerHandlers::handle_http()). The header of each
/// request has the limits and the timeout of an opening handshake, and its body ConnectionOptions::message_timeout: a
/// whole body to arrive, or one in pieces to arrive in part.
struct HttpOptions {
    /// The most bytes of a body that is read as a whole; over it: 413. If there is a memory limit, three quarters of
    /// it are a limit, too.
    std::size_t max_body = std::size_t{1} << 20;
    std::chrono::milliseconds idle_timeout{60'000};  ///< from an answer to the first byte of the next request
    std::chrono::milliseconds answer_timeout{
        60'000};                                     ///< for the program to begin its answer; then a 503; 0: unlimited
    std::chrono::milliseconds send_timeout{30'000};  ///< for the client to take any byte of its answer
    std::size_t max_requests = 0;                    ///< most requests of one connection; 0: unlimited
};

/// The options of all connections of a server or a client. Each limit holds for one connection.
struct ConnectionOptions {
    HandshakeLimits handshake{};                          ///< limits of the header that the peer sends
    std::chrono::milliseconds handshake_timeout{10'000};  ///< for the opening handshake; a Client has connect_timeout

    std::size_t max_message = std::size_t{16} << 20;  ///< most bytes of a received message; over it: close code 1009
    /// Most frames of a received message; over it: close code 1009. Does not limit what a handler gets by on_part().
    std::size_t max_fragments = 131'072;
    /// From the first byte of a received message to its end; then close code 1008. 0: unlimited. Without a value: a
    /// minute on a server, unlimited on a client. Also the longest time between two pieces of a message that is sent in
    /// pieces, while others wait for its end and there is space for it; then close code 1011. Without a value: a
    /// minute.
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

    HttpOptions http{};                   ///< for plain requests to a server
    std::size_t max_delayed_calls = 256;  ///< most calls of AnyConnection::after() that wait for their time
};

}  // namespace wsserver
