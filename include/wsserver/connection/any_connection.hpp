// A connection as its handler sees it, independent of its role, transport and thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "wsserver/connection/hub.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

/// A connection, as passed to each reaction of its handler. Valid until the reaction returns. To reach the connection
/// later or from another thread, use handle().
class AnyConnection {
   public:
    AnyConnection() = default;
    AnyConnection(const AnyConnection&) = delete;
    AnyConnection& operator=(const AnyConnection&) = delete;

    /// Queues a text message. Copies or encodes the payload before it returns. The text must be valid UTF-8 (RFC 6455
    /// §5.6); received text is.
    virtual SendStatus send(const Text& message) = 0;
    /// Queues a binary message. Copies or encodes the payload before it returns.
    virtual SendStatus send(const Binary& message) = 0;
    /// Queues a Ping. `payload` has at most 125 bytes; otherwise the result is `refused`.
    virtual SendStatus ping(Bytes payload = {}) = 0;
    /// Begins the closing handshake. The result is `refused` if the code may not be sent or if the reason is longer
    /// than 123 bytes.
    virtual SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) = 0;

    /// Stays valid after the connection has ended, and is never used again.
    virtual ConnectionId id() const noexcept = 0;
    /// The subprotocol of the opening handshake; empty if there is none.
    virtual std::string_view subprotocol() const noexcept = 0;
    /// The address of the peer, written as in ConnectionInfo::peer.
    virtual std::string peer() const = 0;
    /// The path and query that the client requested (`/chat?room=5`).
    virtual std::string_view target() const noexcept = 0;

    /// Reaches all connections of the owner, from any thread.
    virtual const std::shared_ptr<Hub>& hub() const noexcept = 0;

    /// A pointer for the handler's own use, one for each connection. Null at on_open. The library does not use it.
    virtual void* user_data() const noexcept = 0;
    /// Sets user_data(). The library does not free `data`.
    virtual void set_user_data(void* data) noexcept = 0;

    /// Reaches this connection later and from any thread, even after it is gone.
    ConnectionHandle handle() const { return {hub(), id()}; }

   protected:
    ~AnyConnection() = default;
};

}  // namespace wsserver
