// For tests of your own handlers, with any test framework: a server and its clients in one thread's memory, with a
// virtual clock, and a connection that only records what a handler does with it.
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
// There is no socket, no thread and no waiting: each call returns when the server has nothing left to do, and time
// passes in MemoryServer::advance() only. So each run of a test sees the same.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
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

/// An expectation that didn't hold. The text names the line of the test, what was expected, what was received, and
/// why nothing more will come if the connection has ended:
///
///     chat_test.cpp:12: expected "text hello", but received "close 1011" (the handler threw: no such room)
class TestFailure : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

/// A line of a test, for the texts of failures. As a default argument, current() is where the function is called.
struct TestLine {
    const char* file;
    int line;

    static constexpr TestLine current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
        return {file, line};
    }
};

/// What a client received.
struct ClientEvent {
    Opcode opcode;                          ///< text, binary, ping, pong or close
    std::string payload{};                  ///< for close: the reason
    CloseCode code = CloseCode::no_status;  ///< for close; 1006 if the stream ended without a Close frame

    bool operator==(const ClientEvent&) const = default;
};

/// `text hello`, `binary 01 ff`, `ping hi`, `pong`, `close 1000 bye`. The payload of a binary message, a ping or a pong
/// is written as text if it is printable ASCII, else as hexadecimal bytes. (That of a server's keep-alive ping is a
/// time.)
std::string to_string(const ClientEvent& event);

/// A client of a MemoryServer. It follows RFC 6455: it answers pings and Close frames, and fails the connection if the
/// server breaks a rule. It sends no pings of its own accord.
///
/// Its destructor ends the stream without a Close frame; the handler is told 1006. It may outlive its server.
class MemoryClient {
   public:
    MemoryClient(MemoryClient&&) noexcept;
    MemoryClient& operator=(MemoryClient&&) noexcept;
    ~MemoryClient();

    // Each returns when the server has reacted. `closed` if the connection isn't open; then nothing is sent.

    SendStatus send(const Text& message);
    SendStatus send(const Binary& message);
    SendStatus send(std::string_view text) { return send(Text{text}); }
    SendStatus ping(std::string_view payload = {});
    /// Begins the closing handshake.
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {});
    /// Ends the stream without a Close frame, as a client that crashes.
    void disconnect();

    /// A client that doesn't read: its pongs stay away, and the server's messages queue up.
    void pause_receiving();
    void resume_receiving();

    // Events, each once and in order. The last one is always `close`, if the connection was open.

    /// The next event; nothing if the server has sent nothing more.
    std::optional<ClientEvent> try_receive();
    /// The next event. Throws TestFailure if there is none.
    ClientEvent receive(TestLine where = TestLine::current());
    /// All events since the last call, one line each, as to_string() writes them.
    std::vector<std::string> received();
    /// Takes the next event. Throws TestFailure unless it is `event`, as to_string() writes it. What follows in a
    /// control frame may be left out: `ping` is met by each ping, `close 1000` by `close 1000 bye`.
    void expect(std::string_view event, TestLine where = TestLine::current());
    /// Throws TestFailure if there is another event.
    void expect_nothing(TestLine where = TestLine::current());

    // What became of the connection.

    /// The opening handshake succeeded, and neither end has begun the closing handshake.
    bool is_open() const noexcept;
    /// As the server chose it; empty if none.
    std::string_view subprotocol() const noexcept;
    /// The server's answer to the opening handshake: status 101, or that of the refusal.
    const HttpResponse& response() const noexcept;
    /// The connection at the server, as in AnyConnection::id(): for the hub. generation is 0 if there is none.
    ConnectionId id() const noexcept;
    /// How it ended, with the client's words for the cause; nothing while it lives.
    const std::optional<ConnectionEnd>& end() const noexcept;

   private:
    friend class MemoryServer;
    struct Impl;
    explicit MemoryClient(std::shared_ptr<Impl> impl) noexcept;

    std::shared_ptr<Impl> impl_;
};

/// A server without a network: one reactor, driven by the thread of the test, with the handlers, the hub, the limits
/// and the timers of a Server.
///
/// All reactions run on the test's thread, one at a time, as soon as their message has been received; those of
/// handlers with Runs::pooled too. So such a handler must not wait for another client's message. Threads of your own
/// may use the hub; what they send leaves in the next run().
class MemoryServer {
   public:
    /// io_threads, workers, transport and handler_deadline are ignored; without max_connections there is no limit.
    explicit MemoryServer(ServerOptions options = {});
    /// With a default handler.
    template <class H>
    requires(!std::convertible_to<H, ServerOptions> && !std::same_as<std::remove_cvref_t<H>, MemoryServer>)  //
        explicit MemoryServer(H handler, ServerOptions options = {})
        : MemoryServer(std::move(options)) {
        handle(std::move(handler));
    }
    /// Ends what is still connected, and reports that to the handlers.
    ~MemoryServer();
    MemoryServer(MemoryServer&&) noexcept;
    MemoryServer& operator=(MemoryServer&&) noexcept;

    // As Server's.

    void handle(std::string subprotocol, std::shared_ptr<AnyHandler> handler);
    template <class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>) void handle(std::string subprotocol, H handler) {
        auto name = subprotocol.empty() ? std::string{"default"} : subprotocol;
        handle(std::move(subprotocol), make_handler(std::move(name), std::move(handler)));
    }
    /// The default handler: for clients that ask for no subprotocol.
    template <class H>
    requires(!std::convertible_to<H, std::string>) void handle(H handler) { handle(std::string{}, std::move(handler)); }
    bool remove_handler(std::string_view subprotocol, CloseCode code = CloseCode::going_away);
    void on_http(Server::HttpAnswer answer);
    void reconfigure(const ServerOptions& options);
    /// Closes all connections with 1001. Lets `grace` pass if a client doesn't answer.
    void stop(std::chrono::milliseconds grace = std::chrono::seconds{10});
    std::shared_ptr<Hub> hub() const;
    std::vector<ConnectionInfo> list() const;

    // Clients

    /// A new client that has asked for `target`; `subprotocols` in order of preference. If the server refused it,
    /// MemoryClient::response() says so. Throws TestFailure if the server was stopped.
    MemoryClient connect(std::string target = "/", std::vector<std::string> subprotocols = {},
                         TestLine where = TestLine::current());
    /// The same with all that a client may ask for (its host and nonce get values if they are empty). Throws
    /// TestFailure if check_request() finds a mistake.
    MemoryClient connect(ClientRequest request, TestLine where = TestLine::current());
    /// The answer to a plain HTTP request.
    HttpResponse get(std::string_view target, TestLine where = TestLine::current());
    /// A connection that the test writes byte by byte (wsserver/transport/memory.hpp): for clients that break rules.
    /// The server notices in the next run().
    MemoryWire wire(TestLine where = TestLine::current());

    // Time

    /// Runs the server and its clients until they have nothing left to do.
    void run();
    /// The same while time passes: pings are sent, and time-outs come.
    void advance(std::chrono::milliseconds by);

    /// How connections ended, the server's side, in order of their ends.
    const std::vector<ConnectionEnd>& ends() const noexcept;

   private:
    friend class MemoryClient;
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// A Hub without connections, which records each call as one line: `send 0-1-1 text hi`,
/// `broadcast chat except 0-1-1 binary 01 ff`, `broadcast all text hi`, `ping 0-1-1 hi`, `ping_all`,
/// `close 0-1-1 1000 bye`, `close_all 1001 bye`.
class RecordingHub : public Hub {
   public:
    std::vector<std::string> calls{};
    SendStatus status = SendStatus::queued;  ///< the answer to everything
    std::size_t receivers = 0;               ///< what broadcasts report

    SendStatus send(ConnectionId to, const Text& message) override;
    SendStatus send(ConnectionId to, const Binary& message) override;
    SendStatus ping(ConnectionId to, Bytes payload) override;
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override;
    void broadcast(const Audience& audience, const Text& message, Count done = {}) override;
    void broadcast(const Audience& audience, const Binary& message, Count done = {}) override;
    void ping_all(Count done = {}) override;
    void close_all(CloseCode code, std::string_view reason, Count done = {}) override;

   protected:
    /// Called at the end of each broadcast, ping_all and close_all. Reports `receivers` unless it is overridden.
    virtual void report(Count done);

   private:
    SendStatus record(std::string call);
};

/// A connection without a peer, which records each call as one line: `text hi`, `binary 01 ff`, `ping hi`,
/// `close 1000 bye`. For tests that call a handler's reactions themselves:
///
///     wsserver::RecordingConnection connection{"chat", "/rooms/5"};
///     handler.on_message(connection, wsserver::Text{"hi"});
///     CHECK(connection.calls == std::vector<std::string>{"text hi"});
///     CHECK(connection.recording_hub().calls == std::vector<std::string>{"broadcast chat except 0-1-1 text hi"});
class RecordingConnection final : public AnyConnection {
   public:
    explicit RecordingConnection(std::string subprotocol = {}, std::string target = "/");
    /// Several connections may share a hub.
    explicit RecordingConnection(std::shared_ptr<RecordingHub> hub, ConnectionId id = {0, 1, 1},
                                 std::string subprotocol = {}, std::string target = "/");

    std::vector<std::string> calls{};
    SendStatus status = SendStatus::queued;  ///< the answer to everything

    RecordingHub& recording_hub() const noexcept { return *recording_hub_; }

    SendStatus send(const Text& message) override;
    SendStatus send(const Binary& message) override;
    SendStatus ping(Bytes payload = {}) override;
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) override;
    ConnectionId id() const noexcept override { return id_; }
    std::string_view subprotocol() const noexcept override { return subprotocol_; }
    std::string peer() const override { return "127.0.0.1:5000"; }
    std::string_view target() const noexcept override { return target_; }
    const std::shared_ptr<Hub>& hub() const noexcept override { return hub_; }
    void* user_data() const noexcept override { return user_data_; }
    void set_user_data(void* data) noexcept override { user_data_ = data; }

   private:
    SendStatus record(std::string call);

    std::shared_ptr<RecordingHub> recording_hub_;
    std::shared_ptr<Hub> hub_;
    ConnectionId id_;
    std::string subprotocol_;
    std::string target_;
    void* user_data_ = nullptr;
};

}  // namespace wsserver
