// One thread of a server: its transport, its connections and their timers, and the inbox for requests of other threads.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/connection.hpp"
#include "wsserver/connection/connection_owner.hpp"
#include "wsserver/connection/inbox.hpp"
#include "wsserver/connection/item_hub.hpp"
#include "wsserver/connection/pooled_owner.hpp"
#include "wsserver/server/detail/group_table.hpp"
#include "wsserver/server/detail/reactor_groups.hpp"
#include "wsserver/server/detail/reactor_options.hpp"
#include "wsserver/server/detail/receipts.hpp"
#include "wsserver/transport/transport.hpp"

namespace wsserver {

/// The state that all reactors of a server share. Any reactor's thread may call its members.
class ReactorShared {
   public:
    virtual const std::shared_ptr<Hub>& hub() const noexcept = 0;
    /// See ServerOwner, also for choose(), choose_as(), answer(), http_routes(), on_ended() and on_event().
    virtual std::optional<std::string> client_behind(std::string_view, const HttpRequest&) { return std::nullopt; }
    virtual OfferDecision choose(OwnedConnection& connection, const Offer& offer) = 0;
    virtual OfferDecision choose_as(OwnedConnection&, const Offer&, UpgradeDecision&&, PendingAcceptance*) {
        return Errc::upgrade_undecided;
    }
    virtual std::optional<HttpResponse> answer(const HttpRequest& request) = 0;
    virtual const HttpRoutes* http_routes() const noexcept { return nullptr; }
    virtual void on_ended(const ConnectionEnd& end) = 0;
    virtual void on_event(const ConnectionEvent&) {}
    enum class StreamAdmission : std::uint8_t {
        welcome,
        answer_503,           ///< over max_connections
        close_at_once,        ///< far over it
        answer_503_for_rate,  ///< over connections_per_second
        close_for_rate,       ///< far over it
    };
    /// The limits that all reactors share; null: there are none of that kind.
    virtual GroupTable* groups(GroupKind) noexcept { return nullptr; }
    /// True if `peer` is a proxy, so that the address of its client is known once the request was read.
    virtual bool trusts_proxy(std::string_view) { return false; }
    /// Decides on a new stream. Counts it unless it is closed: a welcome one takes a place, others do not. Then
    /// released() or released_without_place() follows exactly once.
    virtual StreamAdmission admit() noexcept = 0;
    virtual void released() noexcept = 0;
    /// A new stream is refused, whatever it asks for, before admit() was asked. Counts it if it may get a response;
    /// then released_without_place() follows. Otherwise it is closed.
    virtual bool admit_refused() noexcept { return false; }
    /// By default, all streams are counted together.
    virtual void released_without_place() noexcept { released(); }
    /// A welcome stream was refused or answered, and waits for the end of its stream. Returns true if it has given up
    /// its place; then released_without_place() follows instead of released().
    virtual bool give_up_place() noexcept { return false; }
    /// The memory that the connections of all reactors hold.
    virtual MemoryUse memory_use() const noexcept { return {}; }
    /// Memory is short: makes all reactors look.
    virtual void on_memory_short() {}
    /// The memory of the broadcasts that wait for a peer of any reactor. They count once.
    const std::shared_ptr<SharedMessage::Sum>& waiting_broadcasts() const noexcept { return waiting_broadcasts_; }
    /// Which reactors have members of a room.
    const std::shared_ptr<RoomDirectory>& room_directory() const noexcept { return room_directory_; }
    /// Which reactors have connections of a user.
    const std::shared_ptr<RoomDirectory>& user_directory() const noexcept { return user_directory_; }
    /// The reactor with this number has finished its stop().
    virtual void on_stopped(std::uint16_t reactor) = 0;

   protected:
    ~ReactorShared() = default;

   private:
    const std::shared_ptr<SharedMessage::Sum> waiting_broadcasts_ = std::make_shared<SharedMessage::Sum>(0);
    const std::shared_ptr<RoomDirectory> room_directory_ = std::make_shared<RoomDirectory>();
    const std::shared_ptr<RoomDirectory> user_directory_ = std::make_shared<RoomDirectory>();
};

/// Some of a reactor's connections.
struct ConnectionPage {
    std::vector<ConnectionInfo> connections;  ///< in order of id
    bool is_last = false;                     ///< there are none in later slots
};

/// A reactor with any transport.
class AnyReactor {
   public:
    AnyReactor() = default;
    AnyReactor(const AnyReactor&) = delete;
    AnyReactor& operator=(const AnyReactor&) = delete;
    virtual ~AnyReactor() = default;

    // Any thread.

    /// Copies `payload` and returns at once. Returns `closed` if the item is for a connection that is gone. `item` is
    /// moved from only if it is taken.
    virtual SendStatus put(InboxItem&& item, Bytes payload) = 0;
    virtual void post(UniqueFunction<void()> task) = 0;
    /// See ConnectionPool::queued().
    virtual std::size_t queued(ConnectionId of) const noexcept = 0;
    virtual bool on_own_thread() const noexcept = 0;
    /// False while its transport neither receives, sends nor accepts. See UringTransport::serves().
    virtual bool serves() const noexcept = 0;
    virtual const ConnectionCounters& counters() const noexcept = 0;
    /// The number of accepted streams.
    virtual std::uint64_t accepted() const noexcept = 0;
    /// The number of streams over connections_per_second.
    virtual std::uint64_t over_connection_rate() const noexcept = 0;
    /// The number of items that were dropped because the inbox was full or memory ran out.
    virtual std::uint64_t dropped_items() const noexcept = 0;

    /// The numbers of its rooms, users and memberships, and the directories of all reactors.
    virtual const Memberships& memberships() const noexcept = 0;

    /// What the connections hold, and what was ever put into their mailboxes.
    virtual MemoryAccount& memory() noexcept = 0;
    /// The memory of the requests that wait in the inbox, in bytes.
    virtual std::size_t inbox_bytes() const noexcept = 0;
    /// See MemoryWatch.
    virtual std::size_t largest_holder() const noexcept = 0;
    virtual std::size_t shared_memory() const noexcept = 0;
    virtual std::size_t paused_for_memory() const noexcept = 0;

    /// The handler that is being called now; null: none. It may be gone already, so compare the pointer only.
    virtual const AnyHandler* running_handler() const noexcept = 0;
    /// The connections whose on_close() is due. It will not be called.
    virtual std::vector<ConnectionId> take_close_due() = 0;
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
    /// The connections in `most` slots, a multiple of 64, as is `first_slot`. To describe one takes a microsecond.
    virtual ConnectionPage list(std::uint32_t first_slot, std::uint32_t most) = 0;
    std::vector<ConnectionInfo> list() { return list(0, std::numeric_limits<std::uint32_t>::max()).connections; }
    virtual std::optional<ConnectionInfo> info(ConnectionId id) = 0;
    /// Ends an opening handshake about which the program has decided, if it still waits.
    virtual void decide(ConnectionId id, UpgradeDecision decision) = 0;
    /// Does what the program has asked of the HTTP exchange of a connection.
    virtual void serve_http(ConnectionId id) = 0;
    virtual void set_options(const ReactorOptions& options) = 0;
    virtual void stop_listening() = 0;
    /// Applies the memory budget.
    virtual void look_at_memory() = 0;
    /// Does so in a later turn. Any thread. At most one look waits.
    virtual void look_at_memory_soon() = 0;
    /// Closes the connections with `subprotocol` that `handler` serves for `route`. Null: for all paths.
    virtual void close_served_by(const AnyHandler& handler, std::string_view subprotocol, const PathPattern* route,
                                 CloseCode code) = 0;
    /// Calls for the open connections of a handler.
    virtual void call_served_by(ServedCall call) = 0;
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
    Reactor(std::uint16_t number, ReactorShared& shared, const ReactorOptions& options, Args&&... transport_arguments)
        : detail::OwnTransport<T>(std::forward<Args>(transport_arguments)...),
          Owner(this->own_transport, number),
          number_(number),
          shared_(shared),
          receipts_(pool_),
          groups_{ReactorGroups{shared.groups(GroupKind::address), counters_.address_pauses},
                  ReactorGroups{shared.groups(GroupKind::user), counters_.user_pauses}} {
        use(options);
        this->hub_ = shared.hub();
        this->memberships_.rooms.use_directory(shared.room_directory(), number);
        this->memberships_.users.use_directory(shared.user_directory(), number);
        Owner::on_memory_growth([this] { on_memory_growth(); });
        broadcasts_watched_ = this->budget().step(0);
        transport().on_wake([this] { wake(); });
    }

    /// Terminates the remaining connections.
    ~Reactor() override {
        end();
        pool_.clear();
    }

    using Owner::transport;

    /// Serves the streams that `listener` accepts. The reactor's thread, or any thread before run().
    /// With `proxy_protocol`, each begins with a header of the PROXY protocol.
    void listen(typename T::Listener listener, bool proxy_protocol = false) {
        transport().listen(std::move(listener), [this, proxy_protocol](typename T::Socket socket) {
            accept(std::move(socket), proxy_protocol);
        });
    }
    void accept(typename T::Socket socket, bool proxy_protocol = false);
    /// The same for a socket from which `received` was read already.
    void accept(typename T::Socket socket, bool proxy_protocol, std::string received) {
        received_first_ = std::move(received);
        accept(std::move(socket), proxy_protocol);
        received_first_.clear();
    }

    SendStatus put(InboxItem&& item, Bytes payload) override;
    void post(UniqueFunction<void()> task) override { transport().post(std::move(task)); }
    std::size_t queued(ConnectionId of) const noexcept override { return pool_.queued(of); }
    bool serves() const noexcept override {
        if constexpr (requires { transport().serves(); }) return transport().serves();
        return true;
    }
    bool on_own_thread() const noexcept override { return thread_.load() == std::this_thread::get_id(); }
    const ConnectionCounters& counters() const noexcept override { return counters_; }
    std::uint64_t accepted() const noexcept override { return accepted_.read(); }
    std::uint64_t over_connection_rate() const noexcept override { return over_connection_rate_.read(); }
    std::uint64_t dropped_items() const noexcept override { return inbox_dropped_.load(std::memory_order_relaxed); }

    const Memberships& memberships() const noexcept override { return this->memberships_; }
    MemoryAccount& memory() noexcept override { return memory_; }
    std::size_t inbox_bytes() const noexcept override { return inbox_.waiting_bytes(); }
    std::size_t largest_holder() const noexcept override { return watch_.largest(); }
    std::size_t shared_memory() const noexcept override { return watch_.shared(); }
    std::size_t paused_for_memory() const noexcept override { return watch_.paused(); }
    void look_at_memory() override;
    void look_at_memory_soon() override;

    void attach() noexcept override { thread_ = std::this_thread::get_id(); }
    void detach() noexcept override { thread_ = std::thread::id{}; }
    void run() override {
        attach();
        transport().run();
    }
    using AnyReactor::list;
    ConnectionPage list(std::uint32_t first_slot, std::uint32_t most) override;
    std::optional<ConnectionInfo> info(ConnectionId id) override;
    void decide(ConnectionId id, UpgradeDecision decision) override {
        if (ServerConnection* connection = pool_.find(id)) connection->decide(std::move(decision));
    }
    void serve_http(ConnectionId id) override {
        if (ServerConnection* connection = pool_.find(id)) connection->serve_http();
    }
    void set_options(const ReactorOptions& options) override {
        use(options);
        look_at_memory();
    }
    void stop_listening() override { transport().stop_listening(); }
    void close_served_by(const AnyHandler& handler, std::string_view subprotocol, const PathPattern* route,
                         CloseCode code) override {
        this->close_served(handler, subprotocol, route, code);
    }
    void call_served_by(ServedCall call) override { this->call_for_served(std::move(call)); }
    void stop(Clock::time_point deadline) override;
    void end() override {
        cut_all();
        drop_requests();
    }
    const AnyHandler* running_handler() const noexcept override { return Owner::running_handler(); }
    std::vector<ConnectionId> take_close_due() override { return pool_.take_close_due(); }
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
    using Owner::look_interval;
    using Owner::memory_;
    using Owner::next_look_;
    using Owner::pool_;
    using Owner::timers_;
    using Owner::watch_;

    // ConnectionOwner
    bool is_memory_short() const noexcept override { return this->budget().is_short(shared_.memory_use().total); }

    // ServerOwner
    bool trusts_proxy(std::string_view peer) override { return shared_.trusts_proxy(peer); }
    std::optional<std::string> client_behind(std::string_view peer, const HttpRequest& request) override {
        return shared_.client_behind(peer, request);
    }
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override {
        return shared_.choose(connection, offer);
    }
    OfferDecision choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision&& decision,
                            PendingAcceptance* pending) override {
        return shared_.choose_as(connection, offer, std::move(decision), pending);
    }
    std::optional<HttpResponse> answer(const HttpRequest& request) override { return shared_.answer(request); }
    const HttpRoutes* http_routes() const noexcept override { return shared_.http_routes(); }
    bool give_up_place(ConnectionId id) noexcept override;
    std::optional<Errc> join(ConnectionId id, GroupKind kind, std::string_view name) override;
    std::optional<Errc> change_user_group(ConnectionId id, std::string_view user) override;
    std::array<SharedPace*, 2> shared_paces(ConnectionId id) noexcept override {
        return {groups_[0].pace(id.slot), groups_[1].pace(id.slot)};
    }
    void on_ended(const ConnectionEnd& end) override { shared_.on_ended(end); }
    void on_event(const ConnectionEvent& event) override { shared_.on_event(event); }
    void on_released(ConnectionId id) override;
    using StreamAdmission = ReactorShared::StreamAdmission;
    void accept_by_address(typename T::Socket socket, bool proxy_protocol);
    ServerConnection* add_counted(typename T::Socket socket, bool proxy_protocol);
    bool count(StreamAdmission admission) noexcept;
    void start(ServerConnection& connection, StreamAdmission admission);
    void start_as(ServerConnection& connection, StreamAdmission admission);
    void give_received(ConnectionId id);
    static MutableBytes mutable_bytes_of(std::string& text) noexcept {
        return {reinterpret_cast<std::uint8_t*>(text.data()), text.size()};
    }
    void discard(ConnectionId id);
    ReactorGroups& groups_of(GroupKind kind) noexcept { return groups_[static_cast<std::size_t>(kind)]; }
    GroupTable::Joined join_group(ConnectionId id, GroupKind kind, std::string_view name);
    void adopt_all();
    void leave_groups(ConnectionId id) noexcept {
        for (ReactorGroups& groups : groups_) groups.leave(id.slot, transport().now());
    }
    void release(bool has_place) noexcept { has_place ? shared_.released() : shared_.released_without_place(); }

    // Items of other threads
    void take_items();
    void execute_taken(InboxItem& item, Bytes payload);
    /// A call must not be made within a reaction.
    static bool may_execute_at_once(const InboxItem& item) noexcept {
        return !item.call || item.call->delay.count() > 0;
    }
    RoomDirectory* directory_for(const InboxItem& item, Bytes payload) const noexcept;
    void announced_join_done(const InboxItem& item, Bytes payload) noexcept;
    void drop(const InboxItem& item) noexcept;
    SendStatus execute(InboxItem& item, Bytes payload);
    std::size_t execute_for_each(InboxItem& item, Bytes payload);

    // Broadcasts
    void broadcast_later(Broadcast& broadcast);
    void send_broadcasts() override;
    std::size_t send_group(std::size_t first);
    void report_broadcasts();
    std::shared_ptr<const SharedMessage> join(std::size_t first, std::size_t end);
    template <class F>
    void for_each_receiver(const Broadcast& broadcast, F&& f);
    void drop_broadcasts() noexcept;
    void look_at_receipts();
    void send_broadcasts_to(ServerConnection& connection, std::size_t group, std::size_t group_end);
    SendStatus send_shared_to(ServerConnection& connection, const Broadcast& broadcast);

    void watch_broadcasts();
    void on_memory_growth();
    void use(const ReactorOptions& options);
    void wake();
    /// When it must wake for a reason of its own.
    Clock::time_point next_wake() const noexcept { return std::min({stop_deadline_, next_look_, next_receipts_}); }
    void cut_all() {
        pool_.for_each([](ServerConnection& connection) { connection.terminate("the server stopped"); });
    }
    void drop_requests();
    void stopped_if_empty();

    const std::uint16_t number_;
    std::atomic<std::thread::id> thread_{};
    ReactorShared& shared_;
    Receipts<ConnectionPool<ServerConnection>> receipts_;
    Clock::time_point next_receipts_ = Clock::time_point::max();  ///< when to look at them
    Counter accepted_;
    Counter over_connection_rate_;
    std::string received_first_;           ///< of the client that is being accepted
    std::array<ReactorGroups, 2> groups_;  ///< by GroupKind
    Clock::time_point stop_deadline_ = Clock::time_point::max();
    Inbox inbox_;
    Inbox::Batch spare_batch_;           ///< keeps the memory of the last one
    std::vector<Broadcast> broadcasts_;  ///< of this turn
    bool broadcast_counted_ = false;     ///< a broadcast must wait for a receiver
    /// The memory of the broadcasts that wait, from which on it looks.
    std::size_t broadcasts_watched_ = std::numeric_limits<std::size_t>::max();

    /// The broadcasts that are being sent.
    struct Leaving {
        std::vector<Broadcast> broadcasts;
        std::vector<std::size_t> receivers;             ///< by broadcast
        std::vector<std::size_t> begins;                ///< of a group: the offset of each, and the end of the last
        std::shared_ptr<const SharedMessage> together;  ///< the frames of a group
    } leaving_;
    std::atomic<std::uint64_t> inbox_dropped_{0};
    std::atomic<bool> look_posted_{false};  ///< see look_at_memory_soon()
    bool stopping_ = false;
    bool stopped_ = false;
};

}  // namespace wsserver

#include "wsserver/server/detail/reactor.ipp"         // IWYU pragma: keep
#include "wsserver/server/detail/reactor_limits.ipp"  // IWYU pragma: keep
