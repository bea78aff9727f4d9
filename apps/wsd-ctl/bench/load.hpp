// Many client connections on one thread, from the first dial to the last close, and what is measured in between.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "wsd-ctl/bench/outcome.hpp"
#include "wsd-ctl/bench/random.hpp"
#include "wsd-ctl/bench/traffic.hpp"
#include "wsd-ctl/connect/no_connection.hpp"
#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/pooled_owner.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsd::ctl::bench {

/// Observes a load. All calls are made on the thread of the load.
class LoadWatcher {
   public:
    enum class Stage : std::uint8_t { opening, warm_up, measuring, draining, closing };

    virtual void on_measurement_begins() = 0;
    virtual void on_measurement_ends() = 0;
    /// Ten times a second. `since`: how long this stage has lasted.
    virtual void on_tick(Stage stage, std::chrono::milliseconds since, const Outcome& so_far) = 0;
    /// Asked as often: is it to end now, with what it has measured?
    virtual bool wants_end() = 0;

   protected:
    ~LoadWatcher() = default;
};

/// Its life: opening -> warm_up -> measuring -> draining (the last answers) -> closing -> ended. Connections end early
/// when the server ends them; then the others go on. Without success the load ends.
template <wsserver::Transport T>
class Load final : private wsserver::PooledOwner<T, wsserver::Role::client> {
    using Owner = wsserver::PooledOwner<T, wsserver::Role::client>;

   public:
    /// EAGAIN: in a while. Other errors end the load.
    using Dial = std::function<wsserver::Result<typename T::Socket, std::error_code>(std::uint32_t connection)>;

    /// All of these must outlive it. `request`: what each connection asks for, without its nonce.
    Load(T& on, const Options& options, const wsserver::ClientRequest& request, LoadWatcher& watcher, Dial dial);
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load();

    /// Begins; it goes on when the transport runs, which it stops at its end.
    void start();
    const Outcome& outcome() const noexcept { return outcome_; }

   private:
    using Time = wsserver::Clock::time_point;
    using Stage = LoadWatcher::Stage;
    using ClientConnection = wsserver::Connection<wsserver::Role::client, T>;
    using Owner::counters_;
    using Owner::pool_;
    using Owner::timers_;
    using Owner::transport;

    /// What connections tell.
    struct BenchHandler final : wsserver::AnyHandler {
        explicit BenchHandler(Load& load) : load_(load) {}
        std::string_view name() const noexcept override { return "bench"; }
        void on_open(wsserver::AnyConnection& connection) override { load_.opened(connection); }
        void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) override {
            load_.received(connection, {false, message.payload()});
        }
        void on_message(wsserver::AnyConnection& connection, const wsserver::Binary& message) override {
            load_.received(connection, {true, message.payload()});
        }
        Load& load_;
    };

    struct Slot {
        ClientConnection* connection = nullptr;
        Time dialed{};
        bool open = false;
        bool closed_by_us = false;
    };

    static constexpr std::uint32_t opening_at_once = 64;  ///< backlogs are short
    static constexpr std::chrono::milliseconds tick_time{100};
    static constexpr std::chrono::milliseconds redial_time{20};

    bool repeats() const noexcept { return options_.mode == Mode::handshake; }
    bool nothing_will_come() const {
        return traffic_->outstanding() == 0 && (stage_ == Stage::draining || traffic_->is_dead());
    }

    // Stages
    void enter(Stage stage, std::chrono::milliseconds longest);
    void begin_warm_up();
    void begin_measuring();
    void begin_draining();
    void begin_closing();
    void end();
    /// The stage has lasted as long as it may.
    void stage_is_over();
    /// It makes no sense to go on.
    void end_early();
    void end_early_soon();

    // Time
    void on_wake();
    void tick(Time now);
    void arm();
    Time turn_time();

    // Connections
    void dial_more();
    bool dial();
    void not_dialed(std::error_code error);
    void opened(wsserver::AnyConnection& connection);
    void received(wsserver::AnyConnection& connection, const Received& message);
    void pump(std::uint32_t number, Time now);
    void failed(Failure failure);

    // ClientOwner
    void on_ended(const wsserver::ConnectionEnd& end) override;
    void on_released(wsserver::ConnectionId id) override;

    const Options& options_;
    const wsserver::ClientRequest& request_;
    LoadWatcher& watcher_;
    const Dial dial_;
    Random random_;
    std::shared_ptr<BenchHandler> handler_;

    Outcome outcome_;
    std::unique_ptr<Traffic> traffic_;
    Stage stage_ = Stage::opening;
    Time stage_began_{};
    Time stage_end_ = Time::max();
    Time next_tick_{};
    Time redial_at_ = Time::max();
    bool over_ = false;        ///< the transport has been told to stop
    bool end_posted_ = false;  ///< the stage ends before its time

    Time turn_time_{};
    std::uint64_t bytes_seen_ = 0;  ///< when turn_time_ was looked up
    std::uint32_t opening_ = 0;
    std::uint32_t open_ = 0;
    std::vector<Slot> slots_;
};

}  // namespace wsd::ctl::bench

#include "wsd-ctl/bench/load.ipp"  // IWYU pragma: keep
