#pragma once

#include "wsserver/server/detail/substitute.hpp"

#include <string_view>
#include <utility>

#include "wsserver/scheduling/detail/signals_blocked.hpp"
#include "wsserver/server/detail/reactor_options.hpp"

namespace wsserver {

namespace {

/// Further clients are closed without a response.
constexpr std::size_t most_substitute_clients = 1024;

}  // namespace

Substitute::Substitute(std::uint16_t number, const ServerOptions& options, std::shared_ptr<Hub> hub, Pages pages)
    : hub_(std::move(hub)),
      pages_(std::move(pages)),
      reactor_(number, static_cast<ReactorShared&>(*this), reactor_options(options)) {
    const detail::SignalsBlocked signals;
    thread_ = std::thread([this] { reactor_.run(); });
}

void Substitute::stop() {
    if (!thread_.joinable()) return;
    reactor_.post([this] { reactor_.stop(Clock::now()); });
    thread_.join();
}

void Substitute::accept(AcceptedSocket client) {
    reactor_.post([this, client = std::move(client)]() mutable {
        reactor_.accept(std::move(client.descriptor), client.options.proxy_protocol);
    });
}

OfferDecision Substitute::choose(OwnedConnection&, const Offer&) { return Errc::too_many_connections; }

std::optional<HttpResponse> Substitute::answer(const HttpRequest& request) {
    const std::string_view target{request.target};
    const auto page = pages_.find(std::string{target.substr(0, target.find('?'))});
    if (page != pages_.end()) return page->second;
    return HttpResponse{.status = 503, .fields = {{"Retry-After", "5"}}, .body = "the server does not answer\n"};
}

ReactorShared::StreamAdmission Substitute::admit() noexcept {
    if (open_.fetch_add(1, std::memory_order_relaxed) < most_substitute_clients) return StreamAdmission::welcome;
    open_.fetch_sub(1, std::memory_order_relaxed);
    return StreamAdmission::close_at_once;
}

}  // namespace wsserver
