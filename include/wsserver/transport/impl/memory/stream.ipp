// The turns of a MemoryStream: one receive or one send each.
#pragma once

#include "wsserver/transport/detail/memory/stream.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "wsserver/base/within_memory.hpp"

namespace wsserver::detail {

MemoryStream& MemoryStream::make(MemoryTransport& transport, MemorySocket socket) {
    const auto stream = std::make_shared<MemoryStream>(transport);
    stream->end_ = socket.release();
    stream->self_ = stream;
    return *stream;
}

void MemoryStream::start(StreamUser& user) {
    assert(user_ == nullptr && !closed_);
    user_ = &user;
    end_->window = transport_.receive_window_;
    end_->on_arrival = [this] { receive_soon(); };
    end_->on_space = [this] { send_soon(); };
    receive_soon();
}

// --- Receiving ---

/// Calls `f` for the loop. Running out of memory is an error of this stream only.
template <class F>
void MemoryStream::in_turn(F&& f) {
    if (!within_memory(f)) report_failure(std::make_error_code(std::errc::not_enough_memory));
}

void MemoryStream::receive_soon() noexcept {
    const bool something = !end_->unread().empty() || end_->at_end();
    if (!something || !may_receive() || std::exchange(receive_posted_, true)) return;
    transport_.post_reserved([self = shared_from_this()] { self->in_turn([&] { self->receive_turn(); }); });
}

void MemoryStream::receive_turn() {
    receive_posted_ = false;
    if (!may_receive()) return;
    receive();
    receive_soon();
}

/// Receives once and passes the bytes to the user. False if nothing was received.
bool MemoryStream::receive() {
    if (const auto error = transport_.begin(MemoryOperation::receive)) {
        report_failure(error);
        return false;
    }
    const std::size_t count = std::min(end_->unread().size(), transport_.receive_at_most_);
    if (count > 0) {
        ReceiveBuffer buffer = user_->wants_buffer() ? user_->prepare_buffer() : ReceiveBuffer{};
        buffer.empty() ? receive_into_buffer(count) : receive_into(std::move(buffer), count);
        return true;
    }
    if (end_->reset) {
        report_failure(std::make_error_code(std::errc::connection_reset));
    } else if (end_->peer_ended) {
        ended_ = true;
        if (sending_ < Sending::failed) user_->on_end({});  // otherwise the error of the send follows
    }
    return false;
}

void MemoryStream::receive_into_buffer(std::size_t count) {
    const MutableBytes buffer{transport_.buffer_.get(), count};
    std::memcpy(buffer.data(), end_->unread().data(), count);
    end_->consume(count);
    user_->on_bytes(buffer);
}

void MemoryStream::receive_into(ReceiveBuffer buffer, std::size_t count) {
    count = std::min(count, buffer.size);
    std::memcpy(buffer.bytes().data(), end_->unread().data(), count);
    end_->consume(count);
    user_->commit_buffer(std::move(buffer), count);
}

void MemoryStream::resume_receiving() {
    paused_ = false;
    receive_soon();
}

// --- Sending ---

MemoryStream::Sent MemoryStream::send_now(std::span<const SendPiece> pieces) {
    Sent sent;
    if ((sent.error = transport_.begin(MemoryOperation::send))) return sent;
    if (end_->reset) sent.error = std::make_error_code(std::errc::connection_reset);
    if (end_->peer_gone) sent.error = std::make_error_code(std::errc::broken_pipe);
    if (sent.error) return sent;
    std::size_t may_leave = transport_.sends_held_ ? 0 : transport_.send_at_most_;
    for (const SendPiece& piece : pieces) {
        const Bytes part = piece.bytes.first(std::min(may_leave, piece.bytes.size()));
        const std::size_t count = end_->bring(part);
        sent.count += count;
        may_leave -= count;
        if (count < piece.bytes.size()) return sent;
    }
    sent.all = true;
    return sent;
}

bool MemoryStream::send(std::span<const SendPiece> pieces) {
    assert(!batch_ && sending_ != Sending::ending);
    if (user_ == nullptr || closed_ || sending_ != Sending::open) return false;
    const Sent sent = send_now(pieces);
    if (sent.error) {
        sending_ = Sending::failed;
        transport_.post_reserved(
            [self = shared_from_this(), error = sent.error] { self->in_turn([&] { self->send_failed(error); }); });
    } else if (!sent.all) {
        batch_.emplace(pieces, sent.count);
        send_soon();
    }
    return sent.all;
}

/// Posts a turn that sends the rest of the batch, if the peer can take any of it.
void MemoryStream::send_soon() noexcept {
    if (!batch_ || closed_ || send_posted_) return;
    if (transport_.sends_held_) {
        transport_.held_.push_back(shared_from_this());
        return;
    }
    if (end_->other->space() == 0 && !end_->peer_gone) return;  // on_space() follows
    send_posted_ = true;
    transport_.post_reserved([self = shared_from_this()] { self->in_turn([&] { self->send_turn(); }); });
}

void MemoryStream::send_turn() {
    send_posted_ = false;
    if (user_ == nullptr || closed_ || !batch_) return;
    const Sent sent = send_now(batch_->rest());
    if (sent.error) return send_failed(sent.error);
    batch_->advance(sent.count);
    if (!sent.all) return send_soon();
    batch_.reset();
    if (sending_ == Sending::ending) end_->end_direction();
    user_->on_sent();
}

void MemoryStream::shutdown_send() {
    if (closed_ || sending_ != Sending::open) return;
    sending_ = Sending::ending;
    if (!batch_) end_->end_direction();
}

std::uint64_t MemoryStream::unsent(std::uint64_t) const noexcept { return batch_ ? batch_->size() : 0; }

// --- The end ---

/// Receives what the peer has sent before, then reports the error.
void MemoryStream::send_failed(std::error_code error) {
    if (sending_ < Sending::failed) sending_ = Sending::failed;
    batch_.reset();
    while (may_receive() && receive()) {
    }
    report_failure(error);
}

void MemoryStream::report_failure(std::error_code error) {
    if (user_ == nullptr || closed_ || sending_ == Sending::failure_reported) return;
    sending_ = Sending::failure_reported;
    ended_ = true;
    batch_.reset();
    user_->on_end(error);
}

void MemoryStream::close() {
    if (std::exchange(closed_, true)) return;
    end_->close(false);
    batch_.reset();
    transport_.stream_closed();
    if (user_ == nullptr) return;
    transport_.post_reserved([self = shared_from_this()] {
        if (StreamUser* user = std::exchange(self->user_, nullptr)) user->on_released();
    });
}

void MemoryStream::abandon() {
    user_ = nullptr;
    close();
    const auto last = std::exchange(self_, nullptr);
}

}  // namespace wsserver::detail
