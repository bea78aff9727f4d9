// For tests of your own handlers, with any test framework: a server and its clients in memory and on one thread, with a
// virtual clock; and a connection that only records the calls of a handler.
//
//     struct Echo {
//         void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) {
//             connection.send(message);
//         }
//     };
//
//     wsserver::MemoryServer server{Echo{}};
//     auto client = server.connect("/chat");
//     client.send("hello");
//     client.expect("text hello");  // throws TestFailure otherwise
//     client.close();
//     client.expect("close 1000");
//
// There are no sockets, no threads and no waits: each call returns when the server has nothing left to do, and time
// passes in MemoryServer::advance() only. So each run of a test is the same.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wsserver/connection/any_connection.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/server.hpp"

namespace wsserver {

class MemoryWire;

/// A failed expectation. The text has the line of the test, the expected event, the received event and, if the
/// connection has ended, the cause:
///
///     chat_test.cpp:12: expected "text hello", but received "close 1011" (the handler threw: no such room)
class TestFailure : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

/// A line of a test, for the texts of failures. As a default argument, current() is the line of the function's call.
struct TestLine {
    const char* file;  ///< the path of the source file
    int line;          ///< the number of the line

    /// The line of the call.
    static constexpr TestLine current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
        return {file, line};
    }
};

/// An event that a client received.
struct ClientEvent {
    Opcode opcode;                          ///< text, binary, ping, pong or close
    std::string payload{};                  ///< for close: the reason
    CloseCode code = CloseCode::no_status;  ///< for close; 1006 if the stream ended without a Close frame

    bool operator==(const ClientEvent&) const = default;
};

/// The event as one line: `text hello`, `binary 01 ff`, `ping hi`, `pong`, `close 1000 bye`. The payload of a binary
/// message, a ping or a pong is written as text if it is printable ASCII, else as hexadecimal bytes. (The payload of a
/// server's keep-alive ping is a time.)
std::string to_string(const ClientEvent& event);

/// A client of a MemoryServer. It follows RFC 6455: it answers pings and Close frames, and fails the connection if the
/// server breaks a rule. It sends pings only in ping().
///
/// Its destructor ends the stream without a Close frame, and the handler gets the close code 1006. It may outlive its
/// server.
class MemoryClient {
   public:
    /// Takes over the connection of the other client, which may then only be destroyed or assigned to.
    MemoryClient(MemoryClient&&) noexcept;
    /// Exchanges the connections of the two clients.
    MemoryClient& operator=(MemoryClient&&) noexcept;
    ~MemoryClient();

    // These functions return after the server has reacted. They return `closed`, and send nothing, if the connection is
    // not open.

    /// Sends a message: a text, or bytes; see AnyMessage.
    SendStatus send(const AnyMessage& message);
    /// Sends a ping with at most 125 bytes of payload.
    SendStatus ping(std::string_view payload = {});
    /// Starts the closing handshake.
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {});
    /// Ends the stream without a Close frame, like a client that crashes.
    void disconnect();

    /// Stops reading: the client sends no pongs, and the server's messages queue up.
    void pause_receiving();
    /// Reads again.
    void resume_receiving();

    // Each event is returned once, in order. The last one is always `close`, if the connection was open.

    /// Returns the next event; nothing if there is none.
    std::optional<ClientEvent> try_receive();
    /// Returns the next event. Throws TestFailure if there is none.
    ClientEvent receive(TestLine where = TestLine::current());
    /// Returns all remaining events, one line each, as to_string() writes them.
    std::vector<std::string> received();
    /// Takes the next event. Throws TestFailure unless it is `event`, as to_string() writes it. For a control frame
    /// `event` may omit the rest: `ping` matches each ping, and `close 1000` matches `close 1000 bye`.
    void expect(std::string_view event, TestLine where = TestLine::current());
    /// Throws TestFailure if there is another event.
    void expect_nothing(TestLine where = TestLine::current());

    // The state of the connection.

    /// Whether the opening handshake succeeded and neither end has started the closing handshake.
    bool is_open() const noexcept;
    /// The subprotocol that the server chose; empty if none.
    std::string_view subprotocol() const noexcept;
    /// The server's response to the opening handshake: status 101, or the status of the refusal.
    const HttpResponse& response() const noexcept;
    /// The id of the connection at the server, as in AnyConnection::id(), for the hub. Its generation is 0 if the
    /// server did not accept the connection.
    ConnectionId id() const noexcept;
    /// How the connection ended, with the cause as the client sees it; nothing if it has not ended.
    const std::optional<ConnectionEnd>& end() const noexcept;

   private:
    friend class MemoryServer;
    struct Impl;
    explicit MemoryClient(std::shared_ptr<Impl> impl) noexcept;

    std::shared_ptr<Impl> impl_;
};

/// A server without a network: one reactor on the thread of the test, with the handlers, the hub, the limits and the
/// timers of a Server.
///
/// All reactions run on the test's thread, one at a time, as soon as their message is received, even reactions of
/// handlers with Runs::pooled, and so does the function of on_upgrade(). So such a handler must not wait for another
/// client's message. Other threads of the test may use the hub; their messages are sent in the next run().
class MemoryServer : public ServerHandlers {
   public:
    /// A server without a handler. Ignores io_threads, workers, transport, handler_deadline and connections_per_second.
    /// Without max_connections there is no limit.
    explicit MemoryServer(ServerOptions options = {});
    /// A server with a default handler.
    template <class H>
    requires(!std::convertible_to<H, ServerOptions> && !std::same_as<std::remove_cvref_t<H>, MemoryServer>)  //
        explicit MemoryServer(H handler, ServerOptions options = {})
        : MemoryServer(std::move(options)) {
        handle(std::move(handler));
    }
    /// Terminates the remaining connections. Their handlers' on_close() is called.
    ~MemoryServer() override;
    /// Takes over the state of the other server, which may then only be destroyed or assigned to.
    MemoryServer(MemoryServer&&) noexcept;
    /// Exchanges the states of the two servers.
    MemoryServer& operator=(MemoryServer&&) noexcept;

    // These functions are like those of Server, as are those of ServerHandlers.

    /// Sets the function that answers plain HTTP requests; see Server::on_http().
    void on_http(Server::HttpAnswer answer);
    /// Replaces the options, also for open connections; see Server::reconfigure().
    void reconfigure(const ServerOptions& options);
    /// Closes all connections with 1001. Advances the time by `grace` if a client does not answer.
    void stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    /// The hub, which reaches the server's connections.
    std::shared_ptr<Hub> hub() const;
    /// All connections, in order of id.
    std::vector<ConnectionInfo> list() const;

    // Clients

    /// Returns a new client that has requested `target`. `subprotocols` are in order of preference. If the server
    /// refused the client, MemoryClient::response() has the status. Throws TestFailure if the server was stopped.
    MemoryClient connect(std::string target = "/", std::vector<std::string> subprotocols = {},
                         TestLine where = TestLine::current());
    /// Same with a complete request. Sets its host and nonce if they are empty. Throws TestFailure if check_request()
    /// reports an error.
    MemoryClient connect(ClientRequest request, TestLine where = TestLine::current());
    /// Sends a plain HTTP request and returns the response.
    HttpResponse get(std::string_view target, TestLine where = TestLine::current());
    /// Returns a connection of which the test writes each byte (wsserver/transport/memory.hpp), for clients that break
    /// rules. The server receives the bytes in the next run().
    MemoryWire wire(TestLine where = TestLine::current());

    // Time

    /// Runs the server and its clients until they have nothing left to do.
    void run();
    /// Same while the time advances: pings are sent and timeouts expire.
    void advance(std::chrono::milliseconds by);

    /// How each connection ended, as the server sees it, in order of their ends.
    const std::vector<ConnectionEnd>& ends() const noexcept;

   private:
    friend class MemoryClient;
    struct Impl;

    HandlerChooser& chooser() const noexcept override;
    void close_removed(std::vector<RemovedHandler> removed, CloseCode code) override;
    void call_served(ServedCall call) override;

    std::unique_ptr<Impl> impl_;
};

/// A Hub without connections. It records each call as one line: `send 0-1-1 text hi`,
/// `broadcast chat except 0-1-1 binary 01 ff`, `broadcast all text hi`, `broadcast room lobby text hi`,
/// `broadcast user ann text hi`, `send 0-1-1 0-2-1 text hi`, `join 0-1-1 lobby`, `leave 0-1-1 lobby`,
/// `user 0-1-1 ann`, `ping 0-1-1 hi`, `ping_all`, `pause 0-1-1`, `resume 0-1-1`, `post 0-1-1`,
/// `post 0-1-1 after 500 ms`,
/// `close 0-1-1 1000 bye`, `close_all 1001 bye`. Text that is not UTF-8 is `refused` and not recorded.
class RecordingHub : public Hub {
   public:
    std::vector<std::string> calls{};        ///< the recorded calls
    SendStatus status = SendStatus::queued;  ///< the result of every recorded call
    std::size_t receivers = 0;               ///< the count that broadcasts report
    std::size_t queued_bytes = 0;            ///< what queued() returns

    SendStatus send(ConnectionId to, const AnyMessage& message) override;
    SendStatus send(std::span<const ConnectionId> to, const AnyMessage& message, Completion done = {}) override;
    SendStatus join(ConnectionId member, std::string_view room) override;
    SendStatus leave(ConnectionId member, std::string_view room) override;
    SendStatus set_user(ConnectionId of, std::string_view user) override;
    SendStatus post(ConnectionId to, ConnectionCall call) override;
    SendStatus post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) override;
    /// The calls that were posted, in their order. The test makes them: `hub.posted.at(0)(connection)`.
    std::vector<ConnectionCall> posted{};
    SendStatus ping(ConnectionId to, Bytes payload) override;
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override;
    SendStatus broadcast(const Audience& audience, const AnyMessage& message, Completion done = {}) override;
    void ping_all(Completion done = {}) override;
    void close_all(CloseCode code, std::string_view reason, Completion done = {}) override;
    SendStatus pause_receiving(ConnectionId of) override;
    SendStatus resume_receiving(ConnectionId of) override;
    std::size_t queued(ConnectionId) const noexcept override { return queued_bytes; }

   protected:
    /// Called at the end of each broadcast(), ping_all() and close_all(). Passes `receivers` to `done`. Override it to
    /// report something else.
    virtual void report(Completion done);

   private:
    SendStatus record(std::string call);
};

/// A connection without a peer. It records each call as one line: `text hi`, `binary 01 ff`, `ping hi`,
/// `close 1000 bye`, `join lobby`, `leave lobby`, `user ann`, `pause`, `resume`. A message in pieces is `begin text`,
/// `append hi`, `end`. Text that is not UTF-8 is `refused` and not recorded, but pieces are not checked. It is for
/// tests that call a handler's reactions themselves:
///
///     wsserver::RecordingConnection connection{"chat", "/rooms/5"};
///     handler.on_message(connection, wsserver::Text{"hi"});
///     CHECK(connection.calls == std::vector<std::string>{"text hi"});
///     CHECK(connection.recording_hub().calls == std::vector<std::string>{"broadcast chat except 0-1-1 text hi"});
class RecordingConnection final : public AnyConnection {
   public:
    /// A connection with a hub of its own.
    explicit RecordingConnection(std::string subprotocol = {}, std::string target = "/");
    /// A connection with a given hub. Several connections may share it.
    explicit RecordingConnection(std::shared_ptr<RecordingHub> hub, ConnectionId id = {0, 1, 1},
                                 std::string subprotocol = {}, std::string target = "/");

    std::vector<std::string> calls{};                              ///< the recorded calls
    SendStatus status = SendStatus::queued;                        ///< the result of every recorded call
    std::map<std::string, std::string, std::less<>> parameters{};  ///< what parameter() returns, by name
    std::size_t queued_bytes = 0;                                  ///< what queued() returns
    bool with_space = true;                                        ///< what has_space() returns

    std::map<std::string, std::string, std::less<>> request_fields{};  ///< what request_field() returns, by name

    /// The hub that hub() returns.
    RecordingHub& recording_hub() const noexcept { return *recording_hub_; }

    SendStatus send(const AnyMessage& message) override;
    SendStatus begin_message(Opcode type) override;
    SendStatus append(const AnyMessage& piece) override;
    SendStatus end_message() override;
    SendStatus ping(Bytes payload = {}) override;
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) override;
    ConnectionId id() const noexcept override { return id_; }
    std::string_view subprotocol() const noexcept override { return subprotocol_; }
    std::string peer() const override { return "127.0.0.1:5000"; }
    std::string_view target() const noexcept override { return target_; }
    std::optional<std::string> parameter(std::string_view name) const override {
        const auto found = parameters.find(name);
        return found != parameters.end() ? std::optional{found->second} : std::nullopt;
    }
    std::size_t queued() const noexcept override { return queued_bytes; }
    bool has_space() override { return with_space; }
    /// The same as send().
    SendStatus send_waiting(const AnyMessage& message) override;
    SendStatus pause_receiving() override;
    SendStatus resume_receiving() override;
    const std::shared_ptr<Hub>& hub() const noexcept override { return hub_; }
    SendStatus join(std::string_view room) override;
    SendStatus leave(std::string_view room) override;
    /// The rooms that were joined, while `status` was `queued`.
    std::vector<std::string> rooms() const override { return {rooms_.begin(), rooms_.end()}; }
    /// Settable by set_user(), while `status` is `queued`.
    std::string_view user() const noexcept override { return user_; }
    SendStatus set_user(std::string_view user) override;
    std::optional<std::string_view> request_field(std::string_view name) const noexcept override {
        const auto found = request_fields.find(name);
        return found != request_fields.end() ? std::optional<std::string_view>{found->second} : std::nullopt;
    }
    /// Gives the connection what data() returns, as the server does with Admission::data.
    template <class T>
    void set_data(T value) {
        own_data(ConnectionData::of(std::move(value)));
    }
    ConnectionData* owned_data() const noexcept override { return data_.get(); }
    void own_data(std::unique_ptr<ConnectionData> data) noexcept override { data_ = std::move(data); }
    void* user_data() const noexcept override { return user_data_; }
    void set_user_data(void* data) noexcept override { user_data_ = data; }

   private:
    SendStatus record(std::string call);

    std::shared_ptr<RecordingHub> recording_hub_;
    std::shared_ptr<Hub> hub_;
    ConnectionId id_;
    std::string subprotocol_;
    std::string target_;
    std::set<std::string, std::less<>> rooms_{};
    std::string user_{};
    std::unique_ptr<ConnectionData> data_{};
    void* user_data_ = nullptr;
};

}  // namespace wsserver
