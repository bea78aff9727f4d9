// Watches the reactors. While one has stalled, its new clients are served by the others.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wsserver/scheduling/detail/recurring_thread.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/reactor_queries.hpp"
#include "wsserver/server/detail/reactors.hpp"
#include "wsserver/server/detail/server_listeners.hpp"
#include "wsserver/server/detail/substitute.hpp"
#include "wsserver/transport/clock.hpp"

namespace wsserver {

/// A thread that asks each reactor for a sign of life. If one owes it for longer than ServerOptions::reactor_deadline,
/// the thread accepts the clients that wait at the reactor's listeners, and gives them to reactors that answer; if none
/// does, to a substitute. Closing the listeners instead would reset these clients.
///
/// Clients that the reactor has accepted before wait for it.
class ReactorWatch {
   public:
    /// `options` must outlive the object.
    ReactorWatch(const ServerOptions& options, const Reactors& reactors, ReactorQueries& queries,
                 ServerListeners& listeners, std::shared_ptr<Hub> hub) noexcept
        : options_(options), reactors_(reactors), queries_(queries), listeners_(listeners), hub_(std::move(hub)) {}

    /// A page of the substitute. Must be called before start().
    void answer(std::string path, HttpResponse response) {
        pages_.insert_or_assign(std::move(path), std::move(response));
    }
    /// Starts the thread, unless reactor_deadline is 0. Returns why it could not; empty if it could.
    std::string start();
    /// Ends the thread and the substitute's connections.
    void stop();

    /// Clients that were accepted for stalled reactors. Any thread.
    std::uint64_t taken_over() const noexcept { return taken_over_.load(std::memory_order_relaxed); }
    /// The substitute; null if none was needed yet. Valid as long as this object. Any thread.
    const Substitute* substitute() const;

   private:
    std::chrono::milliseconds probe_interval() const;
    std::chrono::milliseconds watch();
    bool take_over();
    bool has_clients() const;
    bool accept_for(const std::vector<std::uint16_t>& stalled);
    void make_substitute();
    void give_to_substitute();
    void give_to_reactors(const std::vector<std::uint16_t>& answering);
    std::optional<AcceptedSocket> take_client();

    const ServerOptions& options_;
    const Reactors& reactors_;
    ReactorQueries& queries_;
    ServerListeners& listeners_;
    const std::shared_ptr<Hub> hub_;
    Substitute::Pages pages_;

    std::atomic<std::uint64_t> taken_over_{0};
    mutable std::mutex mutex_;
    std::vector<AcceptedSocket> clients_;     ///< accepted, and waiting for a reactor that answers
    std::unique_ptr<Substitute> substitute_;  ///< made for the first client that no reactor can take
    Clock::time_point next_probe_{};          ///< used by the thread
    detail::RecurringThread thread_;          ///< last: it uses the other members
};

}  // namespace wsserver
