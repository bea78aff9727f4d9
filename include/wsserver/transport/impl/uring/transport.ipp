// The members of UringTransport, which forward to its loop and streams.
#pragma once

#include "wsserver/transport/uring.hpp"

#include <fcntl.h>

#include <utility>

#include "wsserver/transport/detail/uring/loop.hpp"
#include "wsserver/transport/detail/uring/stream.hpp"
#include "wsserver/transport/impl/stream_handle.ipp"

namespace wsserver {

using detail::UringLoop;
using detail::UringStream;

UringTransport::Socket::Socket(Descriptor descriptor) noexcept : descriptor_(std::move(descriptor)) {
    ::fcntl(descriptor_.get(), F_SETFL, 0);
}

UringTransport::UringTransport(const UringSizes& sizes) : loop_(std::make_unique<UringLoop>(sizes)) {}
UringTransport::~UringTransport() {
    if (!loop_->finish()) UringLoop::keep(std::move(loop_));
}

OutputBuffer& UringTransport::output() noexcept { return loop_->output(); }
void UringTransport::post(UniqueFunction<void()> task) { loop_->post(std::move(task)); }
Clock::time_point UringTransport::now() const noexcept { return loop_->now(); }
void UringTransport::on_wake(UniqueFunction<void()> task) { loop_->on_wake(std::move(task)); }
void UringTransport::wake_at(Clock::time_point time) { loop_->wake_at(time); }

void UringTransport::listen(ListeningSocket listener, UniqueFunction<void(Socket)> accepted) {
    loop_->listen(std::move(listener), std::move(accepted));
}
void UringTransport::stop_listening() { loop_->stop_listening(); }
void UringTransport::on_accept_paused(UniqueFunction<void(std::error_code)> paused) {
    loop_->on_accept_paused(std::move(paused));
}
void UringTransport::on_completions_lost(UniqueFunction<void()> lost) { loop_->on_completions_lost(std::move(lost)); }
bool UringTransport::serves() const noexcept { return loop_->serves(); }
void UringTransport::on_requests_left(UniqueFunction<void()> left) { loop_->on_requests_left(std::move(left)); }

void UringTransport::run() { loop_->run(); }
void UringTransport::stop() { loop_->stop(); }
void UringTransport::send_until(Clock::time_point time) { loop_->send_until(time); }
void UringTransport::run_turn(Clock::time_point until) { loop_->turn(until); }

// --- Stream ---

template class StreamHandle<UringStream>;

UringTransport::Stream::Stream(UringTransport& transport, Socket socket)
    : StreamHandle(transport.loop_->add(socket.release())) {}

}  // namespace wsserver
