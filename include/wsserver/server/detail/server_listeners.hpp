// The endpoints on which a server listens.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/server/detail/program_callbacks.hpp"
#include "wsserver/server/detail/reactors.hpp"
#include "wsserver/transport/endpoint.hpp"
#include "wsserver/transport/listener.hpp"

namespace wsserver {

/// Any thread may call the members.
class ServerListeners {
   public:
    ServerListeners(const Reactors& reactors, const ProgramCallbacks& callbacks) noexcept
        : reactors_(reactors), callbacks_(callbacks) {}

    /// See Server::listen().
    Result<std::string, std::string> listen(std::string_view endpoint, const ListenOptions& options);
    /// See Server::adopt_listener().
    Result<std::string, std::string> adopt(Descriptor listener, const ListenOptions& options);
    /// Refuses new connections at all endpoints, also on the ports of blocked reactors, until undrain().
    void drain();
    /// See Server::undrain().
    Result<void, std::string> undrain();
    /// As drain(), but listen() and undrain() return an error from now on.
    void close() noexcept;
    /// The reactors after the first `count` do not run: gives their listeners to these.
    void give_to_first(std::size_t count);
    /// Accepts the clients that wait for a reactor, at all endpoints, and adds them to `clients`. At most `most`.
    void accept_for(std::size_t reactor, std::size_t most, std::vector<AcceptedSocket>& clients);
    /// The URLs of all endpoints, as listen() returned them. Empty after close().
    std::vector<std::string> urls() const;

    /// A reactor's transport has paused accepting.
    void accept_paused(std::error_code why);
    std::uint64_t accept_pauses() const noexcept { return accept_pauses_.load(std::memory_order_relaxed); }

   private:
    /// Where the server listens, or does not listen because of drain().
    struct Place {
        Endpoint endpoint;  ///< as bound: the address in numbers, and the actual port
        ListenOptions options;
        bool drained = false;
        Descriptor inherited{};  ///< the socket, if it was not opened here
    };

    std::vector<std::size_t> drained_places() const;
    Result<std::string, std::string> listen_inherited(const ListenOptions& options);
    Result<std::pair<Listeners, Place>, std::string> place_of(Descriptor listener, const ListenOptions& options) const;
    Result<std::string, std::string> add(Listeners listeners, Place place, std::string_view text);
    Result<Listeners, std::string> open_again(std::size_t place) const;
    void serve(std::vector<ListeningSocket> sockets, const ListenOptions& options);
    void shut_all() noexcept;

    const Reactors& reactors_;
    const ProgramCallbacks& callbacks_;
    std::atomic<std::uint64_t> accept_pauses_{0};
    std::mutex undraining_;  ///< for one undrain() at a time, which waits; locked before mutex_
    mutable std::mutex mutex_;
    bool closed_ = false;
    std::vector<Place> places_;  ///< only grows
    std::vector<std::string> urls_;
    struct OfReactor {
        std::size_t reactor;
        ListenerHandle listener;
        ListenOptions options;
    };
    std::vector<OfReactor> listeners_;  ///< one for each listening socket; each reactor has at least one per endpoint
};

}  // namespace wsserver
