// The kinds of output that a send queue distinguishes.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>

namespace wsserver {

/// The kind of a send. It determines which output may overtake it, and the limit over which the policy for slow
/// consumers applies.
enum class SendKind : std::uint8_t {
    message,    ///< a message from any sender: limited by the high mark
    reply,      ///< one whose sender is not read over that mark, as the connection's own handler: by the hard limit
    part,       ///< frames of the open message, which goes on: by the hard limit
    last_part,  ///< its last frames
    control,    ///< Ping and Pong: they overtake messages
    close,      ///< Close: the last frame
};

/// True for `part` and `last_part`.
constexpr bool is_part(SendKind kind) noexcept { return kind == SendKind::part || kind == SendKind::last_part; }
/// True for `message` and `reply`.
constexpr bool is_message(SendKind kind) noexcept { return kind == SendKind::message || kind == SendKind::reply; }

}  // namespace wsserver
