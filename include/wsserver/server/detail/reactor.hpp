// One thread of a server: its transport, its connections and their timers, and the inbox for requests of other threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/inbox.hpp"
#include "wsserver/connection/pooled_owner.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// The state that all reactors of a server share. Any reactor's thread may call its members.
class ReactorShared {
   public:
    virtual const std::shared_ptr<Hub>& hub() const noexcept = 0;
    /// See ServerOwner, also for answer() and on_ended().
    virtual std::variant<Acceptance, Refusal> choose(OwnedConnection& connection, const Offer& offer) = 0;
    virtual std::optional<HttpResponse> answer(const HttpRequest& request) = 0;
    virtual void on_ended(const ConnectionEnd& end) = 0;
    /// Decides on a new stream. Counts it unless the result is `close_at_once`; then released() follows exactly once.
    enum class Admission : std::uint8_t { welcome, answer_503, close_at_once };
    virtual Admission admit() noexcept = 0;
    virtual void released() noexcept = 0;
    /// The reactor with this number has finished its stop().
    virtual void on_stopped(std::uint16_t reactor) = 0;

   protected:
    ~ReactorShared() = default;
};

/// A reactor with any transport.
class AnyReactor {
   public:
    AnyReactor() = default;
    AnyReactor(const AnyReactor&) = delete;
    AnyReactor& operator=(const AnyReactor&) = delete;
    virtual ~AnyReactor() = default;

    // Any thread.

    /// Copies `payload` and returns at once. Returns `closed` if the item is for a connection that is gone.
    virtual SendStatus put(InboxItem item, Bytes payload) = 0;
    virtual void post(UniqueFunction<void()> task) = 0;
    virtual bool on_own_thread() const noexcept = 0;
    virtual const ConnectionCounters& counters() const noexcept = 0;
    /// The number of accepted streams.
    virtual std::uint64_t accepted() const noexcept = 0;
    /// The number of items that were dropped because the inbox was full.
    virtual std::uint64_t dropped_items() const noexcept = 0;

    /// The handler that is being called now; null: none. It may be gone already, so compare the pointer only.
    virtual const AnyHandler* running_handler() const noexcept = 0;
    /// The connections whose on_close() is due.
    virtual std::vector<ConnectionId> close_due() const = 0;
    /// No handler is called from now on.
    virtual void mute() noexcept = 0;
    /// Reports 0 for the requests to all connections that wait in the inbox.
    virtual void drop_inbox() noexcept = 0;
    /// For a loop of the program. True if it has not run any task of this reactor yet. Then it never will, and the
    /// calling thread may do what the reactor's thread may.
    virtual bool claim() noexcept = 0;

    // The reactor's thread, or any thread before run() and after it has returned.

    /// Makes the calling thread the reactor's own. run() does the same.
    virtual void attach() noexcept = 0;
    virtual void detach() noexcept = 0;
    /// Runs the loop until stop() is done. Not for a reactor on a loop of the program.
    virtual void run() = 0;
    virtual std::vector<ConnectionInfo> list() = 0;
    virtual std::optional<ConnectionInfo> info(ConnectionId id) = 0;
    virtual void set_options(const ConnectionOptions& options) = 0;
    virtual void stop_listening() = 0;
    /// Closes the connections with `subprotocol` that `handler` serves.
    virtual void close_served_by(const AnyHandler& handler, std::string_view subprotocol, CloseCode code) = 0;
    /// Stops listening, closes all connections with 1001, waits for them until `deadline`, and terminates the rest.
    virtual void stop(Clock::time_point deadline) = 0;
    /// Terminates all connections without a closing handshake, and drops all requests.
    virtual void end() = 0;
};

template <Transport T>
class Reactor final : public AnyReactor, private detail::OwnTransport<T>, private PooledOwner<T, Role::server> {
    using Owner = PooledOwner<T, Role::server>;

   public:
    using ServerConnection = Connection<Role::server, T>;

    template <class... Args>
    Reactor(std::uint16_t number, ReactorShared& shared, const ConnectionOptions& options,
            Args&&... transport_arguments)
        : detail::OwnTransport<T>(std::forward<Args>(transport_arguments)...),
          Owner(this->own_transport, number),
          number_(number),
          shared_(shared) {
        this->connection_options_ = options;
        this->hub_ = shared.hub();
        transport().on_wake([this] { wake(); });
    }

    /// Terminates the remaining connections.
    ~Reactor() override {
        end();
        pool_.clear();
    }

    using Owner::transport;

    /// Serves the streams that `listener` accepts. The reactor's thread, or any thread before run().
    void listen(typename T::Listener listener) {
        transport().listen(std::move(listener), [this](typename T::Socket socket) { accept(std::move(socket)); });
    }
    void accept(typename T::Socket socket);

    SendStatus put(InboxItem item, Bytes payload) override;
    void post(UniqueFunction<void()> task) override { transport().post(std::move(task)); }
    bool on_own_thread() const noexcept override { return thread_.load() == std::this_thread::get_id(); }
    const ConnectionCounters& counters() const noexcept override { return counters_; }
    std::uint64_t accepted() const noexcept override { return accepted_.read(); }
    std::uint64_t dropped_items() const noexcept override { return inbox_dropped_.load(std::memory_order_relaxed); }

    void attach() noexcept override { thread_ = std::this_thread::get_id(); }
    void detach() noexcept override { thread_ = std::thread::id{}; }
    void run() override {
        attach();
        transport().run();
    }
    std::vector<ConnectionInfo> list() override;
    std::optional<ConnectionInfo> info(ConnectionId id) override;
    void set_options(const ConnectionOptions& options) override { this->connection_options_ = options; }
    void stop_listening() override { transport().stop_listening(); }
    void close_served_by(const AnyHandler& handler, std::string_view subprotocol, CloseCode code) override;
    void stop(Clock::time_point deadline) override;
    void end() override {
        cut_all();
        drop_requests();
    }
    const AnyHandler* running_handler() const noexcept override { return Owner::running_handler(); }
    std::vector<ConnectionId> close_due() const override { return pool_.close_due(); }
    void mute() noexcept override { Owner::mute(); }
    void drop_inbox() noexcept override;
    bool claim() noexcept override {
        if constexpr (requires { transport().claim(); }) return transport().claim();
        return false;
    }

   private:
    using Owner::broadcasts_first;
    using Owner::broadcasts_wait_;
    using Owner::counters_;
    using Owner::pool_;
    using Owner::timers_;

    // ServerOwner
    std::variant<Acceptance, Refusal> choose(OwnedConnection& connection, const Offer& offer) override {
        return shared_.choose(connection, offer);
    }
    std::optional<HttpResponse> answer(const HttpRequest& request) override { return shared_.answer(request); }
    void on_ended(const ConnectionEnd& end) override { shared_.on_ended(end); }
    void on_released(ConnectionId id) override;

    // Items of other threads
    void take_items();
    void execute_taken(InboxItem& item);
    SendStatus execute(InboxItem& item, Bytes payload);
    SendStatus execute_for_one(ServerConnection& connection, const InboxItem& item, Bytes payload);
    std::size_t execute_for_each(const InboxItem& item, Bytes payload);

    // Broadcasts
    void broadcast_later(Broadcast broadcast);
    void send_broadcasts() override;
    void join_broadcasts();
    void send_broadcasts_to(ServerConnection& connection);

    void wake();
    void cut_all() {
        pool_.for_each([](ServerConnection& connection) { connection.terminate("the server stopped"); });
    }
    void drop_requests();
    void stopped_if_empty();

    const std::uint16_t number_;
    std::atomic<std::thread::id> thread_{};
    ReactorShared& shared_;
    Counter accepted_;
    Clock::time_point stop_deadline_ = Clock::time_point::max();
    Inbox inbox_;
    Inbox::Batch taken_;
    std::vector<Broadcast> broadcasts_;  ///< of this turn

    /// The broadcasts that are being sent.
    struct Leaving {
        std::vector<Broadcast> broadcasts;
        std::vector<std::size_t> receivers;             ///< by broadcast
        std::vector<std::size_t> begins;                ///< the offset of each in `together`, and the end of the last
        std::shared_ptr<const SharedMessage> together;  ///< the frames of all broadcasts
    } leaving_;
    std::atomic<std::uint64_t> inbox_dropped_{0};
    bool stopping_ = false;
    bool stopped_ = false;
};

}  // namespace wsserver

#include "wsserver/server/detail/reactor.ipp"
