#pragma once

#include "wsserver/client.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cassert>
#include <utility>

#include "wsserver/client/detail/client_impl.hpp"
#include "wsserver/client/detail/executor_context.hpp"

namespace wsserver {

std::chrono::milliseconds Reconnect::wait(std::size_t failures, double point) const noexcept {
    auto bound = first;
    for (std::size_t i = 1; i < failures && bound < longest; ++i) bound = bound > longest / 2 ? longest : bound * 2;
    bound = std::min(bound, longest);
    const auto half = bound / 2;
    return half + std::chrono::duration_cast<std::chrono::milliseconds>(point * (bound - half));
}

Client::Client(boost::asio::io_context& context, ClientOptions options)
    : executor_(context.get_executor()), impl_(std::make_shared<Impl>(context, std::move(options))) {}

Client::Client(const executor_type& executor, ClientOptions options)
    : executor_(executor), impl_(std::make_shared<Impl>(context_of(executor), std::move(options))) {}

Client::~Client() {
    assert(impl_->loop_thread_.may_end_here() && "a Client is destroyed on another thread than its loop's");
    impl_->shut_down();
    if (!impl_->loop_thread_.is_running_here()) return;
    // A reaction or a listener, which the implementation owns, may be what destroys the client: keep it until the loop
    // has left them.
    boost::asio::io_context& context = impl_->transport_.context();
    boost::asio::post(context, [impl = std::move(impl_)] {});
}

void Client::connect(std::string url, std::shared_ptr<AnyHandler> handler) {
    impl_->connect(std::move(url), std::move(handler));
}

void Client::on_end(Callback<void(const ConnectionEnd&, bool)> listener) { impl_->end_ = std::move(listener); }

void Client::on_request(Callback<void(std::string_view)> listener) { impl_->request_ = std::move(listener); }

void Client::on_response(Callback<void(const HttpResponse&)> listener) { impl_->response_ = std::move(listener); }

SendStatus Client::send(const AnyMessage& message) {
    return impl_->connection_ ? impl_->connection_->send(message) : SendStatus::closed;
}

SendStatus Client::begin_message(Opcode type) {
    return impl_->connection_ ? impl_->connection_->begin_message(type) : SendStatus::closed;
}

SendStatus Client::append(const AnyMessage& piece) {
    return impl_->connection_ ? impl_->connection_->append(piece) : SendStatus::closed;
}

SendStatus Client::end_message() { return impl_->connection_ ? impl_->connection_->end_message() : SendStatus::closed; }

SendStatus Client::ping(Bytes payload) {
    return impl_->connection_ ? impl_->connection_->ping(payload) : SendStatus::closed;
}

std::size_t Client::queued() const noexcept { return impl_->connection_ ? impl_->connection_->queued() : 0; }

bool Client::has_space() const noexcept { return impl_->connection_ && impl_->connection_->has_space(); }

SendStatus Client::close(CloseCode code, std::string_view reason) { return impl_->close(code, reason); }

void Client::pause_receiving() {
    if (impl_->connection_) impl_->connection_->pause_receiving();
}

void Client::resume_receiving() {
    if (impl_->connection_) impl_->connection_->resume_receiving();
}

Client::executor_type Client::get_executor() const noexcept { return executor_; }

bool Client::is_open() const noexcept { return impl_->connection_ && impl_->connection_->is_open(); }

bool Client::is_idle() const noexcept { return impl_->is_idle(); }

std::optional<ConnectionInfo> Client::info() const {
    if (!impl_->connection_) return std::nullopt;
    return impl_->connection_->info();
}

std::uint64_t Client::dropped_requests() const noexcept { return impl_->client_hub_->dropped_requests(); }

}  // namespace wsserver
