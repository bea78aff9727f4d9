// Starts the receives and sends of a UringStream and handles their completions.
#pragma once

#include "wsserver/transport/detail/uring/stream.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/transport/detail/uring/loop.hpp"
#include "wsserver/transport/endpoint.hpp"

namespace wsserver::detail {

namespace {

/// After a send has failed, at most this many buffers are received before the error is reported.
constexpr int uring_last_receives = 32;

/// If at least this many bytes are received at once, the rest of a message is received into its own memory. For less,
/// copying is cheaper than the additional receive requests.
constexpr std::size_t direct_minimum = std::size_t{32} << 10;

}  // namespace

/// Calls `f` for the loop. Running out of memory is an error of this stream only.
template <class F>
void UringStream::in_turn(F&& f) {
    if (!within_memory(f)) report_failure(ENOMEM);
}

void UringStream::start(StreamUser& user) {
    assert(user_ == nullptr && !closed_);
    user_ = &user;
    await_bytes();
}

// --- Receiving ---

/// Normally one multishot request receives all bytes into the shared buffers. While much of a large message is received
/// at once (ReceiveMode::direct), there is a request for each part, into the memory of the message.
void UringStream::await_bytes(ReceiveMode mode, std::size_t share) {
    if (awaiting_bytes_ || queued_ != 0 || !may_receive() || sending_ >= Sending::failed) return;
    if (mode == ReceiveMode::direct && !held() && user_->wants_buffer()) {
        ReceiveBuffer buffer = user_->prepare_buffer();
        if (!buffer.empty()) return await_bytes_in(std::move(buffer));
    }
    io_uring_sqe& sqe = loop_.ring().sqe(UringEvent::received, this);
    if (loop_.buffers_are_short()) {
        io_uring_prep_recv(&sqe, socket_.get(), nullptr, share, 0);
    } else {
        io_uring_prep_recv_multishot(&sqe, socket_.get(), nullptr, 0, 0);
    }
    sqe.flags |= IOSQE_BUFFER_SELECT;
    sqe.buf_group = UringBuffers::group;
    awaiting_bytes_ = true;
    add_reference();
}

void UringStream::await_bytes_in(ReceiveBuffer buffer) {
    rare().buffer = std::move(buffer);
    const MutableBytes place = rare_->buffer->bytes();
    io_uring_prep_recv(&loop_.ring().sqe(UringEvent::received, this), socket_.get(), place.data(),
                       std::min(place.size(), UringTransport::receive_buffer_size), 0);
    awaiting_bytes_ = true;
    add_reference();
}

void UringStream::received(int result, std::uint32_t flags) {
    const bool was_last = (flags & IORING_CQE_F_MORE) == 0;
    const bool direct = cancelling_ || result >= static_cast<int>(direct_minimum);
    if (was_last) awaiting_bytes_ = cancelling_ = false;
    in_turn([&] {
        if (rare_ && rare_->buffer) {
            received_direct(result);
        } else if (result > 0) {
            received_shared(loop_.buffers().bytes(static_cast<std::size_t>(result), flags));
        }
        if (result > 0) loop_.note_received(*this, static_cast<std::size_t>(result));
        if (result == 0) {
            peer_ended();
        } else if (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
            receive_failed(-result);
        }
    });
    loop_.buffers().give_back(flags);
    if (!was_last) return;
    in_turn([&] { receive_again(result, direct ? ReceiveMode::direct : ReceiveMode::shared); });
    if (sending_ == Sending::failed) defer();
    drop_reference();
}

/// A request has ended with `result`. After ENOBUFS, the buffers of this turn are given back before the kernel sees the
/// next request. A stream that found none comes first, one that has received some later, one that has received much
/// last.
void UringStream::receive_again(int result, ReceiveMode mode) {
    if (!may_receive() || queued_ != 0) return;
    const bool lacked = result == -ENOBUFS;
    const bool has_received = lacked ? loop_.has_received(*this) : result > 0;
    if (lacked && !has_received) loop_.note_lack_of_buffers();
    if (!has_received ||
        (!lacked && !loop_.buffers_are_short() && result < static_cast<int>(UringReceiveQueue::much))) {
        return await_bytes(mode);
    }
    const std::size_t much = loop_.buffers_are_short() ? UringReceiveQueue::share : UringReceiveQueue::much;
    const bool took_much = lacked ? loop_.has_received_much(*this) : static_cast<std::size_t>(result) >= much;
    if (took_much) return receive_later();
    loop_.receive_after_others(*this);
    queued_ = 1;
}

void UringStream::receive_later() {
    if (awaiting_bytes_ || queued_ != 0 || !may_receive()) return;
    loop_.receive_in_order(*this);
    queued_ = 1;
}

void UringStream::receive_more(std::size_t share) {
    queued_ = 0;
    if (user_ == nullptr || closed_) return;
    in_turn([&] { await_bytes(ReceiveMode::direct, share); });
}

/// `bytes` are in the shared buffers.
void UringStream::received_shared(MutableBytes bytes) {
    if (user_ == nullptr || closed_ || ended_) return;
    if (paused_ || held()) return hold_bytes(bytes);
    user_->on_bytes(bytes);
    if (bytes.size() >= direct_minimum && awaiting_bytes_ && may_receive() && user_->wants_buffer())
        stop_awaiting_bytes();
}

/// Returns the buffer to the user. While receiving is paused, its bytes are held instead.
void UringStream::received_direct(int result) {
    ReceiveBuffer buffer = std::move(*rare_->buffer);
    rare_->buffer.reset();
    if (!rare_->held) rare_.reset();
    if (user_ == nullptr || closed_) return;
    std::size_t count = ended_ ? 0 : static_cast<std::size_t>(std::max(result, 0));
    if (count > 0 && (paused_ || held())) {
        hold_bytes(buffer.bytes().first(count));
        count = 0;
    }
    user_->commit_buffer(std::move(buffer), count);
}

UringRareState& UringStream::rare() {
    if (!rare_) rare_ = std::make_unique<UringRareState>();
    return *rare_;
}

UringHeld& UringStream::hold() {
    auto& held = rare().held;
    if (!held) held.emplace();
    return *held;
}

/// Keeps bytes that were received while the stream is paused, and leaves further bytes in the socket.
void UringStream::hold_bytes(Bytes bytes) {
    hold().bytes.append(bytes);
    if (paused_) stop_awaiting_bytes();
}

void UringStream::stop_awaiting_bytes() {
    if (!awaiting_bytes_ || cancelling_) return;
    cancelling_ = true;
    loop_.ring().cancel(UringEvent::received, this);
}

void UringStream::resume_receiving() {
    paused_ = false;
    if (held()) return defer();
    receive_later();  // much may have arrived meanwhile
}

void UringStream::deliver_held() {
    UringHeld& held = *rare_->held;  // stays even if the user closes the stream, because on_bytes() still reads it
    std::size_t delivered = 0;
    while (may_receive() && delivered < held.bytes.size()) {
        const MutableBytes rest = held.bytes.bytes().subspan(delivered);
        const MutableBytes next = rest.first(std::min(rest.size(), UringTransport::receive_buffer_size));
        delivered += next.size();
        user_->on_bytes(next);
    }
    if (paused_ && !closed_) {  // on_bytes() has paused the stream again
        OutputBuffer rest;
        rest.append(std::as_const(held.bytes).bytes().subspan(delivered));
        held.bytes = std::move(rest);
        return;
    }
    const auto [bytes, ended, error] = std::move(held);
    rare_.reset();
    if (closed_) return;
    if (error != 0) return receive_failed(error);
    if (ended) return peer_ended();
    receive_later();
}

void UringStream::peer_ended() {
    if (user_ == nullptr || closed_ || ended_) return;
    if (paused_ || held()) {
        hold().ended = true;
        return;
    }
    ended_ = true;
    if (sending_ < Sending::failed) user_->on_end({});  // otherwise the error of the send follows
}

void UringStream::receive_failed(int error) {
    if (user_ == nullptr || closed_ || ended_) return;
    if (paused_ || held()) {
        hold().error = error;
        return;
    }
    report_failure(error);
}

// --- Sending ---

bool UringStream::send(std::span<const SendPiece> pieces) {
    assert(!owes_on_sent_ && sending_ != Sending::ending);
    if (user_ == nullptr || closed_ || sending_ != Sending::open) return false;
    std::size_t size = 0;
    for (const SendPiece& piece : pieces) size += piece.bytes.size();
    if (size == 0) return true;
    if (send_ != nullptr) {
        if (loop_.sends().extend(*send_, pieces)) return true;
        send_->next = std::make_unique<SendBatch>(pieces, 0);
        owes_on_sent_ = true;
        return false;
    }
    send_ = &loop_.sends().begin(*this, socket_.get(), pieces);
    add_reference();
    owes_on_sent_ = size > promised_size;
    return !owes_on_sent_;
}

void UringStream::sent(UringSend& send, int result) {
    // A closed stream also sends the rest, for which send() has returned true.
    if (result > 0 && socket_ && !loop_.sends().advance(send, socket_.get(), static_cast<std::size_t>(result))) return;
    auto next = std::move(send.next);
    loop_.sends().end(send);
    send_ = nullptr;
    if (closed_) {
        close_socket();
    } else if (result > 0) {
        in_turn([&] { send_done(std::move(next)); });
    } else {
        send_failed(result < 0 ? -result : EIO);
    }
    drop_reference();
}

void UringStream::requests_lost() {
    if (!awaiting_bytes_ && send_ == nullptr) return;
    defer();  // which also keeps a reference
    ended_ = true;
    if (sending_ < Sending::failed) {
        sending_ = Sending::failed;
        send_error_ = ENOMEM;
    }
    if (UringSend* const send = std::exchange(send_, nullptr)) {
        loop_.sends().end(*send);
        if (closed_) close_socket();
        drop_reference();
    }
    if (awaiting_bytes_) {
        awaiting_bytes_ = cancelling_ = false;
        drop_reference();
    }
}

void UringStream::send_done(std::unique_ptr<SendBatch> next) {
    if (next) {
        send_ = &loop_.sends().begin(*this, socket_.get(), std::make_unique<UringSend::Gathered>(std::move(*next)));
        add_reference();
        return;
    }
    if (sending_ == Sending::ending) half_close();
    if (!owes_on_sent_) return;
    owes_on_sent_ = false;
    user_->on_sent();
}

void UringStream::shutdown_send() {
    if (closed_ || sending_ != Sending::open) return;
    sending_ = Sending::ending;
    if (send_ == nullptr) half_close();
}

/// Ignores errors: if the peer is gone, the next receive reports it.
void UringStream::half_close() noexcept { ::shutdown(socket_.get(), SHUT_WR); }

std::uint64_t UringStream::unsent(std::uint64_t passed) const noexcept {
    return unsent_on(socket_.get(), passed, send_ != nullptr ? send_->size() : 0);
}

// --- The end ---

void UringStream::send_failed(int error) {
    if (sending_ >= Sending::failed) return;
    sending_ = Sending::failed;
    send_error_ = static_cast<unsigned>(error) & ((1U << error_bits) - 1);
    defer();  // the user receives the bytes of this turn first
}

void UringStream::defer() {
    if (deferred_) return;
    deferred_ = true;
    add_reference();
    loop_.defer(*this);
}

void UringStream::run_deferred() {
    deferred_ = false;
    if (closed_) {
        if (StreamUser* user = std::exchange(user_, nullptr)) user->on_released();
    } else {
        in_turn([this] {
            if (held() && !paused_) deliver_held();
        });
        if (sending_ == Sending::failed) end_failed();
    }
    drop_reference();
}

/// Reports the error of a send, after the receive request in flight has ended.
void UringStream::end_failed() {
    if (awaiting_bytes_) return stop_awaiting_bytes();
    if (rare_ && rare_->buffer) received_direct(0);  // of a request whose completion was lost
    (void)within_memory([this] { receive_rest(); });
    report_failure(send_error_);
}

/// Receives what is still in the socket, such as the Close frame in which the peer gives its reason.
void UringStream::receive_rest() {
    OutputBuffer buffer;
    for (int i = 0; i < uring_last_receives && may_receive(); ++i) {
        buffer.clear();
        const MutableBytes fresh = buffer.extend(UringTransport::receive_buffer_size);
        const ssize_t count = ::recv(socket_.get(), fresh.data(), fresh.size(), MSG_DONTWAIT);
        if (count <= 0) return;
        user_->on_bytes(fresh.first(static_cast<std::size_t>(count)));
    }
}

void UringStream::report_failure(int error) {
    if (user_ == nullptr || closed_ || sending_ == Sending::failure_reported) return;
    sending_ = Sending::failure_reported;
    ended_ = true;
    owes_on_sent_ = false;
    if (send_ != nullptr) send_->next.reset();
    user_->on_end({error, std::system_category()});
}

void UringStream::close() {
    if (closed_) return;
    closed_ = true;
    if (send_ != nullptr) send_->next.reset();
    stop_awaiting_bytes();
    // Bytes for which send() has returned true are still sent, unless the peer does not take them.
    if (send_ != nullptr) {
        loop_.linger(*this);
    } else {
        close_socket();
    }
    if (user_ != nullptr) defer();
}

void UringStream::close_socket() {
    if (!socket_) return;
    loop_.close_socket(std::move(socket_));
}

void UringStream::give_up_sending() {
    if (send_ == nullptr) return;
    loop_.ring().cancel(UringEvent::sent, send_);
    close_socket();
}

void UringStream::abandon() {
    user_ = nullptr;
    close();
    drop_reference();
}

void UringStream::remove_from_loop() noexcept { loop_.remove(*this); }

std::string UringStream::peer() const { return socket_ && !closed_ ? peer_name(socket_.get()) : std::string{}; }

}  // namespace wsserver::detail
