// What is sent, as the send queue has to know it.
#pragma once

#include <cstdint>

namespace wsserver {

/// Decides what may overtake what, and where the policy for slow consumers begins.
enum class SendKind : std::uint8_t {
    message,  ///< a message from anyone but the connection's own handler: the policy begins above the high mark
    reply,    ///< a message from the connection's own handler: the policy begins above the hard limit
    control,  ///< Ping and Pong: overtake messages
    close,    ///< Close: the last frame
};

constexpr bool is_message(SendKind kind) noexcept { return kind == SendKind::message || kind == SendKind::reply; }

}  // namespace wsserver
