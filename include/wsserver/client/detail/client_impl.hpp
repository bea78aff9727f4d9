// The implementation of Client: it owns one connection and makes the attempts to connect.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "wsserver/client.hpp"
#include "wsserver/client/detail/backoff.hpp"
#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/owner_timers.hpp"
#include "wsserver/handshake/url.hpp"
#include "wsserver/transport/asio.hpp"

namespace wsserver {

/// Masking keys from OpenSSL's generator, 1024 at a time. They must be unpredictable (RFC 6455 §10.3).
class RandomKeys final : public MaskingKeySource {
   public:
    MaskingKey next_key() noexcept override;

   private:
    std::array<MaskingKey, 1024> keys_{};
    std::size_t next_ = keys_.size();
};

/// Reaches the client's connection from any thread. May outlive the client.
class ClientHub final : public Hub {
   public:
    explicit ClientHub(Client::Impl& client) noexcept : client_(&client) {}

    /// From now on, sending returns `closed`.
    void detach();
    /// Sets the connection that may be sent to from now on; a default-constructed id: none.
    void set_open(ConnectionId id);

    SendStatus send(ConnectionId to, const Text& message) override;
    SendStatus send(ConnectionId to, const Binary& message) override;
    SendStatus ping(ConnectionId to, Bytes payload) override;
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override;
    // A client has one connection, so a broadcast is a send.
    void broadcast(const Audience& audience, const Text& message, Count done) override;
    void broadcast(const Audience& audience, const Binary& message, Count done) override;
    void ping_all(Count done) override;
    void close_all(CloseCode code, std::string_view reason, Count done) override;

   private:
    using ClientConnection = Connection<Role::client, AsioTransport>;
    using Action = std::function<SendStatus(ClientConnection&)>;
    SendStatus run(ConnectionId to, Action action);
    void run_for_all(Action action, Count done);

    std::mutex mutex_;
    Client::Impl* client_;
    ConnectionId open_{};
};

struct Client::Impl final : OwnerOn<AsioTransport, Role::client>, std::enable_shared_from_this<Client::Impl> {
    using ClientConnection = Connection<Role::client, AsioTransport>;

    Impl(boost::asio::io_context& context, ClientOptions given);

    void connect(std::string url, std::shared_ptr<AnyHandler> handler);
    SendStatus close(CloseCode code, std::string_view reason);
    /// The Client is being destroyed.
    void shut_down();
    bool is_idle() const noexcept { return !connection_ && !connecting_ && retry_at_ == never && !restart_; }

    // Attempts
    void attempt();
    void connected(Result<AsioTransport::Socket, std::error_code> socket);
    ClientRequest make_request() const;
    void failed(std::string cause, std::error_code error);
    void ended(const ConnectionEnd& end);
    bool retry_later();
    void dont_retry();
    void post(void (Impl::*step)());

    // ClientOwner
    void schedule(OwnedConnection& connection, Clock::time_point when) override { timers_.schedule(connection, when); }
    void cancel(OwnedConnection& connection) noexcept override { timers_.cancel(connection); }
    void flush_later(ConnectionId id) override;
    void go_on_later(ConnectionId id) override;
    void on_response(const HttpResponse& response) override {
        if (response_) response_(response);
    }
    void on_opened(ConnectionId id) override {
        backoff_.opened(transport_.now());
        client_hub_->set_open(id);
    }
    void on_closing(ConnectionId) noexcept override { client_hub_->set_open({}); }
    void on_ended(const ConnectionEnd& end) override { ended(end); }
    void on_released(ConnectionId) override;

    void flush();
    void go_on();
    void wake();
    void disarm_timers();

    static constexpr auto never = Clock::time_point::max();

    const ClientOptions options_;
    RandomKeys keys_;
    const std::shared_ptr<ClientHub> client_hub_;
    std::function<void(const ConnectionEnd&, bool)> end_;
    std::function<void(std::string_view)> request_;
    std::function<void(const HttpResponse&)> response_;

    std::string url_text_;
    Url url_;
    std::shared_ptr<AnyHandler> handler_;
    Clock::time_point deadline_{};
    Backoff backoff_;
    bool wanted_ = false;   ///< connect() was called, and close() was not called since
    bool restart_ = false;  ///< connect() was called, and the attempt has not begun yet
    bool shut_down_ = false;
    bool connecting_ = false;
    std::uint32_t generation_ = 0;
    std::minstd_rand jitter_{std::random_device{}()};

    AsioTransport transport_;
    OwnerTimers<AsioTransport> timers_;
    Clock::time_point retry_at_ = never;
    AsioTransport::Connecting attempt_;
    std::optional<ClientConnection> connection_;  // the last member: it uses all others
};

}  // namespace wsserver
