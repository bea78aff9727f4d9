// The HTTP requests of one connection, one at a time: bytes and the program's answers in, bytes out. It knows no stream
// and no clock.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/memory_account.hpp"
#include "wsserver/base/unique_function.hpp"
#include "wsserver/connection/connection_counters.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/connection/connection_options.hpp"
#include "wsserver/connection/http/request.hpp"
#include "wsserver/connection/http/routes.hpp"
#include "wsserver/connection/http/ticket.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/http_body.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsserver {

/// The connection that carries the requests.
class HttpCarrier {
   public:
    /// Sends bytes, which are valid until it returns.
    virtual void send(std::string_view bytes) = 0;
    /// Sends a long text.
    virtual void send_long(std::string&& bytes) = 0;
    /// The Date field of an answer that begins now. Valid until the next call.
    virtual std::string_view date() = 0;
    /// The longest body that the memory of all connections has space for, in bytes.
    virtual std::size_t longest_body() = 0;
    /// The response of on_http() to a GET or HEAD request that no route answers.
    virtual std::optional<HttpResponse> answer(const HttpRequest& request) = 0;

   protected:
    ~HttpCarrier() = default;
};

/// Used on the thread of its connection. Each member that returns a Next may send, and may throw std::bad_alloc; then
/// the connection must end.
class HttpExchange {
   public:
    /// What the connection must do.
    enum class Next : std::uint8_t {
        body,     ///< pass more bytes of the body to receive()
        program,  ///< wait until the program wakes it, and then call serve()
        next,     ///< the answer was sent; the next request may follow
        close,    ///< the answer was sent; the stream ends
        refuse,   ///< refusal() must be sent; then the stream ends
        cut,      ///< the stream must be cut: its answer is not complete
    };
    /// Why the request is refused.
    struct Refusal {
        Errc error{};             ///< the rule
        std::string_view text{};  ///< more about it; valid forever
    };
    /// What all exchanges of a server share. It must outlive them.
    struct Server {
        const HttpRoutes& routes;          ///< of the server
        const ConnectionOptions& options;  ///< of all connections
        const std::string& name;           ///< the Server field
        ConnectionCounters& counts;        ///< of all connections
    };

    /// `account` counts what it holds; it may be null.
    HttpExchange(const Server& server, ConnectionId id, MemoryAccount* account) noexcept
        : server_(server), id_(id), charge_(account) {}
    HttpExchange(const HttpExchange&) = delete;
    HttpExchange& operator=(const HttpExchange&) = delete;
    ~HttpExchange() { abandon(); }

    /// The address of the client from now on.
    void set_peer(std::string peer) noexcept { request_.peer_ = std::move(peer); }
    /// The header of a request was received. `turned_away`: why the server answers only what takes no time.
    /// Precondition: the last result was `next`, or there was none.
    Next begin(ServerHandshake::Plain&& plain, std::optional<Errc> turned_away, HttpCarrier& carrier);
    /// Reads the body from the front of `input`, and removes what it has read. Precondition: the last result was
    /// `body`.
    Next receive(Bytes& input, HttpCarrier& carrier);
    /// Does what the program has asked for. Precondition: waits_for_program() or the last result was `body`.
    Next serve(HttpCarrier& carrier);
    /// `queued` bytes of all that was sent are not taken by the peer's system. May call the program.
    void note_queued(std::size_t queued);
    /// The client is gone, or its request is refused: tells the program.
    void abandon() noexcept;
    /// No request follows on the stream, if the answer has not begun.
    void close_soon() noexcept { keeps_alive_ = false; }

    /// Valid after `refuse`.
    const Refusal& refusal() const noexcept { return refusal_; }
    /// True from begin() until the answer was sent.
    bool is_busy() const noexcept { return state_ != State::idle; }
    /// True if no more of the body may be received before the program asks for it, or before it answers.
    bool waits_for_program() const noexcept {
        return state_ == State::program || state_ == State::stream || (state_ == State::upload && !taker_);
    }
    /// True while an answer is streamed.
    bool is_streaming() const noexcept { return streams_; }
    /// True while the whole body is read, which is kept until the answer.
    bool is_reading_whole() const noexcept { return state_ == State::body; }
    /// True if the body is received in pieces.
    bool is_upload() const noexcept { return state_ == State::upload; }
    /// True if the last request was HEAD.
    bool is_head() const noexcept { return method_is_head_; }
    /// The request, whose memory may be used again. Precondition: !is_busy().
    HttpRequest take_request() noexcept { return std::move(request_.request_); }
    /// The same, to look at.
    const HttpRequest& request() const noexcept { return request_.request_; }
    /// Bytes that are free when it is destroyed.
    std::size_t held() const noexcept { return is_with_worker() ? 0 : charge_.bytes(); }
    /// Bytes that a worker has, so that they are not.
    std::size_t waiting() const noexcept { return is_with_worker() ? charge_.bytes() : 0; }

   private:
    enum class State : std::uint8_t {
        idle,
        body,     ///< reads the whole body
        program,  ///< waits for the answer; there is no body, or all of it was read
        upload,   ///< passes the body on in pieces, and waits for the answer
        stream,   ///< the answer is streamed, and no more of the body is wanted
    };

    std::size_t max_body(HttpCarrier& carrier) const;
    Next refuse(Errc error, std::string_view text = {});
    Next answer_unrouted(HttpCarrier& carrier);
    Next ask(HttpCarrier& carrier);
    Next respond(HttpResponse&& response, HttpCarrier& carrier);
    Next respond_with(HttpResponse&& response, HttpCarrier& carrier);
    Next read_whole(Bytes& input, HttpCarrier& carrier);
    void make_room(std::size_t bytes);
    Next read_piece(Bytes& input, HttpCarrier& carrier);
    void pass_on(HttpPiece&& piece);
    void begin_stream(HttpResponse&& head, std::optional<std::uint64_t> length, HttpCarrier& carrier);
    bool send_part(std::string&& bytes, HttpCarrier& carrier);
    Next end_stream(HttpCarrier& carrier);
    Next finish() noexcept;
    void keep_charge();
    std::string described() const;
    bool is_with_worker() const noexcept { return ticket_ && ticket_->is_question_taken(); }
    ResponseFraming::Stream stream_after() const noexcept;

    const Server server_;
    const ConnectionId id_;
    State state_ = State::idle;
    bool keeps_alive_ = false;
    bool expects_continue_ = false;
    bool body_ended_ = true;
    bool method_is_head_ = false;
    bool is_http_10_ = false;
    bool streams_ = false;                 ///< the answer has begun
    bool is_chunked_ = false;              ///< the streamed answer
    bool sends_no_body_ = false;           ///< the same: its bytes are dropped, because it is one to HEAD
    std::optional<std::uint64_t> left_{};  ///< bytes of the streamed answer that the client still expects
    std::uint64_t requests_ = 0;
    RoutedRequest request_;
    const HttpRoutes::Route* route_ = nullptr;
    BodyReader body_;
    std::size_t longest_body_ = 0;                ///< what the whole body has at most
    std::shared_ptr<detail::HttpTicket> ticket_;  ///< while the program may answer or stream
    UniqueFunction<void(HttpPiece&&)> taker_;
    std::string out_;  ///< keeps its memory
    Refusal refusal_;
    MemoryCharge charge_;
};

}  // namespace wsserver
