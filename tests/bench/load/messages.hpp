// The messages of a load: frames made beforehand, and those that come back counted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace wsserver::bench {

struct MessageKind {
    bool text = true;       ///< ASCII text, else binary
    std::size_t size = 16;  ///< payload bytes
};

/// `count` messages as a client sends them: one frame each, masked.
std::string masked_frames(MessageKind kind, std::size_t count);
/// As a server sends them: what a raw server is given where receivers look at what it passes on.
std::string unmasked_frames(MessageKind kind, std::size_t count);
/// An empty Pong, masked: says that the client is there.
std::string masked_pong();

/// Counts the messages that a server sends. They may come in fragments; their lengths are checked, their payloads
/// are not. A server pings who is silent for long: control frames may stand between them.
class MessageCounter {
   public:
    explicit MessageCounter(MessageKind kind);

    /// How far one connection has come.
    struct Progress {
        std::size_t received = 0;      ///< payload bytes of the message under way
        std::string header{};          ///< of the frame under way, while it is cut short
        std::size_t payload_left = 0;  ///< of the frame under way
        bool last_fragment = false;    ///< that frame is
        bool control = false;          ///< that frame is one
        bool pinged = false;           ///< for the caller to reset
    };

    /// Messages that end in `bytes`. Throws std::runtime_error if they aren't of this kind.
    std::size_t count(Progress& progress, std::string_view bytes) const;

   private:
    bool take_header(Progress& progress, std::string_view& bytes) const;

    std::size_t size_;
    std::string header_;  ///< as a server writes it that doesn't fragment
};

}  // namespace wsserver::bench
