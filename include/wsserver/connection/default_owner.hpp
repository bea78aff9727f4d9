// Ready-made owners of a server's or a client's connections on one transport of any type.
//
//     wsserver::ServerOn<MyTransport> server{arguments_of_my_transport};
//     server.handle(Echo{});
//     server.listen(std::move(my_listener));
//     server.run();
//
// Server and Client do more: several threads, pooled handlers, listening and connecting by name, reconnecting. The
// classes here are for other transports, and for programs that want a single loop.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "wsserver/base/callback.hpp"
#include "wsserver/connection/handler_chooser.hpp"
#include "wsserver/connection/pooled_owner.hpp"
#include "wsserver/connection/posting_hub.hpp"
#include "wsserver/connection/server_handlers.hpp"

namespace wsserver {

/// The common part of ServerOn and ClientOn. It constructs its transport and is used on the thread of that transport.
/// Only hub(), counters(), dropped_requests() and stop() may be called by any thread.
template <Transport T, Role role>
class DefaultOwner : private detail::OwnTransport<T>, private PooledOwner<T, role> {
    using Owner = PooledOwner<T, role>;

   public:
    /// Its connections.
    using Connection = wsserver::Connection<role, T>;

    DefaultOwner(const DefaultOwner&) = delete;
    DefaultOwner& operator=(const DefaultOwner&) = delete;

    /// The transport.
    using Owner::transport;
    /// Reaches the connections from any thread. The hub may outlive the owner.
    using Owner::hub;
    /// The counters of all connections.
    const ConnectionCounters& counters() const noexcept { return this->counters_; }
    /// See PostingHub.
    std::uint64_t dropped_requests() const noexcept { return posting_hub_->dropped_requests(); }
    /// The options of all connections.
    using Owner::options;
    /// Sets the options of all connections, including open ones. They apply to the next frame, timer or queued message.
    void set_options(const ConnectionOptions& changed) noexcept { this->use_limits(changed, this->memory_limit_); }
    /// The most bytes that messages and queues of all connections may hold; 0, as at first: unlimited. From three
    /// quarters of it on, reading is paused for those that hold most, for a minute at most; over it they are closed
    /// with 1013. A message of more than three quarters gets 1009, and the body of a plain request 413. Requests of the
    /// hub are dropped while more than a quarter of it waits.
    void set_memory_limit(std::size_t bytes) {
        this->use_limits(options(), bytes);
        posting_hub_->set_limit(Inbox::limit_within(bytes));
        next_look_ = transport().now();  // not at once, as a reaction may be running
        this->timers_.arm(next_look_);
    }
    /// The bytes that count for the memory limit: messages, queues, broadcasts, and the requests of other threads.
    std::size_t memory() const noexcept {
        return this->memory_.read() + posting_hub_->shared_memory().read() + posting_hub_->waiting_bytes();
    }
    /// `tap` sees each frame of all connections from now on; null: none. It must outlive the owner.
    void set_tap(FrameTap* tap) noexcept { this->protocol_options_.tap = tap; }
    /// The most bytes of payload in a data frame that a connection sends itself; 0: unlimited.
    void set_fragment_size(std::size_t bytes) noexcept { this->protocol_options_.fragment_size = bytes; }
    /// The Server field of the responses; empty, as at first: no such field.
    void set_server_name(const std::string& name) requires(role == Role::server) { this->server_name_ = name; }
    /// Calls `listener` exactly once at the end of each connection. The destructor ends the connections that are left.
    void on_end(Callback<void(const ConnectionEnd&)> listener) { end_ = std::move(listener); }

    /// The connection with that id. Null if it is gone.
    Connection* find(ConnectionId id) noexcept { return pool_.find(id); }
    /// The number of connections.
    std::size_t size() const noexcept { return pool_.size(); }
    /// The state of each connection.
    std::vector<ConnectionInfo> list() {
        std::vector<ConnectionInfo> all;
        pool_.for_each([&](const Connection& connection) { all.push_back(connection.info()); });
        return all;
    }

    /// The rooms of a server's connections: their number, and that of the memberships.
    const RoomIndex& rooms() const noexcept requires(role == Role::server) { return this->memberships_.rooms; }

    /// Runs the loop of the transport until stop().
    void run() { transport().run(); }
    /// Makes run() return after the current turn.
    void stop() { transport().stop(); }

   protected:
    /// Constructs the transport from `transport_arguments`.
    template <class... Args>
    explicit DefaultOwner(std::in_place_t, Args&&... transport_arguments)
        : detail::OwnTransport<T>(std::forward<Args>(transport_arguments)...), Owner(this->own_transport) {
        Memberships* memberships = nullptr;
        if constexpr (role == Role::server) memberships = &this->memberships_;
        posting_hub_ = std::make_shared<PostingHub<T, role>>(transport(), pool_, Inbox::default_limit, memberships,
                                                             &protocol_options_);
        this->hub_ = posting_hub_;
        Owner::on_memory_growth([this] { look_at_memory(); });
        posting_hub_->shared_memory().on_growth([this] { transport().post([this] { look_at_memory(); }); });
        transport().on_wake([this] {
            const auto now = this->timers_.fire();
            this->catch_up();
            if (now >= next_look_) look_at_memory();
            this->timers_.arm(next_look_);
        });
    }
    ~DefaultOwner() = default;
    /// Ends the connections that are left, with 1006. The destructor of each derived class calls it, because
    /// connections use all members.
    void end_all() {
        posting_hub_->detach();
        pool_.for_each([](Connection& connection) { connection.terminate("the owner is gone"); });
        pool_.clear();
    }

    /// The same as hub().
    const std::shared_ptr<PostingHub<T, role>>& posting_hub() const noexcept { return posting_hub_; }
    using Owner::add;
    using Owner::call_for_served;
    using Owner::close_served;
    using Owner::pool_;
    using Owner::protocol_options_;

   private:
    using Owner::next_look_;

    void look_at_memory() {
        MemoryAccount& shared = posting_hub_->shared_memory();
        const MemoryUse use{memory(), 0, shared.read(), this->watch_.shared()};
        Owner::look_at_memory(use);
        shared.watch(shared.read() + this->budget().step(use.total));
        this->timers_.arm(next_look_);
    }
    bool is_memory_short() const noexcept override { return this->budget().is_short(memory()); }
    void on_ended(const ConnectionEnd& end) override {
        if (end_) end_(end);
    }
    void on_released(ConnectionId id) override { Owner::erase(id); }

    std::shared_ptr<PostingHub<T, role>> posting_hub_;
    Callback<void(const ConnectionEnd&)> end_;
};

/// Serves connections on one transport. All reactions run on its thread, even if their handler has Runs::pooled, and so
/// does the function of on_upgrade().
template <Transport T>
class ServerOn final : public DefaultOwner<T, Role::server>, public ServerHandlers {
   public:
    /// Its connections.
    using typename DefaultOwner<T, Role::server>::Connection;

    /// Constructs the transport from `arguments`.
    template <class... Args>
    explicit ServerOn(Args&&... arguments)
        : DefaultOwner<T, Role::server>(std::in_place, std::forward<Args>(arguments)...) {}
    ~ServerOn() override { this->end_all(); }

    /// Allows these origins in addition to the server's own host (RFC 6455 §10.2); "*" allows all.
    void allow_origins(std::vector<std::string> origins) { chooser_.set_allowed_origins(std::move(origins)); }
    /// The server's own hosts; see OriginRules::hosts.
    void serve_hosts(std::vector<std::string> hosts) { chooser_.set_hosts(std::move(hosts)); }
    /// The names of the header fields that connections keep; see AnyConnection::request_field().
    void keep_fields(std::vector<std::string> names) { chooser_.set_kept_fields(std::move(names)); }
    /// Answers requests that are not an upgrade. If `answer` returns nothing, they are refused with 426.
    void on_http(std::function<std::optional<HttpResponse>(const HttpRequest&)> answer) { http_ = std::move(answer); }

    /// Serves a client on an accepted socket. If there are too many connections, closes the socket and returns null.
    Connection* accept(typename T::Socket socket) {
        Connection* connection = this->add(std::move(socket));
        if (connection != nullptr) connection->start();
        return connection;
    }
    /// Serves each client that `listener` accepts.
    void listen(typename T::Listener listener) {
        this->transport().listen(std::move(listener), [this](typename T::Socket socket) { accept(std::move(socket)); });
    }

   private:
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override {
        return chooser_.choose(connection, offer);
    }
    OfferDecision choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision&& decision,
                            PendingAcceptance* pending) override {
        return chooser_.choose_as(connection, offer, std::move(decision), pending);
    }
    HandlerChooser& chooser() const noexcept override { return chooser_; }
    void close_removed(std::vector<RemovedHandler> removed, CloseCode code) override {
        for (const auto& [handler, subprotocol, route] : removed) {
            this->close_served(*handler, subprotocol, route.get(), code);
        }
    }
    void call_served(ServedCall call) override { this->call_for_served(std::move(call)); }
    std::optional<HttpResponse> answer(const HttpRequest& request) override {
        try {
            return http_ ? http_(request) : std::nullopt;
        } catch (...) {
            return HttpResponse{.status = 500, .body = "the server failed to answer\n"};
        }
    }
    const HttpRoutes* http_routes() const noexcept override { return chooser_.routes_if_any(); }
    void send_broadcasts() override {}  // broadcasts do not wait here

    mutable HandlerChooser chooser_{this->posting_hub()};
    std::function<std::optional<HttpResponse>(const HttpRequest&)> http_;
};

/// The connections of one or many clients on one transport.
template <Transport T>
class ClientOn final : public DefaultOwner<T, Role::client> {
   public:
    /// Its connections.
    using typename DefaultOwner<T, Role::client>::Connection;

    /// Constructs the transport from `arguments`.
    template <class... Args>
    explicit ClientOn(Args&&... arguments)
        : DefaultOwner<T, Role::client>(std::in_place, std::forward<Args>(arguments)...) {
        this->protocol_options_.keys = &keys_;
    }
    ~ClientOn() { this->end_all(); }

    /// `keys` makes the masking keys from now on. It must outlive the owner. At first they are from std::random_device.
    void set_masking_keys(MaskingKeySource& keys) noexcept { this->protocol_options_.keys = &keys; }
    /// Begins the opening handshake on a socket that is connected to a server. If there are too many connections,
    /// closes the socket and returns null. A nonce of zeros is replaced by a random one. Precondition:
    /// check_request(request) succeeds.
    Connection* connect(typename T::Socket socket, ClientRequest request, std::shared_ptr<AnyHandler> handler) {
        if (request.nonce == decltype(request.nonce){}) {
            std::ranges::generate(request.nonce, [this] { return keys_.next_byte(); });
        }
        Connection* connection = this->add(std::move(socket));
        if (connection != nullptr) connection->start(std::move(request), handler);
        return connection;
    }
    /// The same for a handler object.
    template <class H>
    requires(!std::convertible_to<H, std::shared_ptr<AnyHandler>>)  //
        Connection* connect(typename T::Socket socket, ClientRequest request, H handler) {
        return connect(std::move(socket), std::move(request), make_handler("client", std::move(handler)));
    }

    /// Calls `listener` with the response of each server, whether it accepts or refuses.
    void on_response(Callback<void(const HttpResponse&)> listener) { response_ = std::move(listener); }

   private:
    /// RFC 6455 §10.3: masking keys must be unpredictable.
    class RandomKeys final : public MaskingKeySource {
       public:
        MaskingKey next_key() noexcept override { return {next_byte(), next_byte(), next_byte(), next_byte()}; }
        std::uint8_t next_byte() noexcept {
            if (rest_ == 0) {
                number_ = device_();
                rest_ = sizeof number_;
            }
            --rest_;
            return static_cast<std::uint8_t>(number_ >> (8 * rest_));
        }

       private:
        std::random_device device_;
        std::random_device::result_type number_ = 0;
        std::size_t rest_ = 0;
    };

    void on_response(const HttpResponse& response) override {
        if (response_) response_(response);
    }

    RandomKeys keys_;
    Callback<void(const HttpResponse&)> response_;
};

}  // namespace wsserver
