// The messages of a load: encoded in advance, and counted when they are received.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace wsserver::bench {

struct MessageKind {
    bool text = true;       ///< ASCII text; false: binary
    std::size_t size = 16;  ///< payload bytes
};

/// `count` messages as a client sends them: one masked frame each.
std::string masked_frames(MessageKind kind, std::size_t count);
/// `count` messages as a server sends them. A raw server that sends them to all receives them in this form.
std::string unmasked_frames(MessageKind kind, std::size_t count);
/// An empty masked Pong, the reply to a Ping.
std::string masked_pong();

/// Counts the messages that a server sends. They may be fragmented. Checks their lengths, not their payloads. Control
/// frames may be between them, because a server pings idle connections.
class MessageCounter {
   public:
    explicit MessageCounter(MessageKind kind);

    /// The state of one connection.
    struct Progress {
        std::size_t received = 0;      ///< payload bytes of the current message
        std::string header{};          ///< the bytes of an incomplete header
        std::size_t payload_left = 0;  ///< bytes missing in the current frame
        bool last_fragment = false;    ///< the current frame ends a message
        bool control = false;          ///< the current frame is a control frame
        bool pinged = false;           ///< a Ping was received; the caller resets it
    };

    /// Returns the number of messages that end in `bytes`. Throws std::runtime_error if a message is not of this kind.
    std::size_t count(Progress& progress, std::string_view bytes) const;

   private:
    bool take_header(Progress& progress, std::string_view& bytes) const;

    std::size_t size_;
    std::string header_;  ///< of an unfragmented message
};

}  // namespace wsserver::bench
