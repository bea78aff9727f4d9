#pragma once

#include "wsserver/transport/asio.hpp"

#include <utility>

#include "wsserver/transport/detail/asio/connecting.hpp"
#include "wsserver/transport/detail/asio/loop.hpp"
#include "wsserver/transport/detail/asio/stream.hpp"

namespace wsserver {

using detail::AsioConnecting;
using detail::AsioLoop;
using detail::AsioStream;

AsioTransport::AsioTransport()
    : own_context_(std::make_unique<boost::asio::io_context>(1)),  // one thread runs it: so less is woken up
      loop_(std::make_shared<AsioLoop>(*own_context_, AsioLoop::Context::own)) {}

AsioTransport::AsioTransport(boost::asio::io_context& context)
    : loop_(std::make_shared<AsioLoop>(context, AsioLoop::Context::callers)) {}

AsioTransport::~AsioTransport() { loop_->detach(); }

OutputBuffer& AsioTransport::output() noexcept { return loop_->output(); }
void AsioTransport::post(UniqueFunction<void()> task) { loop_->post(std::move(task)); }
void AsioTransport::on_wake(UniqueFunction<void()> task) { loop_->on_wake(std::move(task)); }
void AsioTransport::wake_at(Clock::time_point time) { loop_->wake_at(time); }

void AsioTransport::listen(ListeningSocket listener, UniqueFunction<void(Socket)> accepted) {
    loop_->listen(std::move(listener), std::move(accepted));
}
void AsioTransport::stop_listening() { loop_->stop_listening(); }
void AsioTransport::on_accept_paused(UniqueFunction<void(std::error_code)> told) {
    loop_->on_accept_paused(std::move(told));
}

void AsioTransport::run() {
    if (own_context_) own_context_->run();
}

void AsioTransport::stop() {
    if (own_context_) {
        own_context_->stop();
    } else {
        loop_->detach();
    }
}

boost::asio::io_context& AsioTransport::context() noexcept { return loop_->context(); }

// --- Stream ---

AsioTransport::Stream::Stream(AsioTransport& transport, Socket socket)
    : state_(new AsioStream(*transport.loop_, std::move(socket))) {
    intrusive_ptr_add_ref(state_);
}

AsioTransport::Stream::~Stream() {
    state_->abandon();
    intrusive_ptr_release(state_);
}

void AsioTransport::Stream::start(StreamUser& user) { state_->start(user); }
bool AsioTransport::Stream::send(std::span<const SendPiece> pieces) { return state_->send(pieces); }
void AsioTransport::Stream::pause_receiving() { state_->pause_receiving(); }
void AsioTransport::Stream::resume_receiving() { state_->resume_receiving(); }
void AsioTransport::Stream::shutdown_send() { state_->shutdown_send(); }
void AsioTransport::Stream::close() { state_->close(); }
std::string AsioTransport::Stream::peer() const { return state_->peer(); }

// --- Connecting ---

AsioTransport::Connecting AsioTransport::connect(const Endpoint& to, Clock::time_point deadline, Connected connected) {
    auto state = std::make_shared<AsioConnecting>(*loop_, deadline, std::move(connected));
    state->start(to);
    return Connecting{std::move(state)};
}

AsioTransport::Connecting::Connecting(std::shared_ptr<AsioConnecting> state) noexcept : state_(std::move(state)) {}

AsioTransport::Connecting& AsioTransport::Connecting::operator=(Connecting&& other) noexcept {
    if (this != &other) {
        cancel();
        state_ = std::move(other.state_);
    }
    return *this;
}

AsioTransport::Connecting::~Connecting() { cancel(); }

void AsioTransport::Connecting::cancel() {
    if (const auto state = std::exchange(state_, nullptr)) state->cancel();
}

}  // namespace wsserver
