// The implementation of Client: it owns one connection and makes the attempts to connect.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "wsserver/base/callback.hpp"
#include "wsserver/client.hpp"
#include "wsserver/client/detail/backoff.hpp"
#include "wsserver/client/detail/loop_thread.hpp"
#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/owner_timers.hpp"
#include "wsserver/connection/posting_hub.hpp"
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

/// The only connection of a client, with the interface of a ConnectionPool that PostingHub needs.
class OnlyConnection {
   public:
    using Connection = wsserver::Connection<Role::client, AsioTransport>;

    explicit OnlyConnection(std::optional<Connection>& connection) noexcept : connection_(connection) {}

    /// From now on, any thread may send to the connection.
    void open(ConnectionId id) noexcept {
        queued_.store(0, std::memory_order_relaxed);
        open_generation_.store(id.generation, std::memory_order_release);
    }
    /// From now on, sending from other threads returns `closed`.
    void retire() noexcept { open_generation_.store(0, std::memory_order_release); }

    /// True if the connection may be sent to. Called by any thread. The result may already be out of date.
    bool is_open(ConnectionId id) const noexcept {
        return id.generation != 0 && id == ConnectionId{0, 0, open_generation_.load(std::memory_order_acquire)};
    }
    /// How many bytes wait to be sent. Called by any thread.
    std::size_t queued(ConnectionId id) const noexcept {
        return is_open(id) ? queued_.load(std::memory_order_relaxed) : 0;
    }
    void note_queued(std::size_t bytes) noexcept { queued_.store(bytes, std::memory_order_relaxed); }
    Connection* find(ConnectionId id) noexcept {
        return connection_ && connection_->id() == id ? &*connection_ : nullptr;
    }
    template <class F>
    void for_each(F&& f) {
        if (connection_) f(*connection_);
    }

   private:
    std::optional<Connection>& connection_;
    std::atomic<std::uint32_t> open_generation_{0};  ///< 0 unless any thread may send
    std::atomic<std::size_t> queued_{0};
};

/// Reaches the client's connection from any thread. May outlive the client.
using ClientHub = PostingHub<AsioTransport, Role::client, OnlyConnection>;

struct Client::Impl final : OwnerOn<AsioTransport, Role::client>, std::enable_shared_from_this<Client::Impl> {
    using ClientConnection = Connection<Role::client, AsioTransport>;

    Impl(boost::asio::io_context& context, ClientOptions given);

    void connect(std::string url, std::shared_ptr<AnyHandler> handler);
    SendStatus close(CloseCode code, std::string_view reason);
    /// The Client is being destroyed. From now on, nothing of the program is called.
    void shut_down();
    bool is_idle() const noexcept { return !connection_ && !connecting_ && retry_at_ == never && !restart_; }

    // Attempts
    void attempt();
    void begin_attempt();
    void out_of_memory();
    void connected(Result<AsioTransport::Socket, std::error_code> socket);
    Endpoint destination() const;
    ClientRequest make_request() const;
    void connect_failed(std::error_code error);
    void show(std::string_view request);
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
        loop_thread_.note();
        backoff_.opened(transport_.now());
        reachable_.open(id);
    }
    void on_queued(ConnectionId, std::size_t bytes) noexcept override { reachable_.note_queued(bytes); }
    void on_closing(ConnectionId) noexcept override { reachable_.retire(); }
    void on_ended(const ConnectionEnd& end) override { ended(end); }
    void on_released(ConnectionId) override;

    void flush();
    void go_on();
    void wake();
    void disarm_timers();

    static constexpr auto never = Clock::time_point::max();

    const ClientOptions options_;
    RandomKeys keys_;
    Callback<void(const ConnectionEnd&, bool)> end_;
    Callback<void(std::string_view)> request_;
    Callback<void(const HttpResponse&)> response_;

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

    LoopThread loop_thread_;
    AsioTransport transport_;
    OnlyConnection reachable_;
    const std::shared_ptr<ClientHub> client_hub_;
    OwnerTimers<AsioTransport> timers_;
    Clock::time_point retry_at_ = never;
    AsioTransport::Connecting attempt_;
    std::optional<ClientConnection> connection_;  // the last member: it uses all others
};

}  // namespace wsserver
