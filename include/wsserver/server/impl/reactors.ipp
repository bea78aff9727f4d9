#pragma once

#include "wsserver/server/detail/reactors.hpp"

#include <algorithm>
#include <exception>
#include <thread>

#include "wsserver/server/detail/reactor_options.hpp"
#include "wsserver/transport/asio.hpp"
#include "wsserver/transport/uring_available.hpp"

#if WSSERVER_URING
#include "wsserver/transport/uring.hpp"
#endif

namespace wsserver {

namespace {

std::size_t or_cores(std::size_t count) {
    return count != 0 ? count : std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

}  // namespace

void Reactors::make(const Plan& plan) {
    const std::size_t count = plan.context != nullptr ? 1 : or_cores(plan.options.io_threads);
    bool uring = plan.context == nullptr && may_use_uring(plan);
    for (; reactors_.size() < count; size_ = reactors_.size()) {
        try {
            make_one(plan, uring);
        } catch (const std::exception& error) {  // those of Asio have another base class
            if (uring && reactors_.empty()) {    // although the probe has succeeded
                uring = false;
                why_no_uring_ = error.what();
                continue;
            }
            if (reactors_.empty()) throw;
            why_fewer_ = std::to_string(reactors_.size()) + " of " + std::to_string(count) +
                         " io threads: " + error.what() + "; raise the limit of open files (ulimit -n)";
            break;
        }
    }
}

bool Reactors::may_use_uring(const Plan& plan) {
    if (plan.options.transport == TransportKind::asio) return false;
#if WSSERVER_URING
    const auto possible = UringTransport::probe();
    if (!possible) why_no_uring_ = possible.error();
    return possible.has_value();
#else
    why_no_uring_ = "this build has no io_uring";
    return false;
#endif
}

void Reactors::make_one(const Plan& plan, [[maybe_unused]] bool uring) {
#if WSSERVER_URING
    if (uring) return add<UringTransport>(plan);
#endif
    if (plan.context != nullptr) return add<AsioTransport>(plan, *plan.context);
    add<AsioTransport>(plan);
}

// The memory of an idle connection, without that of its transport and the texts of its handshake.
static_assert(sizeof(Connection<Role::server, AsioTransport>) <= 224);
#if WSSERVER_URING
static_assert(sizeof(Connection<Role::server, UringTransport>) <= 224);
#endif

template <Transport T, class... Args>
void Reactors::add(const Plan& plan, Args&&... transport) {
    auto reactor = std::make_unique<Reactor<T>>(static_cast<std::uint16_t>(reactors_.size()), plan.shared,
                                                reactor_options(plan.options), std::forward<Args>(transport)...);
    reactor->transport().on_accept_paused(plan.accept_paused);
    if constexpr (requires { reactor->transport().on_completions_lost({}); }) {
        reactor->transport().on_completions_lost(plan.completions_lost);
        reactor->transport().on_requests_left(plan.requests_left);
    }
    listen_.emplace_back([raw = reactor.get()](ListeningSocket socket, const ListenOptions& options) {
        raw->listen(std::move(socket), options.proxy_protocol);
    });
    accept_.emplace_back([raw = reactor.get()](AcceptedSocket client) {
        raw->accept(std::move(client.descriptor), client.options.proxy_protocol, std::move(client.received));
    });
    reactors_.push_back(std::move(reactor));
}

std::vector<AnyReactor*> Reactors::all() const {
    std::vector<AnyReactor*> all;
    for (std::size_t i = 0; i < size(); ++i) all.push_back(reactors_[i].get());
    return all;
}

bool Reactors::on_own_thread() const noexcept {
    return std::ranges::any_of(reactors_, [](const auto& reactor) { return reactor->on_own_thread(); });
}

void Reactors::tell_all(const std::function<void(AnyReactor&)>& task) const {
    for (AnyReactor* reactor : all()) {
        reactor->post([task, reactor] { task(*reactor); });
    }
}

void Reactors::listen(std::size_t number, ListeningSocket socket, const ListenOptions& options) const {
    reactors_[number]->post([this, number, options, socket = std::move(socket)]() mutable {
        // Otherwise it would shut the listener when it ends, also for the reactor that has got it.
        if (number < size()) listen_[number](std::move(socket), options);
    });
}

}  // namespace wsserver
