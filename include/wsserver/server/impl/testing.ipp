#pragma once

#include "wsserver/testing.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <variant>

#include "wsserver/connection/default_owner.hpp"
#include "wsserver/connection/handler_chooser.hpp"
#include "wsserver/connection/rooms.hpp"
#include "wsserver/protocol/event_text.hpp"
#include "wsserver/server/detail/memory_reactors.hpp"
#include "wsserver/server/detail/reactor_options.hpp"
#include "wsserver/transport/memory.hpp"

namespace wsserver {

namespace {

/// Bytes that a client's end buffers before it reads, about as many as a socket does.
constexpr std::size_t client_receive_window = std::size_t{64} << 10;

[[noreturn]] void fail_test(TestLine where, const std::string& what) {
    std::string_view file = where.file;
    if (const auto slash = file.rfind('/'); slash != std::string_view::npos) file.remove_prefix(slash + 1);
    throw TestFailure{std::string{file} + ":" + std::to_string(where.line) + ": " + what};
}

std::string in_quotes(std::string_view text) { return '"' + std::string{text} + '"'; }

}  // namespace

// --- Client ---

/// One client. It records the events of its connection.
struct MemoryClient::Impl final : AnyHandler {
    explicit Impl(MemoryServer::Impl& its_server) : server(&its_server) {}

    std::string_view name() const noexcept override { return "MemoryClient"; }
    void on_open(AnyConnection& connection) override;
    void on_message(AnyConnection&, const Text& m) override { record({Opcode::text, std::string{m.text}}); }
    void on_message(AnyConnection&, const Binary& m) override { record({Opcode::binary, payload_of(m.bytes)}); }
    void on_ping(AnyConnection&, const Ping& m) override { record({Opcode::ping, payload_of(m.payload)}); }
    void on_pong(AnyConnection&, const Pong& m) override { record({Opcode::pong, payload_of(m.payload)}); }
    void on_close(AnyConnection&, const Close& m) override { record({Opcode::close, std::string{m.reason}, m.code}); }

    static std::string payload_of(Bytes payload) { return std::string{text_of(payload)}; }
    void record(ClientEvent event) { events.push_back(std::move(event)); }

    bool is_open() const noexcept;
    /// Calls `f` with the connection, if there is one. Then runs the server.
    template <class F>
    SendStatus with_connection(F&& f);
    void run() const;
    std::optional<ClientEvent> take();
    /// Why there is no further event.
    std::string state() const;
    /// ` (CAUSE)` with the cause that the server reported; empty if there is none.
    std::string cause_at_server() const;

    /// Null if the connection or the server is gone.
    Connection<Role::client, MemoryTransport>* connection() const noexcept;

    MemoryServer::Impl* server;  ///< null if it is gone
    ConnectionId id;
    std::deque<ClientEvent> events;
    std::string subprotocol;
    HttpResponse response{.status = 0};  ///< status 0: none was received
    ConnectionId id_at_server;
    bool was_accepted = false;
    std::optional<ConnectionEnd> end;
};

// --- Server ---

struct MemoryServer::Impl final : ReactorShared {
    explicit Impl(ServerOptions given)
        : options(std::move(given)),
          server_hub(std::make_shared<ServerHub>(ReactorOptions{}.fragment_size)),
          any_hub(server_hub),
          chooser(server_hub),
          addresses(options.per_address),
          users(options.per_user),
          reactors(*this, *server_hub, reactor_options(options), network, place) {
        set_options(options);
        ConnectionOptions of_clients;
        of_clients.ping_interval = std::chrono::milliseconds{0};
        of_clients.handshake_timeout = std::chrono::hours{24 * 365};  // the server's time is what a test is about
        clients.set_options(of_clients);
        clients.transport().receive_window(client_receive_window);
        clients.on_response([this](const HttpResponse& response) { last_response = response; });
        clients.on_end([this](const ConnectionEnd& end) { client_ended(end); });
    }
    ~Impl() {
        for (const auto& [id, weak] : std::map{clients_by_id}) {  // a copy: terminate() erases
            const auto client = weak.lock();
            if (!client) continue;
            if (auto* connection = client->connection()) connection->terminate("the server is gone");
            client->server = nullptr;
        }
    }

    // ReactorShared
    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub; }
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override {
        last_asked = connection.id();
        return chooser.choose(connection, offer);
    }
    OfferDecision choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision&& decision,
                            PendingAcceptance* pending) override {
        return chooser.choose_as(connection, offer, std::move(decision), pending);
    }
    std::optional<HttpResponse> answer(const HttpRequest& request) override {
        try {
            return http_answer ? http_answer(request) : std::nullopt;
        } catch (...) {
            return HttpResponse{500, {}, "text/plain; charset=utf-8", "the server failed to answer\n"};
        }
    }
    const HttpRoutes* http_routes() const noexcept override { return chooser.routes_if_any(); }
    void on_ended(const ConnectionEnd& end) override { ends.push_back(end); }
    StreamAdmission admit() noexcept override {
        if (options.max_connections != 0 && open >= options.max_connections) return StreamAdmission::answer_503;
        ++open;
        return StreamAdmission::welcome;
    }
    void released() noexcept override { --open; }
    void released_without_place() noexcept override {}
    bool give_up_place() noexcept override {
        --open;
        return true;
    }
    bool admit_refused() noexcept override { return true; }
    GroupTable* groups(GroupKind kind) noexcept override { return kind == GroupKind::address ? &addresses : &users; }
    void on_stopped(std::uint16_t) override { stopped = true; }

    Reactor<MemoryTransport>& reactor() const noexcept { return reactors[0]; }
    void run() {
        reactor().attach();  // the test may use another thread now
        network.run_until_idle();
    }
    void set_options(const ServerOptions& given) {
        options = given;
        addresses.set(options.per_address);
        users.set(options.per_user);
        chooser.set_rules(chooser_rules(options));
    }
    MemorySocket connect(TestLine where) {
        auto socket = network.connect(place);
        if (!socket) fail_test(where, "cannot connect: the server was stopped");
        return *std::move(socket);
    }
    void client_ended(const ConnectionEnd& end) {
        const auto client = clients_by_id[end.info.id].lock();
        clients_by_id.erase(end.info.id);
        if (!client) return;
        if (!end.opened) client->response = std::exchange(last_response, HttpResponse{.status = 0});
        client->end = end;
    }
    const ConnectionEnd* end_of(ConnectionId id) const {
        const auto found = std::find_if(ends.begin(), ends.end(), [id](const auto& end) { return end.info.id == id; });
        return found != ends.end() ? &*found : nullptr;
    }

    const Endpoint place{"server", 80, {}};
    ServerOptions options;
    Server::HttpAnswer http_answer;
    std::shared_ptr<ServerHub> server_hub;
    std::shared_ptr<Hub> any_hub;
    HandlerChooser chooser;
    std::size_t open = 0;
    bool stopped = false;
    ConnectionId last_asked;
    std::vector<ConnectionEnd> ends;
    std::map<ConnectionId, std::weak_ptr<MemoryClient::Impl>> clients_by_id;
    HttpResponse last_response{.status = 0};  ///< for the client whose opening handshake is about to end
    MemoryNetwork network;
    ClientOn<MemoryTransport> clients{network};
    GroupTable addresses;
    GroupTable users;
    MemoryReactors reactors;  // last: their connections use all members above until they are gone
};

MemoryServer::MemoryServer(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

MemoryServer::MemoryServer(MemoryServer&&) noexcept = default;

MemoryServer& MemoryServer::operator=(MemoryServer&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}

MemoryServer::~MemoryServer() = default;

HandlerChooser& MemoryServer::chooser() const noexcept { return impl_->chooser; }

void MemoryServer::close_removed(std::vector<RemovedHandler> removed, CloseCode code) {
    for (const auto& [handler, subprotocol, route] : removed) {
        impl_->reactor().close_served_by(*handler, subprotocol, route.get(), code);
    }
    run();
}

void MemoryServer::call_served(ServedCall call) {
    impl_->reactor().call_served_by(std::move(call));
    run();
}

void MemoryServer::on_http(Server::HttpAnswer answer) { impl_->http_answer = std::move(answer); }

void MemoryServer::reconfigure(const ServerOptions& options) {
    impl_->set_options(options);
    impl_->reactor().set_options(reactor_options(options));
}

void MemoryServer::stop(std::chrono::milliseconds grace) {
    impl_->reactor().stop(impl_->network.now() + grace);
    run();
    if (!impl_->stopped) advance(grace);
}

std::shared_ptr<Hub> MemoryServer::hub() const { return impl_->any_hub; }

std::vector<ConnectionInfo> MemoryServer::list() const { return impl_->reactor().list(); }

MemoryClient MemoryServer::connect(std::string target, std::vector<std::string> subprotocols, TestLine where) {
    ClientRequest request;
    request.target = std::move(target);
    request.subprotocols = std::move(subprotocols);
    return connect(std::move(request), where);
}

MemoryClient MemoryServer::connect(ClientRequest request, TestLine where) {
    if (request.host.empty()) request.host = impl_->place.host;
    if (const auto checked = check_request(request); !checked) fail_test(where, "cannot connect: " + checked.error());
    const auto client = std::make_shared<MemoryClient::Impl>(*impl_);
    impl_->last_asked = {};
    client->id = impl_->clients.connect(impl_->connect(where), std::move(request), client)->id();
    impl_->clients_by_id[client->id] = client;
    run();
    client->id_at_server = impl_->last_asked;
    return MemoryClient{client};
}

HttpResponse MemoryServer::get(std::string_view target, TestLine where) {
    MemoryWire wire{impl_->connect(where)};
    wire.write("GET " + std::string{target} + " HTTP/1.1\r\nHost: " + impl_->place.host + "\r\n\r\n");
    run();
    // ClientHandshake takes any response to a plain request for a refusal.
    ClientHandshake reader{ClientRequest{.host = impl_->place.host}};
    const std::string answer = wire.read();
    auto verdict = reader.receive(bytes_of(answer));
    if (std::holds_alternative<ClientHandshake::NeedMore>(verdict)) return reader.receive_eof().response;
    return std::get<ClientHandshake::Rejected>(verdict).response;
}

MemoryWire MemoryServer::wire(TestLine where) { return MemoryWire{impl_->connect(where)}; }

void MemoryServer::run() { impl_->run(); }

void MemoryServer::advance(std::chrono::milliseconds by) {
    impl_->reactor().attach();
    impl_->network.advance(by);
}

const std::vector<ConnectionEnd>& MemoryServer::ends() const noexcept { return impl_->ends; }

// --- MemoryClient ---

void MemoryClient::Impl::on_open(AnyConnection& opened) {
    was_accepted = true;
    subprotocol = opened.subprotocol();
    response = std::exchange(server->last_response, HttpResponse{.status = 0});
}

Connection<Role::client, MemoryTransport>* MemoryClient::Impl::connection() const noexcept {
    return server != nullptr ? server->clients.find(id) : nullptr;
}

bool MemoryClient::Impl::is_open() const noexcept {
    const auto* found = connection();
    return found != nullptr && found->is_open();
}

template <class F>
SendStatus MemoryClient::Impl::with_connection(F&& f) {
    auto* found = connection();
    const SendStatus status = found != nullptr ? f(*found) : SendStatus::closed;
    run();
    return status;
}

void MemoryClient::Impl::run() const {
    if (server != nullptr) server->run();
}

std::optional<ClientEvent> MemoryClient::Impl::take() {
    run();
    if (events.empty()) return std::nullopt;
    ClientEvent event = std::move(events.front());
    events.pop_front();
    return event;
}

std::string MemoryClient::Impl::state() const {
    if (!end && !was_accepted) return "the server has not answered the opening handshake";
    if (!end) return is_open() ? "the connection is open" : "the connection is closing";
    if (!end->opened && response.status >= 300) {
        return "the server refused the opening handshake: " + std::to_string(response.status) + " " +
               std::string{reason_phrase(response.status)};
    }
    return "the connection has ended" + (end->cause.empty() ? "" : ": " + end->cause) + cause_at_server();
}

std::string MemoryClient::Impl::cause_at_server() const {
    const ConnectionEnd* at_server = server != nullptr ? server->end_of(id_at_server) : nullptr;
    return at_server != nullptr && !at_server->cause.empty() ? " (" + at_server->cause + ")" : "";
}

MemoryClient::MemoryClient(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

MemoryClient::MemoryClient(MemoryClient&&) noexcept = default;

MemoryClient& MemoryClient::operator=(MemoryClient&& other) noexcept {
    std::swap(impl_, other.impl_);
    return *this;
}

MemoryClient::~MemoryClient() {
    if (!impl_) return;
    if (auto* connection = impl_->connection()) connection->terminate("the client is gone");
}

SendStatus MemoryClient::send(const AnyMessage& message) {
    return impl_->with_connection([&](auto& connection) { return connection.send(message); });
}

SendStatus MemoryClient::ping(std::string_view payload) {
    return impl_->with_connection([&](auto& connection) { return connection.ping(bytes_of(payload)); });
}

SendStatus MemoryClient::close(CloseCode code, std::string_view reason) {
    return impl_->with_connection([&](auto& connection) { return connection.close(code, reason); });
}

void MemoryClient::disconnect() {
    if (auto* connection = impl_->connection()) connection->terminate("disconnected");
    impl_->run();
}

void MemoryClient::pause_receiving() {
    if (auto* connection = impl_->connection()) connection->pause_receiving();
}

void MemoryClient::resume_receiving() {
    if (auto* connection = impl_->connection()) connection->resume_receiving();
    impl_->run();
}

std::optional<ClientEvent> MemoryClient::try_receive() { return impl_->take(); }

ClientEvent MemoryClient::receive(TestLine where) {
    auto event = impl_->take();
    if (!event) fail_test(where, "expected an event, but received nothing; " + impl_->state());
    return *std::move(event);
}

std::vector<std::string> MemoryClient::received() {
    std::vector<std::string> lines;
    while (const auto event = impl_->take()) lines.push_back(to_string(*event));
    return lines;
}

void MemoryClient::expect(std::string_view expected, TestLine where) {
    const auto event = impl_->take();
    const std::string what = "expected " + in_quotes(expected) + ", but received ";
    if (!event) fail_test(where, what + "nothing; " + impl_->state());
    const std::string line = to_string(*event);
    if (line == expected) return;
    if (is_control(event->opcode) && line.starts_with(std::string{expected} + " ")) return;
    const bool is_close = event->opcode == Opcode::close;
    fail_test(where, what + in_quotes(line) + (is_close ? impl_->cause_at_server() : ""));
}

void MemoryClient::expect_nothing(TestLine where) {
    if (const auto event = impl_->take())
        fail_test(where, "expected nothing, but received " + in_quotes(to_string(*event)));
}

bool MemoryClient::is_open() const noexcept { return impl_->is_open(); }
std::string_view MemoryClient::subprotocol() const noexcept { return impl_->subprotocol; }
const HttpResponse& MemoryClient::response() const noexcept { return impl_->response; }
ConnectionId MemoryClient::id() const noexcept { return impl_->was_accepted ? impl_->id_at_server : ConnectionId{}; }
const std::optional<ConnectionEnd>& MemoryClient::end() const noexcept { return impl_->end; }

std::string to_string(const ClientEvent& event) {
    if (event.opcode == Opcode::close) return to_string(Event{Close{event.code, event.payload}});
    std::string line;
    with_message_type(event.opcode,
                      [&]<class M>() { line = to_string(Event{M::from_payload(bytes_of(event.payload))}); });
    return line;
}

// --- Recorders ---

namespace {

std::string message_in_words(const AnyMessage& message) {
    return message.visit([](const auto& m) { return to_string(Event{m}); });
}

}  // namespace

SendStatus RecordingHub::record(std::string call) {
    calls.push_back(std::move(call));
    return status;
}

void RecordingHub::report(Completion done) { done(receivers); }

SendStatus RecordingHub::send(ConnectionId to, const AnyMessage& message) {
    if (!may_be_sent(message)) return SendStatus::refused;
    return record("send " + to_string(to) + " " + message_in_words(message));
}

SendStatus RecordingHub::send(std::span<const ConnectionId> to, const AnyMessage& message, Completion done) {
    if (!may_be_sent(message)) return SendStatus::refused;
    std::string call = "send ";
    for (const ConnectionId id : to) call += to_string(id) + " ";
    const SendStatus result = record(call + message_in_words(message));
    report(std::move(done));
    return result;
}

SendStatus RecordingHub::join(ConnectionId member, std::string_view room) {
    return is_room_name(room) ? record("join " + to_string(member) + " " + std::string{room}) : SendStatus::refused;
}

SendStatus RecordingHub::leave(ConnectionId member, std::string_view room) {
    return is_room_name(room) ? record("leave " + to_string(member) + " " + std::string{room}) : SendStatus::refused;
}

SendStatus RecordingHub::set_user(ConnectionId of, std::string_view user) {
    if (!user.empty() && !is_room_name(user)) return SendStatus::refused;
    return record("user " + to_string(of) + (user.empty() ? "" : " ") + std::string{user});
}

SendStatus RecordingHub::post(ConnectionId to, ConnectionCall call) { return post_after(to, {}, std::move(call)); }

SendStatus RecordingHub::post_after(ConnectionId to, std::chrono::milliseconds delay, ConnectionCall call) {
    posted.push_back(std::move(call));
    const bool now = delay.count() <= 0;
    return record("post " + to_string(to) + (now ? "" : " after " + std::to_string(delay.count()) + " ms"));
}

SendStatus RecordingHub::ping(ConnectionId to, Bytes payload) {
    return record("ping " + to_string(to) + to_string(Event{Ping{payload}}).substr(4));
}

SendStatus RecordingHub::close(ConnectionId to, CloseCode code, std::string_view reason) {
    return record("close " + to_string(to) + to_string(Event{Close{code, reason}}).substr(5));
}

namespace {

std::string audience_in_words(const Audience& audience) {
    std::string words;
    if (audience.room) words += " room " + *audience.room;
    if (audience.user) words += " user " + *audience.user;
    if (audience.subprotocol) words += (words.empty() ? " " : " subprotocol ") + *audience.subprotocol;
    words = words.empty() ? "all" : words.substr(1);
    if (audience.except) words += " except " + to_string(*audience.except);
    return words;
}

}  // namespace

SendStatus RecordingHub::broadcast(const Audience& audience, const AnyMessage& message, Completion done) {
    if (!may_be_sent(message)) return SendStatus::refused;
    const SendStatus result = record("broadcast " + audience_in_words(audience) + " " + message_in_words(message));
    report(std::move(done));
    return result;
}

SendStatus RecordingHub::pause_receiving(ConnectionId of) { return record("pause " + to_string(of)); }
SendStatus RecordingHub::resume_receiving(ConnectionId of) { return record("resume " + to_string(of)); }

void RecordingHub::ping_all(Completion done) {
    record("ping_all");
    report(std::move(done));
}

void RecordingHub::close_all(CloseCode code, std::string_view reason, Completion done) {
    record("close_all" + to_string(Event{Close{code, reason}}).substr(5));
    report(std::move(done));
}

RecordingConnection::RecordingConnection(std::string subprotocol, std::string target)
    : RecordingConnection(std::make_shared<RecordingHub>(), {0, 1, 1}, std::move(subprotocol), std::move(target)) {}

RecordingConnection::RecordingConnection(std::shared_ptr<RecordingHub> hub, ConnectionId id, std::string subprotocol,
                                         std::string target)
    : recording_hub_(std::move(hub)),
      hub_(recording_hub_),
      id_(id),
      subprotocol_(std::move(subprotocol)),
      target_(std::move(target)) {}

SendStatus RecordingConnection::record(std::string call) {
    calls.push_back(std::move(call));
    return status;
}

SendStatus RecordingConnection::send(const AnyMessage& message) {
    return may_be_sent(message) ? record(message_in_words(message)) : SendStatus::refused;
}
SendStatus RecordingConnection::begin_message(Opcode type) {
    return record(type == Opcode::text ? "begin text" : "begin binary");
}
SendStatus RecordingConnection::append(const AnyMessage& piece) {
    std::string words = to_string(Event{Ping{piece.payload()}});
    return record(words.replace(0, words.find(' '), "append"));
}
SendStatus RecordingConnection::end_message() { return record("end"); }
SendStatus RecordingConnection::send_waiting(const AnyMessage& message) { return send(message); }
SendStatus RecordingConnection::pause_receiving() { return record("pause"); }
SendStatus RecordingConnection::resume_receiving() { return record("resume"); }
SendStatus RecordingConnection::ping(Bytes payload) { return record(to_string(Event{Ping{payload}})); }
SendStatus RecordingConnection::close(CloseCode code, std::string_view reason) {
    return record(to_string(Event{Close{code, reason}}));
}
SendStatus RecordingConnection::join(std::string_view room) {
    if (!is_room_name(room)) return SendStatus::refused;
    if (status == SendStatus::queued) rooms_.emplace(room);
    return record("join " + std::string{room});
}
SendStatus RecordingConnection::leave(std::string_view room) {
    if (!is_room_name(room)) return SendStatus::refused;
    if (const auto found = rooms_.find(room); found != rooms_.end()) rooms_.erase(found);
    return record("leave " + std::string{room});
}

SendStatus RecordingConnection::set_user(std::string_view user) {
    if (!user.empty() && !is_room_name(user)) return SendStatus::refused;
    const std::string id{user};  // it may be a view of the user before
    if (status == SendStatus::queued) user_ = id;
    return record("user" + (id.empty() ? "" : " " + id));
}

}  // namespace wsserver
