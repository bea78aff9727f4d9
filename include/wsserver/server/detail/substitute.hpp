// Answers clients while no reactor of the server does.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>

#include "wsserver/server.hpp"
#include "wsserver/server/detail/reactor.hpp"
#include "wsserver/server/detail/reactors.hpp"
#include "wsserver/transport/asio.hpp"

namespace wsserver {

/// A spare reactor with a thread of its own. Answers opening handshakes with 503, and plain requests with the pages
/// that it was given. It calls no function of the program, so nothing can block it. Any thread may call the members.
class Substitute final : ReactorShared {
   public:
    using Pages = std::map<std::string, HttpResponse>;  ///< by path

    /// Starts the thread. `number` is that of the spare reactor. Throws std::system_error if descriptors or threads ran
    /// out.
    Substitute(std::uint16_t number, const ServerOptions& options, std::shared_ptr<Hub> hub, Pages pages);
    Substitute(const Substitute&) = delete;
    Substitute& operator=(const Substitute&) = delete;
    ~Substitute() { stop(); }

    /// Ends its connections and the thread. Not by two threads at a time.
    void stop();

    void accept(AcceptedSocket client);
    const AnyReactor& reactor() const noexcept { return reactor_; }

   private:
    // ReactorShared
    const std::shared_ptr<Hub>& hub() const noexcept override { return hub_; }
    bool trusts_proxy(std::string_view) override { return true; }  // all clients get the same answers
    OfferDecision choose(OwnedConnection&, const Offer&) override;
    std::optional<HttpResponse> answer(const HttpRequest& request) override;
    void on_ended(const ConnectionEnd&) override {}
    StreamAdmission admit() noexcept override;
    void released() noexcept override { open_.fetch_sub(1, std::memory_order_relaxed); }
    void on_stopped(std::uint16_t) override {}

    const std::shared_ptr<Hub> hub_;
    const Pages pages_;
    std::atomic<std::size_t> open_{0};
    Reactor<AsioTransport> reactor_;
    std::thread thread_;
};

}  // namespace wsserver
