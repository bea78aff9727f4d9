// The way between a program, which answers a request from any thread, and the connection that waits for the answer.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/unique_function.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/http/request.hpp"
#include "wsserver/connection/limits.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsserver {

/// A piece of a request's body; see HttpUpload.
struct HttpPiece {
    std::string bytes{};   ///< the next bytes of the body; may be empty
    bool is_last = false;  ///< the body ends after them
    bool is_gone = false;  ///< the client is gone, or its request was refused: the body is not complete
};

namespace detail {

/// What a program has asked for since its connection last looked.
struct HttpAsked {
    std::optional<HttpResponse> response{};          ///< the whole answer, or the beginning of a streamed one
    bool streams = false;                            ///< `response` is the beginning of a streamed one
    std::optional<std::uint64_t> length{};           ///< of all that is streamed, if the program knows it
    std::optional<std::string> failure{};            ///< why there is no answer
    std::string bytes{};                             ///< the next bytes of a streamed answer
    bool ended = false;                              ///< the streamed answer ends after `bytes`
    bool aborted = false;                            ///< it ends too early
    UniqueFunction<void(HttpPiece&&)> take_piece{};  ///< takes the next piece of the body
};

/// Shared by the objects of the program and by the connection.
class HttpTicket {
   public:
    using Callback = std::shared_ptr<UniqueFunction<void()>>;

    /// `limits` are those of a streamed answer: its bytes count as in a send queue.
    explicit HttpTicket(const SendQueueLimits& limits) noexcept : limits_(limits) {}
    HttpTicket(const HttpTicket&) = delete;
    HttpTicket& operator=(const HttpTicket&) = delete;
    virtual ~HttpTicket() = default;

    // The program, on any thread. The results are those of HttpReply, HttpStream and HttpUpload.

    SendStatus answer(HttpResponse&& response);
    SendStatus fail(std::string&& why);
    SendStatus begin(HttpResponse&& head, std::optional<std::uint64_t> length);
    SendStatus write(Bytes bytes);
    SendStatus end();
    SendStatus abort();
    SendStatus take_piece(UniqueFunction<void(HttpPiece&&)> taker);
    SendStatus on_gone(UniqueFunction<void()> callback);
    SendStatus on_drain(UniqueFunction<void()> callback);
    std::size_t queued() const;
    bool is_gone() const noexcept { return is_gone_.load(std::memory_order_relaxed); }

    /// The request that waits for a worker. Null if the client does not wait any more, or if it was taken.
    std::unique_ptr<const RoutedRequest> take_question() noexcept;
    /// True if a worker has the request, which it keeps also when the client does not wait any more. Any thread.
    bool is_question_taken() const noexcept { return is_question_taken_.load(std::memory_order_relaxed); }

    // The connection, on its thread.

    /// A worker will answer the request.
    void ask(RoutedRequest&& question) { question_ = std::make_unique<const RoutedRequest>(std::move(question)); }
    /// The program is about to get a piece of the body on the thread of the connection, which calls take() after that.
    /// Nothing that is asked meanwhile needs to wake it. At first it is so. After the last piece, no other one is
    /// taken.
    void begin_call(const HttpPiece& piece) noexcept;
    /// What was asked. From now on, the program wakes the connection.
    HttpAsked take();
    /// The connection holds `bytes` of the answer that the peer's system has not taken. Returns the function of
    /// on_drain() if it is due.
    Callback note_queued(std::size_t bytes);
    /// The connection does not wait any more. Returns the function of on_gone(), if it is due, and the one that waits
    /// for a piece.
    std::pair<Callback, UniqueFunction<void(HttpPiece&&)>> void_it(bool is_answered) noexcept;

   private:
    /// Makes the connection call take() in a later turn. Any thread.
    virtual SendStatus wake() = 0;
    SendStatus wake_once();
    template <class F>
    SendStatus put(F&& change);
    /// Over the hard limit nothing more is taken, so the mark is not above it.
    std::size_t mark() const noexcept { return std::min(limits_.high_mark, limits_.hard_limit); }
    bool is_low() const noexcept { return asked_.bytes.size() + in_connection_ <= mark() / 2; }

    const SendQueueLimits limits_;
    std::atomic<bool> is_gone_{false};
    std::atomic<bool> is_question_taken_{false};
    mutable std::mutex mutex_;
    HttpAsked asked_;
    bool is_woken_ = true;
    bool has_taker_ = false;       ///< a piece is awaited
    bool has_last_piece_ = false;  ///< the program has all of the body
    bool has_ended_ = false;       ///< the streamed answer
    bool was_over_mark_ = false;   ///< the function of on_drain() is due when little is queued
    std::size_t in_connection_ = 0;
    Callback gone_;
    Callback drained_;
    std::unique_ptr<const RoutedRequest> question_;
};

}  // namespace detail
}  // namespace wsserver
