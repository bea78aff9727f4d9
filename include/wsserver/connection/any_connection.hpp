// A connection as its handler sees it, independent of its role, transport and thread.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/connection/connection_data.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/protocol/message.hpp"

namespace wsserver {

/// A connection, as passed to each reaction of its handler. Valid until the reaction returns. To reach the connection
/// later or from another thread, use handle(). Members that return a text throw std::bad_alloc when memory runs out,
/// and so do all members in a pooled handler. Otherwise nothing throws: without memory the connection ends, and members
/// that send return `closed`.
class AnyConnection {
   public:
    AnyConnection() = default;
    AnyConnection(const AnyConnection&) = delete;
    AnyConnection& operator=(const AnyConnection&) = delete;

    /// Queues a message: a text, such as `send("hello")`, or bytes; see AnyMessage. Copies or encodes the payload
    /// before it returns. The result is `refused` if a text is not UTF-8 (RFC 6455 §5.6). Received text is not checked
    /// again. A received message that is moved, `send(std::move(message))`, is empty afterwards, whatever the result;
    /// a long one is not copied then. Its copies and other views of its bytes are not valid any more.
    virtual SendStatus send(const AnyMessage& message) = 0;

    /// Begins a message whose pieces append() sends, each in a frame of its own (RFC 6455 §5.4), until end_message():
    /// for one that is too long to be in memory. `type` is Opcode::text or Opcode::binary. Nothing is sent yet. Until
    /// its end Pings and Pongs are sent as always, but other messages, from anyone, wait after it in their order. They
    /// count in queued(), but not in has_space(), which is about the message. Their only limit is the hard limit, over
    /// which the policy applies to them (`close`: 1013). If the message gets no piece for message_timeout (by default a
    /// minute, also in a client) while others wait and there is space, the connection closes with 1011.
    ///
    /// The policy for slow consumers may drop the message now: then the result is `dropped`, and it has not begun. But
    /// in a pooled handler of a Server the result is `queued` then, also of its pieces. Later it is not dropped: if its
    /// pieces are over the hard limit, the connection is closed with 1013. close() leaves the peer with the pieces so
    /// far, and a Close frame instead of the rest; the messages after it are dropped.
    ///
    /// The result is `refused` if a message is open already, and where this is not possible: in a handler in a shared
    /// object. Then the caller must not append(): its pieces would belong to the message that is open.
    [[nodiscard]] virtual SendStatus begin_message(Opcode type) {
        static_cast<void>(type);
        return SendStatus::refused;
    }
    /// Sends the next piece of that message: its bytes, whether they are passed as a text or as bytes. A text may be
    /// cut within a character, but all pieces together must be UTF-8. If they are not, the result is `refused`: if it
    /// was the first piece, no message is open any more and nothing was sent, otherwise the connection closes with
    /// 1011, as the peer must not get a message that looks whole. The result is also `refused` if no message is open.
    /// The bytes are copied, also those of a message that is moved. Each piece is a frame or more, and receivers limit
    /// the frames of a message (ConnectionOptions::max_fragments), so put tiny pieces together.
    ///
    /// Flow control is that of send(). But in a pooled handler of a Server it is that of send_waiting(): it waits for
    /// space, and if the inbox of the reactor stays full for 5 seconds, it closes the connection with 1011 and returns
    /// `dropped`. If it throws std::bad_alloc there, no message is open any more, and the connection closes with 1011
    /// if pieces of it were sent.
    virtual SendStatus append(const AnyMessage& piece) {
        static_cast<void>(piece);
        return SendStatus::refused;
    }
    /// Ends that message. `refused` as for append(), also if a text ends within a character.
    virtual SendStatus end_message() { return SendStatus::refused; }

    /// Queues a Ping. `payload` has at most 125 bytes; otherwise the result is `refused`.
    virtual SendStatus ping(Bytes payload = {}) = 0;
    /// Begins the closing handshake. The result is `refused` if the code may not be sent or if the reason is longer
    /// than 123 bytes.
    virtual SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) = 0;

    /// How many bytes of what was sent wait or are in flight: the peer's system has not taken them yet. Exact on the
    /// connection's thread. In a pooled handler it is approximate, and what waits for that thread is not counted.
    virtual std::size_t queued() const noexcept { return hub() ? hub()->queued(id()) : 0; }
    /// False if the send queue is over SendQueueLimits::high_mark, or if the connection is not open. A handler that has
    /// much to send goes on while it is true. If it was false, on_drained() follows, unless the connection ends before.
    /// After the first call, the connection is read even while its queue is over the mark: otherwise two ends that send
    /// much to each other would wait for each other. The handler then also looks before it replies to what it receives,
    /// and pauses receiving if there is no space; otherwise the hard limit closes the connection. While a message is
    /// open, it looks at queued(), because replies are after the message.
    virtual bool has_space() { return true; }

    /// Queues a message and waits first, as long as has_space() is false: for a pooled handler that has much to send.
    /// It does not wait for what is after an open message (begin_message()), as only its own handler can end that. It
    /// blocks the worker of this reaction, which ServerOptions::handler_deadline reports as usual. The result is
    /// `closed` as soon as the connection is not open any more, or the server ends. It is `refused` in an inline
    /// handler, which must not block. Where a pooled handler runs on the connection's thread (MemoryServer, ServerOn, a
    /// client), it is the same as send(). It is `dropped` if the requests of others fill the inbox of the reactor for 5
    /// seconds.
    virtual SendStatus send_waiting(const AnyMessage& message) {
        static_cast<void>(message);
        return SendStatus::refused;
    }

    /// Receives nothing more until resume_receiving(): the peer's bytes wait, at last in its own system. On the
    /// connection's thread no reaction to a message or control frame follows. In a pooled handler, and through a
    /// handle, those follow that were received before. The peer's Pings and its Close frame wait, too, and so does the
    /// end of its stream; keep-alive does not take that for silence. The pause ends when the closing handshake begins,
    /// because the peer's Close frame must be read. The result is `closed` if the connection is not open.
    virtual SendStatus pause_receiving() { return hub() ? hub()->pause_receiving(id()) : SendStatus::closed; }
    /// Ends pause_receiving(). The result is `queued` even if there was no pause.
    virtual SendStatus resume_receiving() { return hub() ? hub()->resume_receiving(id()) : SendStatus::closed; }

    /// Sends a message to all other connections with the same subprotocol. If it is called by an inline handler of a
    /// Server whose policy is SlowConsumer::close, this connection is not read while a receiver lags, so that a sender
    /// cannot get the others closed: from when the receiver's send queue is over the high mark until it is at most half
    /// of it. A receiver that takes less than a sixteenth of the mark in ServerOptions::close_timeout is closed with
    /// 1013. Elsewhere it is the same as Hub::broadcast(). Returns the result
    /// of that.
    virtual SendStatus publish(const AnyMessage& message) {
        return hub() ? hub()->broadcast({.subprotocol = std::string{subprotocol()}, .except = id()}, message)
                     : SendStatus::closed;
    }
    /// The same to all other members of a room, whatever their subprotocol. The connection need not be a member.
    virtual SendStatus publish(std::string_view room, const AnyMessage& message) {
        return hub() ? hub()->broadcast({.room = std::string{room}, .except = id()}, message) : SendStatus::closed;
    }

    /// Becomes a member of a room, a set of connections of a server that has a name of 1 to 255 bytes of UTF-8. A room
    /// exists as long as it has members. The connection leaves all its rooms by itself when it ends, after on_close().
    /// The result is `queued` if it is a member now, or was one before. In a pooled handler, it is one before anything
    /// happens that the handler asks for afterwards. It is `dropped` if the connection is in
    /// ConnectionOptions::max_rooms rooms, or if there is no memory; both are counted, and the connection stays as it
    /// is. It is `refused` if the name is not one, or if there are no rooms: for a client, and for a handler in a
    /// shared object whose server is too old.
    virtual SendStatus join(std::string_view room) { return hub() ? hub()->join(id(), room) : SendStatus::closed; }
    /// Leaves a room. The result is `queued`, also if it was not a member.
    virtual SendStatus leave(std::string_view room) { return hub() ? hub()->leave(id(), room) : SendStatus::closed; }
    /// The names of its rooms, in no particular order, also in on_close(). In a pooled handler: of those that the
    /// handler has joined by join() of this object and not left by leave().
    virtual std::vector<std::string> rooms() const { return {}; }

    /// The id of its user, as Admission::user or set_user() gave it; empty: none. A user may have several connections:
    /// Hub::send_to_user() and Audience::user reach all of them. Valid until set_user() or the end of the reaction.
    virtual std::string_view user() const noexcept { return {}; }
    /// Belongs to another user from now on, or to none if `user` is empty: for clients that say who they are after the
    /// opening handshake. `user` is 1 to 255 bytes of UTF-8. The result is `queued` if that is done. It is
    /// `dropped` if a limit of the user does not permit the connection, or if there is no memory; both are counted, and
    /// the user stays as it is. In a pooled handler, `queued` says that it will be done before anything that the
    /// handler asks for afterwards, if the limits permit it then. It is `refused` if `user` is not an id, for a client,
    /// and for a handler in a shared object whose server is too old.
    virtual SendStatus set_user(std::string_view user) {
        return hub() ? hub()->set_user(id(), user) : SendStatus::closed;
    }

    /// Stays valid after the connection has ended, and is never used again.
    virtual ConnectionId id() const noexcept = 0;
    /// The subprotocol of the opening handshake; empty if there is none.
    virtual std::string_view subprotocol() const noexcept = 0;
    /// The address of the peer, written as in ConnectionInfo::peer.
    virtual std::string peer() const = 0;
    /// The path and query that the client requested (`/chat?room=5`). Valid as long as the connection, which keeps no
    /// more than these bytes; connections with equal targets may share them. A pooled handler has a copy.
    virtual std::string_view target() const noexcept = 0;
    /// The value of a parameter of the path: with Server::handle_path() and the pattern `/chat/{room}`, that of `room`.
    /// It is percent-decoded and valid UTF-8; see PathPattern. Nothing if there is no such parameter, or if the handler
    /// is not one of a path. Computed from target() by each call, so that idle connections need no memory for it.
    virtual std::optional<std::string> parameter(std::string_view name) const {
        static_cast<void>(name);
        return std::nullopt;
    }

    /// The value of a header field of the opening handshake, without regard to the case of its name, if
    /// ServerOptions::kept_fields has the name and the client sent the field; of several, the first. Valid as long as
    /// the connection. A pooled handler has a copy.
    virtual std::optional<std::string_view> request_field(std::string_view name) const noexcept {
        static_cast<void>(name);
        return std::nullopt;
    }

    /// Reaches all connections of the owner, from any thread.
    virtual const std::shared_ptr<Hub>& hub() const noexcept = 0;

    /// The value that the connection owns for its handler, of exactly this type: what Admission::data gave, or the
    /// `Data` of the handler's class. Other reactions to the connection see the changes. It is destroyed after
    /// on_close(), or with the connection if that is not called. Throws std::logic_error if there is no such value; an
    /// exception that leaves a reaction closes the connection with 1011.
    template <class T>
    T& data() const {
        if (T* found = find_data<T>()) return *found;
        throw std::logic_error{"the connection has no data of this type"};
    }
    /// The same; null if there is no such value.
    template <class T>
    T* find_data() const noexcept {
        ConnectionData* const owned = owned_data();
        return owned != nullptr ? owned->get<T>() : nullptr;
    }
    /// What data() looks at; null: nothing.
    virtual ConnectionData* owned_data() const noexcept { return nullptr; }
    /// For the library: the connection owns `data` from now on, and destroys what it owned before. Null: it owns
    /// nothing. By default, it destroys `data`.
    virtual void own_data(std::unique_ptr<ConnectionData> data) noexcept { data.reset(); }

    /// A pointer for the handler's own use, one for each connection. Null at on_open. The library does not use it.
    virtual void* user_data() const noexcept = 0;
    /// Sets user_data(). The library does not free `data`.
    virtual void set_user_data(void* data) noexcept = 0;

    /// Calls `call` with this connection after `delay`, or up to 32 ms later, where its reactions run, unless the
    /// connection ends before. See Hub::post_after().
    virtual SendStatus after(std::chrono::milliseconds delay, ConnectionCall call) {
        return hub() ? hub()->post_after(id(), delay, std::move(call)) : SendStatus::closed;
    }

    /// In a reaction of a pooled handler of a Server: asks it to return soon. A stop is requested when the connection
    /// has ended, when the server stops, and at deadline(). The token is that of the reaction in which it was taken.
    /// Its callbacks run on threads of the server, or on the one that stops it, and must not block. Elsewhere, no stop
    /// is ever requested.
    virtual std::stop_token stop_token() const { return {}; }
    /// In a reaction of a pooled handler of a Server: ServerOptions::handler_deadline after its start. Elsewhere
    /// never.
    virtual std::chrono::steady_clock::time_point deadline() const noexcept {
        return std::chrono::steady_clock::time_point::max();
    }

    /// Reaches this connection later and from any thread, even after it is gone.
    ConnectionHandle handle() const { return {hub(), id()}; }

   protected:
    ~AnyConnection() = default;
};

}  // namespace wsserver
