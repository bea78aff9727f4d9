// A connection as a handler sees it, whatever its role, its transport and the thread it is served on.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "wsserver/connection/hub.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

/// Handed to every reaction of a handler, and valid until that reaction returns. What is to be reached later
/// or from another thread is reached by handle().
class AnyConnection {
   public:
    AnyConnection() = default;
    AnyConnection(const AnyConnection&) = delete;
    AnyConnection& operator=(const AnyConnection&) = delete;

    /// Queues a message; the payload is copied (or encoded) before it returns.
    /// Text must be valid UTF-8 (RFC 6455 §5.6): what was received is.
    virtual SendStatus send(const Text& message) = 0;
    virtual SendStatus send(const Binary& message) = 0;
    /// `payload`: at most 125 bytes, else `refused`.
    virtual SendStatus ping(Bytes payload = {}) = 0;
    /// Begins the closing handshake. `refused` when the code may not be sent or the reason has over 123 bytes.
    virtual SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) = 0;

    virtual ConnectionId id() const noexcept = 0;
    /// What was agreed on in the opening handshake; empty if nothing was.
    virtual std::string_view subprotocol() const noexcept = 0;
    /// The peer's address as in ConnectionInfo::peer.
    virtual std::string peer() const = 0;
    /// The path and query that the client asked for (`/chat?room=5`).
    virtual std::string_view target() const noexcept = 0;

    /// Reaches all connections of the server.
    virtual const std::shared_ptr<Hub>& hub() const noexcept = 0;

    /// A word of the handler's own for each connection; null at on_open, not touched by the library.
    virtual void* user_data() const noexcept = 0;
    virtual void set_user_data(void* data) noexcept = 0;

    ConnectionHandle handle() const { return {hub(), id()}; }

   protected:
    ~AnyConnection() = default;
};

}  // namespace wsserver
