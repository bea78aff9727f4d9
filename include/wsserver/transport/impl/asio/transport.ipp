// The members of AsioTransport, which forward to its loop, stream and connecting states.
#pragma once

#include "wsserver/transport/asio.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "wsserver/transport/detail/asio/connecting.hpp"
#include "wsserver/transport/detail/asio/loop.hpp"
#include "wsserver/transport/detail/asio/stream.hpp"
#include "wsserver/transport/impl/stream_handle.ipp"

namespace wsserver {

using detail::AsioConnecting;
using detail::AsioLoop;
using detail::AsioStream;

AsioTransport::AsioTransport()
    : own_context_(std::make_unique<boost::asio::io_context>(1)),  // the hint that one thread runs it saves wake-ups
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
void AsioTransport::on_accept_paused(UniqueFunction<void(std::error_code)> paused) {
    loop_->on_accept_paused(std::move(paused));
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

bool AsioTransport::claim() noexcept { return !own_context_ && loop_->claim(); }

void AsioTransport::post_to(boost::asio::io_context& context, UniqueFunction<void()> task) {
    boost::asio::post(context, std::move(task));
}

boost::asio::io_context& AsioTransport::context() noexcept { return loop_->context(); }

// --- Stream ---

template class StreamHandle<AsioStream>;

AsioTransport::Stream::Stream(AsioTransport& transport, Socket socket)
    : StreamHandle(*new AsioStream(*transport.loop_, std::move(socket))) {}

// --- Connecting ---

AsioTransport::Connecting AsioTransport::connect(const Endpoint& to, Clock::time_point deadline, Connected connected) {
    auto state = std::make_shared<AsioConnecting>(*loop_, deadline, std::move(connected));
    try {
        state->start(to);
    } catch (...) {
        state->cancel();  // parts of it may have begun
        throw;
    }
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
