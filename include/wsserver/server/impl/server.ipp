#pragma once

#include "wsserver/server.hpp"

#include <algorithm>
#include <iterator>

#include "wsserver/server/detail/server_impl.hpp"

namespace wsserver {

Server::Server(ServerOptions options) : impl_(std::make_shared<Impl>(nullptr, std::move(options))) {
    impl_->make_reactors();
}

Server::Server(boost::asio::io_context& context, ServerOptions options)
    : impl_(std::make_shared<Impl>(&context, std::move(options))) {
    impl_->make_reactors();
}

Server::~Server() {
    impl_->request_stop(std::chrono::milliseconds{0});
    if (impl_->loops_run()) impl_->wait_until_stopped();
    (void)impl_->finish();
    impl_->admission_.chooser().handlers().clear();  // a handler that has not returned is kept by its connection
    Impl::release(std::move(impl_));
}

HandlerChooser& Server::chooser() const noexcept { return impl_->admission_.chooser(); }

std::shared_ptr<AnyHandler> Server::adopted(std::shared_ptr<AnyHandler> handler) const {
    return impl_->ending_on_worker(std::move(handler));
}

void Server::call_served(ServedCall call) { impl_->call_served(std::move(call)); }
void Server::close_removed(std::vector<RemovedHandler> removed, CloseCode code) {
    impl_->close_removed(std::move(removed), code);
}

void Server::on_http(HttpAnswer answer) { impl_->callbacks_.on_http(std::move(answer)); }

void Server::answer_while_stalled(std::string path, HttpResponse response) {
    impl_->watch_.answer(std::move(path), std::move(response));
}

void Server::on_accept(Callback<void(const ConnectionStart&)> listener) {
    impl_->callbacks_.on_accept(std::move(listener));
}

void Server::on_end(Callback<void(const ConnectionEnd&)> listener) { impl_->callbacks_.on_end(std::move(listener)); }

void Server::on_event(Callback<void(const ConnectionEvent&)> listener) {
    impl_->callbacks_.on_event(std::move(listener));
}

void Server::on_log(Callback<void(LogLevel, std::string_view)> listener) {
    impl_->callbacks_.on_log(std::move(listener));
}

Result<std::string, std::string> Server::listen(std::string_view endpoint, const ListenOptions& options) {
    return impl_->listeners_.listen(endpoint, options);
}

Result<std::string, std::string> Server::adopt_listener(Descriptor listener, const ListenOptions& options) {
    return impl_->listeners_.adopt(std::move(listener), options);
}

Result<void, std::string> Server::adopt(Descriptor stream, std::string received, const ListenOptions& options) {
    return impl_->adopt({std::move(stream), options, std::move(received)});
}

void Server::start() { impl_->start(); }

StopReport Server::run() {
    impl_->start();
    impl_->wait_until_stopped();
    return impl_->finish();
}

StopReport Server::stop(std::chrono::milliseconds grace) {
    impl_->request_stop(grace);
    // The thread would wait for itself: finish() waits for reactors and for callbacks.
    if (impl_->reactors_.on_own_thread() || impl_->hub_->gate()->calls_of_this_thread() > 0) return {};
    if (impl_->loops_run()) impl_->wait_until_stopped();
    return impl_->finish();
}

void Server::request_stop(std::chrono::milliseconds grace) { impl_->request_stop(grace); }

void Server::drain() { impl_->listeners_.drain(); }

Result<void, std::string> Server::undrain() { return impl_->listeners_.undrain(); }

void Server::reconfigure(const ServerOptions& options) { impl_->reconfigure(options); }

SendStatus Server::post(Priority priority, UniqueFunction<void()> task, std::string_view name) {
    return impl_->workers_.post(priority, std::move(task), name);
}

std::shared_ptr<Hub> Server::hub() const { return impl_->hub(); }

std::vector<ConnectionInfo> Server::list() const {
    // In pages, because to describe 100,000 connections takes a tenth of a second.
    constexpr std::uint32_t page_slots = 1024;
    std::vector<ConnectionInfo> all;
    bool more = true;
    for (std::uint32_t first = 0; more; first += page_slots) {
        more = false;
        const auto pages = [first](AnyReactor& reactor) { return reactor.list(first, page_slots); };
        for (ConnectionPage& page : impl_->queries_.ask<ConnectionPage>(pages)) {
            std::ranges::move(page.connections, std::back_inserter(all));
            more = more || !page.is_last;
        }
    }
    std::ranges::sort(all, {}, &ConnectionInfo::id);
    return all;
}

std::optional<ConnectionInfo> Server::info(ConnectionId id) const {
    using Info = std::optional<ConnectionInfo>;
    if (id.reactor >= impl_->reactors_.size()) return std::nullopt;
    auto answer = impl_->queries_.ask_one<Info>(id.reactor, [id](AnyReactor& reactor) { return reactor.info(id); });
    return answer ? std::move(*answer) : std::nullopt;
}

std::vector<std::uint16_t> Server::stalled_reactors() const { return impl_->queries_.stalled(); }

ServerStatistics Server::statistics() const { return impl_->statistics(); }

std::vector<WorkerState> Server::workers() const { return impl_->workers_.states(); }

std::vector<HandlerLoad> Server::handler_loads() const { return impl_->workers_.loads(); }

std::vector<std::string> Server::listening() const { return impl_->listeners_.urls(); }

std::size_t Server::io_threads() const noexcept { return impl_->reactors_.size(); }

}  // namespace wsserver
