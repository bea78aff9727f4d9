// The bodies of HttpTicket.
#pragma once

#include "wsserver/connection/http/ticket.hpp"

#include <utility>

#include "wsserver/base/within_memory.hpp"

namespace wsserver::detail {

/// Makes the connection look. Precondition: mutex_ is locked.
SendStatus HttpTicket::wake_once() {
    if (is_woken_) return SendStatus::queued;
    const SendStatus status = wake();
    is_woken_ = status == SendStatus::queued;
    return status;
}

/// Wakes the connection, and calls change() under the lock, so that it looks after that. If there is no memory for
/// either, nothing changes. change() returns the result.
template <class F>
SendStatus HttpTicket::put(F&& change) {
    if (is_gone()) return SendStatus::closed;
    auto status = SendStatus::dropped;
    (void)within_memory([&] {
        const std::lock_guard lock(mutex_);
        const SendStatus woken = is_gone() ? SendStatus::closed : wake_once();
        status = woken == SendStatus::queued ? change() : woken;
    });
    return status;
}

SendStatus HttpTicket::answer(HttpResponse&& response) {
    return put([&] {
        asked_.response = std::move(response);
        return SendStatus::queued;
    });
}

SendStatus HttpTicket::fail(std::string&& why) {
    return put([&] {
        asked_.failure = std::move(why);
        return SendStatus::queued;
    });
}

SendStatus HttpTicket::begin(HttpResponse&& head, std::optional<std::uint64_t> length) {
    return put([&] {
        asked_.bytes = std::move(head.body);
        head.body.clear();
        asked_.response = std::move(head);
        asked_.streams = true;
        asked_.length = length;
        was_over_mark_ = asked_.bytes.size() > mark();
        return SendStatus::queued;
    });
}

SendStatus HttpTicket::write(Bytes bytes) {
    return put([&] {
        const std::size_t before = asked_.bytes.size() + in_connection_;
        if (has_ended_) return SendStatus::closed;
        if (before > limits_.hard_limit) return SendStatus::dropped;
        asked_.bytes.append(text_of(bytes));
        was_over_mark_ = was_over_mark_ || before + bytes.size() > mark();
        return SendStatus::queued;
    });
}

SendStatus HttpTicket::end() {
    return put([&] {
        has_ended_ = asked_.ended = true;
        return SendStatus::queued;
    });
}

/// Without memory to wake it, the connection is cut when it looks the next time.
SendStatus HttpTicket::abort() {
    const auto ask = [&] {
        has_ended_ = asked_.aborted = true;
        return SendStatus::queued;
    };
    const SendStatus status = put(ask);
    if (status != SendStatus::dropped) return status;
    const std::lock_guard lock(mutex_);
    ask();
    return status;
}

SendStatus HttpTicket::take_piece(UniqueFunction<void(HttpPiece&&)> taker) {
    if (!taker) return SendStatus::refused;
    return put([&] {
        if (has_last_piece_) return SendStatus::closed;
        if (has_taker_) return SendStatus::refused;
        asked_.take_piece = std::move(taker);
        has_taker_ = true;
        return SendStatus::queued;
    });
}

namespace {

/// Null if there is nothing to call.
HttpTicket::Callback shared_callback(UniqueFunction<void()>&& callback) {
    return callback ? std::make_shared<UniqueFunction<void()>>(std::move(callback)) : nullptr;
}

}  // namespace

SendStatus HttpTicket::on_gone(UniqueFunction<void()> callback) {
    auto shared = shared_callback(std::move(callback));
    const std::lock_guard lock(mutex_);  // `shared` outlives it: the callback before may use this object
    if (is_gone()) return SendStatus::closed;
    std::swap(gone_, shared);
    return SendStatus::queued;
}

SendStatus HttpTicket::on_drain(UniqueFunction<void()> callback) {
    auto shared = shared_callback(std::move(callback));
    const std::lock_guard lock(mutex_);
    if (is_gone()) return SendStatus::closed;
    // It is due already if the client took all before there was a function. note_queued() calls it.
    const SendStatus status = was_over_mark_ && is_low() ? wake_once() : SendStatus::queued;
    if (status == SendStatus::queued) std::swap(drained_, shared);
    return status;
}

std::size_t HttpTicket::queued() const {
    const std::lock_guard lock(mutex_);
    return asked_.bytes.size() + in_connection_;
}

std::unique_ptr<const RoutedRequest> HttpTicket::take_question() noexcept {
    const std::lock_guard lock(mutex_);
    if (question_) is_question_taken_.store(true, std::memory_order_relaxed);
    return std::move(question_);
}

void HttpTicket::begin_call(const HttpPiece& piece) noexcept {
    const std::lock_guard lock(mutex_);
    is_woken_ = true;
    has_taker_ = false;
    has_last_piece_ = has_last_piece_ || piece.is_last;
}

HttpAsked HttpTicket::take() {
    const std::lock_guard lock(mutex_);
    is_woken_ = false;
    in_connection_ += asked_.bytes.size();
    return std::exchange(asked_, {});
}

HttpTicket::Callback HttpTicket::note_queued(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    in_connection_ = bytes;
    if (!was_over_mark_ || !drained_ || !is_low()) return nullptr;
    was_over_mark_ = false;
    return drained_;
}

std::pair<HttpTicket::Callback, UniqueFunction<void(HttpPiece&&)>> HttpTicket::void_it(bool is_answered) noexcept {
    Callback drained, gone;  // destroyed after the lock is released, as what was asked
    HttpAsked asked;
    std::unique_ptr<const RoutedRequest> question;
    const std::lock_guard lock(mutex_);
    is_gone_.store(true, std::memory_order_relaxed);
    std::swap(drained, drained_);
    std::swap(question, question_);
    asked = std::exchange(asked_, {});
    auto taker = std::move(asked.take_piece);
    std::swap(gone, gone_);
    return {is_answered ? nullptr : gone, std::move(taker)};
}

}  // namespace wsserver::detail
