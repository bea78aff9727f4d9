// What a program answers a plain HTTP request with: at once, later, or as a stream; and its body in pieces.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/http/ticket.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsserver {

/// The body of an answer that is sent piece by piece, from any thread. It has one owner. If it is destroyed before
/// end(), the client's stream is cut, so that the client does not take a part for the whole. Only a client of HTTP/1.0
/// cannot tell, unless it was told the length.
class HttpStream {
   public:
    /// A stream without a client.
    HttpStream() noexcept = default;
    /// For HttpReply.
    explicit HttpStream(std::shared_ptr<detail::HttpTicket> ticket) noexcept : ticket_(std::move(ticket)) {}
    /// Takes over the stream. The source has none any more.
    HttpStream(HttpStream&&) noexcept = default;
    /// Same. The answer that this object had is cut, unless it has ended.
    HttpStream& operator=(HttpStream&& other) noexcept {
        HttpStream{std::move(other)}.ticket_.swap(ticket_);
        return *this;
    }
    HttpStream(const HttpStream&) = delete;
    HttpStream& operator=(const HttpStream&) = delete;
    ~HttpStream() {
        if (ticket_) (void)within_memory([&] { (void)ticket_->abort(); });
    }

    /// Sends the next bytes. The result is `queued`; `dropped`, and nothing is sent, if queued() is over
    /// SendQueueLimits::hard_limit or if memory runs out; or `closed` after end(), and if the client has gone or the
    /// server has stopped.
    SendStatus write(Bytes bytes) { return ticket_ ? ticket_->write(bytes) : SendStatus::closed; }
    /// Same for a text.
    SendStatus write(std::string_view text) { return write(bytes_of(text)); }
    /// The answer is complete. The result is as for write(); after `dropped` it may be called again.
    SendStatus end() {
        const SendStatus status = ticket_ ? ticket_->end() : SendStatus::closed;
        if (status != SendStatus::dropped) ticket_.reset();
        return status;
    }
    /// The bytes that the client's system has not taken yet, as far as is known. A program that makes more than it
    /// needs to waits while it is over SendQueueLimits::high_mark.
    std::size_t queued() const { return ticket_ ? ticket_->queued() : 0; }
    /// Calls `callback` whenever queued() was over SendQueueLimits::high_mark and is at most half of it now, on the
    /// thread of the connection; it must not block. So it does if that was before this call. Replaces the one before;
    /// an empty one only removes it.
    SendStatus on_drain(UniqueFunction<void()> callback) {
        return ticket_ ? ticket_->on_drain(std::move(callback)) : SendStatus::closed;
    }
    /// Calls `callback` once if the client goes away before the answer is complete, on the thread of the connection; it
    /// must not block. `closed`: the client is gone already, and it is not called. Replaces the one before; an empty
    /// one only removes it.
    SendStatus on_gone(UniqueFunction<void()> callback) {
        return ticket_ ? ticket_->on_gone(std::move(callback)) : SendStatus::closed;
    }
    /// True if the client has gone, or after end().
    bool is_gone() const noexcept { return !ticket_ || ticket_->is_gone(); }

   private:
    std::shared_ptr<detail::HttpTicket> ticket_;
};

/// Answers one request, from any thread and at any time before HttpOptions::answer_timeout. It has one owner. If it is
/// destroyed without an answer, the client gets a 500.
class HttpReply {
   public:
    /// For the server.
    explicit HttpReply(std::shared_ptr<detail::HttpTicket> ticket) noexcept : ticket_(std::move(ticket)) {}
    /// Takes over the request. The source has none any more.
    HttpReply(HttpReply&&) noexcept = default;
    /// Same. The request that this object had gets a 500.
    HttpReply& operator=(HttpReply&& other) noexcept {
        HttpReply{std::move(other)}.ticket_.swap(ticket_);
        return *this;
    }
    HttpReply(const HttpReply&) = delete;
    HttpReply& operator=(const HttpReply&) = delete;
    ~HttpReply() {
        if (ticket_) (void)within_memory([&] { (void)ticket_->fail("the reply was destroyed"); });
    }

    /// Answers. The result is `queued` if the answer is on its way; `closed` if the client has gone, its time is over,
    /// the server has stopped, or an answer was given before; `dropped` if there is no memory to pass it on, and then
    /// it may be called again. An answer with a status below 200 becomes a 500.
    SendStatus operator()(HttpResponse response) {
        return settle(ticket_ ? ticket_->answer(std::move(response)) : SendStatus::closed);
    }
    /// The program cannot answer, because of `why`, which is logged: the client gets a 500. The result is the same.
    SendStatus fail(std::string why) { return settle(ticket_ ? ticket_->fail(std::move(why)) : SendStatus::closed); }
    /// Begins an answer of which the program sends the body piece by piece. Its first bytes are those of `head`. With a
    /// `length` the client is told it, and the body must have as many bytes; otherwise it is sent in chunks or, in
    /// HTTP/1.0, until the stream ends. Nothing limits the time of the program from now on. The result has no client
    /// if operator() would not be `queued`.
    HttpStream stream(HttpResponse head, std::optional<std::uint64_t> length = std::nullopt) {
        auto ticket = ticket_;
        const auto status = settle(ticket ? ticket->begin(std::move(head), length) : SendStatus::closed);
        return status == SendStatus::queued ? HttpStream{std::move(ticket)} : HttpStream{};
    }
    /// Calls `callback` once if the client goes away before the answer is complete; see HttpStream::on_gone().
    SendStatus on_gone(UniqueFunction<void()> callback) {
        return ticket_ ? ticket_->on_gone(std::move(callback)) : SendStatus::closed;
    }
    /// True if the client has gone or its time is over, or if an answer was given. A client that has sent more than its
    /// request is not read meanwhile, so its end is not noticed before its time is over.
    bool is_gone() const noexcept { return !ticket_ || ticket_->is_gone(); }

   private:
    /// What was dropped may be tried again.
    SendStatus settle(SendStatus status) noexcept {
        if (status != SendStatus::dropped) ticket_.reset();
        return status;
    }

    std::shared_ptr<detail::HttpTicket> ticket_;
};

/// The body of a request, piece by piece. Nothing more of it is received until the program takes the next piece. It may
/// be destroyed at any time: what was not taken is then not read, and the stream ends after the answer.
class HttpUpload {
   public:
    /// For the server.
    explicit HttpUpload(std::shared_ptr<detail::HttpTicket> ticket) noexcept : ticket_(std::move(ticket)) {}

    /// Calls `taker` exactly once with the next piece, on the thread of the connection; it must not block, and may call
    /// read() again. It is called with HttpPiece::is_gone if the client goes away, and also if the answer was given
    /// before the end of the body. Any thread may ask, for one piece at a time. `closed`: it is not called, also
    /// because the last piece was taken. `refused`: another one waits, or `taker` is empty.
    SendStatus read(UniqueFunction<void(HttpPiece&&)> taker) {
        return ticket_ ? ticket_->take_piece(std::move(taker)) : SendStatus::closed;
    }
    /// True if the client has gone, or if the request was answered.
    bool is_gone() const noexcept { return !ticket_ || ticket_->is_gone(); }

   private:
    std::shared_ptr<detail::HttpTicket> ticket_;
};

}  // namespace wsserver
