// Decides which streams and which opening handshakes a server accepts.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "wsserver/connection/handler_chooser.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/client_addresses.hpp"
#include "wsserver/server/detail/connection_rate.hpp"
#include "wsserver/server/detail/group_table.hpp"
#include "wsserver/server/detail/handler_workers.hpp"
#include "wsserver/server/detail/program_callbacks.hpp"
#include "wsserver/server/detail/reactor.hpp"
#include "wsserver/server/detail/server_hub.hpp"

namespace wsserver {

/// Any thread may call the members.
class AdmissionControl {
   public:
    AdmissionControl(const ServerOptions& options, const std::shared_ptr<ServerHub>& hub, HandlerWorkers& workers,
                     const ProgramCallbacks& callbacks);

    /// See ReactorShared.
    ReactorShared::StreamAdmission admit() noexcept;
    void released() noexcept { open_.fetch_sub(1, std::memory_order_relaxed); }
    void released_without_place() noexcept { refused_.fetch_sub(1, std::memory_order_relaxed); }
    bool give_up_place() noexcept;
    bool admit_refused() noexcept { return count_refused(); }
    GroupTable* groups(GroupKind kind) noexcept { return kind == GroupKind::address ? &addresses_ : &users_; }
    const GroupTable& addresses() const noexcept { return addresses_; }
    const GroupTable& users() const noexcept { return users_; }
    bool trusts_proxy(std::string_view peer) const { return client_addresses_.trusts(peer); }
    std::optional<std::string> client_behind(std::string_view peer, const HttpRequest& request) const {
        return client_addresses_.client_of(peer, request);
    }

    /// The streams that have a place. Those that are refused are not among them.
    std::size_t open() const noexcept { return open_.load(std::memory_order_relaxed); }
    /// Logs what is wrong with the options. It has no effect then.
    void log_faults() const;
    /// Replaces the rules for opening handshakes. Does not change max_connections.
    void reconfigure(const ServerOptions& changed);
    /// Decides on opening handshakes.
    HandlerChooser& chooser() noexcept { return chooser_; }
    const HandlerChooser& chooser() const noexcept { return chooser_; }

   private:
    /// Returns false if there are too many refused streams.
    bool count_refused() noexcept;

    const ProgramCallbacks& callbacks_;
    HandlerChooser chooser_;
    const std::size_t max_connections_;
    const std::size_t max_refused_;
    std::atomic<std::size_t> open_{0};
    std::atomic<std::size_t> refused_{0};  ///< streams without a place, until they are released
    ConnectionRate rate_;
    GroupTable addresses_;
    GroupTable users_;
    ClientAddresses client_addresses_;
};

}  // namespace wsserver
