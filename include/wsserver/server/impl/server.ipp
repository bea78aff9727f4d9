#pragma once

#include "wsserver/server.hpp"

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
    impl_->handlers_.clear();  // a handler that has not returned is kept by its connection
    Impl::release(std::move(impl_));
}

void Server::handle(std::string subprotocol, std::shared_ptr<AnyHandler> handler) {
    impl_->handlers_.set(std::move(subprotocol), impl_->ending_on_worker(std::move(handler)));
}

bool Server::remove_handler(std::string_view subprotocol, CloseCode code) {
    const std::shared_ptr<AnyHandler> handler = impl_->handlers_.remove(subprotocol);
    if (!handler) return false;
    impl_->tell_all([handler, code, name = std::string{subprotocol}](AnyReactor& reactor) {
        reactor.close_served_by(*handler, name, code);
    });
    return true;
}

std::vector<std::pair<std::string, std::shared_ptr<AnyHandler>>> Server::handlers() const {
    return impl_->handlers_.all();
}

void Server::on_http(HttpAnswer answer) { impl_->http_answer_ = std::move(answer); }

void Server::on_end(std::function<void(const ConnectionEnd&)> listener) { impl_->end_ = std::move(listener); }

void Server::on_log(std::function<void(LogLevel, std::string_view)> listener) { impl_->log_ = std::move(listener); }

Result<std::string, std::string> Server::listen(std::string_view endpoint) { return impl_->listen(endpoint); }

void Server::start() { impl_->start(); }

StopReport Server::run() {
    impl_->start();
    impl_->wait_until_stopped();
    return impl_->finish();
}

StopReport Server::stop(std::chrono::milliseconds grace) {
    impl_->request_stop(grace);
    if (impl_->on_reactor_thread()) return {};  // the thread would wait for itself
    if (impl_->loops_run()) impl_->wait_until_stopped();
    return impl_->finish();
}

void Server::request_stop(std::chrono::milliseconds grace) { impl_->request_stop(grace); }

void Server::drain() { impl_->drain(); }

void Server::reconfigure(const ServerOptions& options) { impl_->reconfigure(options); }

std::shared_ptr<Hub> Server::hub() const { return impl_->hub(); }

std::vector<ConnectionInfo> Server::list() const {
    std::vector<ConnectionInfo> all;
    for (auto& part : impl_->ask<std::vector<ConnectionInfo>>([](AnyReactor& reactor) { return reactor.list(); })) {
        all.insert(all.end(), std::make_move_iterator(part.begin()), std::make_move_iterator(part.end()));
    }
    return all;
}

std::optional<ConnectionInfo> Server::info(ConnectionId id) const {
    using Info = std::optional<ConnectionInfo>;
    if (id.reactor >= impl_->reactors_.size()) return std::nullopt;
    auto answer = impl_->ask_one<Info>(id.reactor, [id](AnyReactor& reactor) { return reactor.info(id); });
    return answer ? std::move(*answer) : std::nullopt;
}

std::vector<std::uint16_t> Server::stalled_reactors() const { return impl_->stalled_reactors(); }

ServerStatistics Server::statistics() const { return impl_->statistics(); }

std::vector<WorkerState> Server::workers() const { return impl_->workers(); }

std::vector<std::string> Server::listening() const {
    const std::lock_guard lock(impl_->state_mutex_);
    return impl_->listening_;
}

std::size_t Server::io_threads() const noexcept { return impl_->reactors_.size(); }

}  // namespace wsserver
