// The implementation of Server: starts and stops the threads. The parts of a server are in files of their own.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "wsserver/server.hpp"
#include "wsserver/server/detail/admission_control.hpp"
#include "wsserver/server/detail/handler_workers.hpp"
#include "wsserver/server/detail/program_callbacks.hpp"
#include "wsserver/server/detail/reactor.hpp"
#include "wsserver/server/detail/reactor_queries.hpp"
#include "wsserver/server/detail/reactor_watch.hpp"
#include "wsserver/server/detail/reactors.hpp"
#include "wsserver/server/detail/server_hub.hpp"
#include "wsserver/server/detail/server_listeners.hpp"

namespace wsserver {

/// Shared by the Server and its threads. So the state that a thread uses stays valid even if the thread is stuck in a
/// handler forever.
struct Server::Impl final : ReactorShared, std::enable_shared_from_this<Server::Impl> {
    Impl(boost::asio::io_context* context, ServerOptions given);
    ~Impl();

    // ReactorShared
    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub_; }
    bool trusts_proxy(std::string_view peer) override { return admission_.trusts_proxy(peer); }
    std::optional<std::string> client_behind(std::string_view peer, const HttpRequest& request) override {
        return admission_.client_behind(peer, request);
    }
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override {
        return admission_.chooser().choose(connection, offer);
    }
    OfferDecision choose_as(OwnedConnection& connection, const Offer& offer, UpgradeDecision&& decision,
                            PendingAcceptance* pending) override {
        return admission_.chooser().choose_as(connection, offer, std::move(decision), pending);
    }
    std::optional<HttpResponse> answer(const HttpRequest& request) override { return callbacks_.answer(request); }
    const HttpRoutes* http_routes() const noexcept override { return admission_.chooser().routes_if_any(); }
    void on_ended(const ConnectionEnd& end) override { callbacks_.ended(end); }
    void on_event(const ConnectionEvent& event) override { callbacks_.event(event); }
    StreamAdmission admit() noexcept override { return admission_.admit(); }
    void released() noexcept override { admission_.released(); }
    void released_without_place() noexcept override { admission_.released_without_place(); }
    bool give_up_place() noexcept override { return admission_.give_up_place(); }
    bool admit_refused() noexcept override { return admission_.admit_refused(); }
    GroupTable* groups(GroupKind kind) noexcept override { return admission_.groups(kind); }
    void on_stopped(std::uint16_t reactor) override;
    MemoryUse memory_use() const noexcept override;
    void on_memory_short() override {
        for (std::size_t i = 0; i < reactors_.size(); ++i) reactors_[i].look_at_memory_soon();
    }

    /// Must be called once, after a shared_ptr owns the object.
    void make_reactors();
    void start();
    std::string start_threads(const std::vector<AnyReactor*>& reactors);
    void end_unused(AnyReactor& reactor);
    void request_stop(std::chrono::milliseconds grace);
    void begin_stop(std::chrono::milliseconds grace);
    /// Waits for request_stop(), and then until its work is done or its deadline has passed.
    void wait_until_stopped();
    /// Ends all threads and connections, and then the callbacks of the program.
    StopReport finish();
    /// False if waiting is of no use: the caller's loop does not run, or this is its thread. Claims a loop that has
    /// never run.
    bool loops_run() noexcept;
    /// Drops the last reference. The caller's loop may still be inside the object, so it is destroyed there.
    static void release(std::shared_ptr<Impl> impl) noexcept;

    void close_removed(std::vector<RemovedHandler> removed, CloseCode code);
    void call_served(ServedCall call);
    Result<void, std::string> adopt(AcceptedSocket client);
    void reconfigure(const ServerOptions& changed);
    ServerStatistics statistics() const;
    /// Returns the same handler, with a deleter that destroys it on a worker instead of a reactor's thread. Its
    /// destructor may be slow, for example because it saves data or joins threads.
    std::shared_ptr<AnyHandler> ending_on_worker(std::shared_ptr<AnyHandler> handler);

    /// Ends the loop of a reactor. Returns false if it had to be left behind.
    bool end_loop(std::size_t reactor);
    void leave_behind(std::size_t reactor, StopReport& report);
    std::string name_of(const AnyHandler* handler) const;
    Clock::time_point stop_deadline() const;

    enum class State : std::uint8_t { idle, running, stopping, stopped };

    ServerOptions options_;  ///< as given to the constructor
    boost::asio::io_context* const context_;
    std::atomic<std::size_t> memory_limit_;
    bool loop_is_foreign_ = false;  ///< after finish(): the caller's loop may still be inside this object
    std::shared_ptr<Impl> self_;    ///< see release()
    std::shared_ptr<ServerHub> hub_;
    std::shared_ptr<Hub> any_hub_;

    mutable std::mutex state_mutex_;
    std::condition_variable state_changed_;
    State state_ = State::idle;
    std::vector<bool> stopped_;  ///< by reactor
    Clock::time_point stop_deadline_{};
    std::mutex finish_mutex_;
    std::optional<StopReport> report_;           ///< of finish()
    std::atomic<std::size_t> next_adopting_{0};  ///< the reactor of the next adopted client
    std::vector<std::thread> threads_;

    ProgramCallbacks callbacks_;
    Reactors reactors_;
    ServerListeners listeners_;
    ReactorQueries queries_;
    AdmissionControl admission_;
    ReactorWatch watch_;
    HandlerWorkers workers_;  ///< destroyed first: its threads use the other members
};

}  // namespace wsserver
