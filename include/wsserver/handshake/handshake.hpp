// The opening handshake of both roles (RFC 6455 §4): bytes in, a verdict and bytes out. It does no I/O and reads no
// clock.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/handshake/http_body.hpp"
#include "wsserver/handshake/limits.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsserver {

namespace detail {

/// Collects the header of an HTTP message up to its empty line. Reads each byte once.
class HeadReader {
   public:
    enum class State : std::uint8_t { reading, complete, malformed, too_large, too_many_fields };

    explicit HeadReader(const HandshakeLimits& limits) noexcept : limits_(limits) {}

    /// Takes bytes until the state is no longer `reading`. Returns the number of bytes taken.
    std::size_t take(Bytes bytes);
    State state() const noexcept { return state_; }
    /// True if it has taken no byte yet.
    bool is_empty() const noexcept { return head_.empty(); }
    /// The reason for `malformed`. The result is valid forever.
    std::string_view error_text() const noexcept { return error_text_; }
    /// The bytes so far. In state `complete`: all lines, including the empty one.
    std::string& head() noexcept { return head_; }
    std::string_view head() const noexcept { return head_; }
    /// Begins another header. The bytes of all headers together count towards the limit.
    void restart() noexcept;
    /// Begins the header of another message, with limits of its own. Keeps at most `kept` bytes of memory.
    void begin_again(std::size_t kept) noexcept;

   private:
    enum class Place : std::uint8_t { line_start, in_line, after_cr, after_last_cr };

    void step(std::uint8_t byte) noexcept;
    void fail(std::string_view why) noexcept;
    void end_line() noexcept;

    HandshakeLimits limits_;
    std::size_t before_ = 0;  // bytes of the headers before restart()
    std::size_t lines_ = 0;
    State state_ = State::reading;
    Place place_ = Place::line_start;
    std::string_view error_text_{};
    std::string head_;
};

}  // namespace detail

// --- server ---

/// What a client offers in its opening handshake.
struct Offer {
    HttpRequest request{};                    ///< the whole request
    std::vector<std::string> subprotocols{};  ///< in the client's order of preference, distinct
    std::string origin{};                     ///< the Origin field as the browser sent it; empty if there was none
    std::string key{};                        ///< the Sec-WebSocket-Key field
};

/// Reads the client's request. A connection needs it only until the verdict. One thread at a time may use it.
class ServerHandshake {
   public:
    /// The request is not complete.
    struct NeedMore {};
    /// The request is invalid. Send `response`, then close the stream.
    struct Refused {
        Errc error;            ///< the rule that the request breaks
        std::string response;  ///< complete: refusal_response(), without its content for a HEAD request
        std::string detail{};  ///< what is wrong with the request, beyond the rule; may be empty
        std::string target{};  ///< as the client sent it, unchecked; empty if it was not received
    };
    /// The request satisfies §4.2.1. The caller decides whether to accept the client and with which subprotocol, and
    /// sends accept_response() or refusal_response().
    struct Upgrade {
        Offer offer;  ///< what the client asks for
    };
    /// A valid request that does not ask for a WebSocket: GET or HEAD without a body, or any after serve_http(). Its
    /// body follows. The caller sends http_response().
    struct Plain {
        HttpRequest request;            ///< what the client asks for
        BodyFraming body{};             ///< where its body ends
        bool keeps_alive = false;       ///< the client may send another request; only after serve_http()
        bool expects_continue = false;  ///< it waits for a 100 before it sends the body
    };
    /// The result of receive().
    using Verdict = std::variant<NeedMore, Upgrade, Plain, Refused>;

    /// `server_name` is the value of the Server field in refusals; empty: no such field.
    explicit ServerHandshake(const HandshakeLimits& limits, std::string_view server_name = {});

    /// From now on, plain requests may have any method, and a body. CONNECT needs a path: the tunnel that it otherwise
    /// asks for is refused.
    void serve_http() noexcept { serves_http_ = true; }

    /// Reads bytes from the client, cut anywhere. `date` is the value of the Date field in a refusal; empty: no such
    /// field. Precondition: all verdicts so far were NeedMore, or next_request() was called.
    Verdict receive(Bytes bytes, std::string_view date = {});
    /// How many bytes of the last receive() belonged to the header. The bytes after them are frames, or the body.
    std::size_t consumed() const noexcept { return consumed_; }
    /// After Plain, its body and its response: begins another request on the same stream. `spare` is a request whose
    /// memory may be used again.
    void next_request(HttpRequest spare = {});
    /// True if no byte of a request was received yet.
    bool is_empty() const noexcept { return reader_.is_empty(); }

   private:
    bool accepts_method(const HttpRequest& request) const noexcept;
    Verdict judge_plain(HttpRequest request) const;
    Refused refuse(Errc error, std::string_view detail = {}, bool head_request = false) const;
    Verdict judge(HttpRequest request) const;
    Verdict judge_upgrade(HttpRequest request) const;

    detail::HeadReader reader_;
    std::size_t consumed_ = 0;
    std::size_t max_target_;
    std::string server_name_;
    std::string_view date_{};  // during receive()
    bool serves_http_ = false;
    HttpRequest spare_{};
};

/// The 101 response that completes the opening handshake (§4.2.2).
///
/// subprotocol  one of the offer's, or empty for none
/// server_name  the value of the Server field; empty: no such field
/// fields       more fields, such as Set-Cookie; written as by http_response(). Those of the handshake, of the payload
///              and Server are left out
std::string accept_response(const Offer& offer, std::string_view subprotocol, std::string_view server_name,
                            std::span<const HttpField> fields = {});

/// A complete HTTP response that refuses a request: the status for `error`, the fields that this status requires, and
/// one line of text with the error's message and `detail`, if it is not empty. Close the stream after it.
/// `server_name` is that of accept_response(). The response to a `head_request` has no text. `date` is the value of the
/// Date field, such as `Sun, 06 Nov 1994 08:49:37 GMT`; empty: no such field.
std::string refusal_response(Errc error, std::string_view server_name, std::string_view detail = {},
                             bool head_request = false, std::string_view date = {});

/// The status of refusal_response(), 400 to 505.
unsigned http_status_for(Errc error) noexcept;

/// A complete HTTP response with Content-Length and `Connection: close`; without the body for a HEAD request. In field
/// values, control characters, such as CR and LF, become spaces, so that they cannot forge a field or a response.
/// Fields with an invalid name are left out. `server_name` is that of accept_response(), and `date` that of
/// refusal_response(); a Server or Date field of the response replaces them.
std::string http_response(const HttpResponse& response, const HttpRequest& request, std::string_view server_name,
                          std::string_view date = {});

/// How a response ends, and whether another one may follow it.
struct ResponseFraming {
    /// Where the body ends.
    enum class Body : std::uint8_t {
        none,         ///< there is none, whatever the request was: 204, 304
        length,       ///< after `length` bytes
        chunked,      ///< at the last chunk
        until_close,  ///< at the end of the stream
    };
    /// The Connection field.
    enum class Stream : std::uint8_t {
        close,     ///< `close`
        keep,      ///< none: an HTTP/1.1 client keeps the stream
        say_keep,  ///< `keep-alive`, for an HTTP/1.0 client
    };

    Body body = Body::none;         ///< see above
    std::uint64_t length = 0;       ///< with Body::length
    Stream stream = Stream::close;  ///< see above
};

/// Appends the header of a response, with its empty line. Fields are written as by http_response().
void append_response_head(std::string& out, const HttpResponse& response, const ResponseFraming& framing,
                          std::string_view server_name, std::string_view date = {});

/// True if a response with this status has no body (RFC 9110 §6.4.1).
constexpr bool has_no_body(unsigned status) noexcept { return status < 200 || status == 204 || status == 304; }

/// Whether the client cannot use a connection without a subprotocol: it offers some, and it is a browser, which sends
/// the Origin field. A browser fails the connection if the server declines all of them (WHATWG WebSockets §2).
inline bool needs_subprotocol(const Offer& offer) noexcept {
    return !offer.subprotocols.empty() && !offer.origin.empty();
}

/// The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key: base64 of the SHA-1 of the key and the RFC's GUID.
/// RFC 6455 §4.2.2 (5.4)
std::string sec_websocket_accept(std::string_view key);

// --- client ---

/// What a client sends in its opening handshake.
struct ClientRequest {
    std::string host{};                       ///< the Host field: `example.com`, `[::1]:8080`; no default port
    std::string target = "/";                 ///< path and query
    std::vector<std::string> subprotocols{};  ///< in order of preference, distinct tokens
    std::string origin{};                     ///< the Origin field; empty: no such field
    std::vector<HttpField> fields{};          ///< more fields, except those that the handshake sets
    std::array<std::uint8_t, 16> nonce{};     ///< new and unpredictable for each connection (§4.1)
};

/// Checks everything that a user can get wrong. An error is one line for the user.
Result<void, std::string> check_request(const ClientRequest& request);

/// Writes the request and reads the server's response. One thread at a time may use it.
class ClientHandshake {
   public:
    /// The response is not complete.
    struct NeedMore {};
    /// The response satisfies §4.1. Frames may follow.
    struct Accepted {
        std::string subprotocol;  ///< empty: none
        HttpResponse response;    ///< the status is 101; its fields, no body
    };
    /// The server refused, or the response is invalid. Close the stream. `response` is the part that was received: its
    /// status is 0 if there was no valid header, and its body is cut at 64 KiB.
    struct Rejected {
        Errc error;             ///< the rule that the response breaks, or unexpected_status for a refusal
        HttpResponse response;  ///< the part that was received
        std::string text;       ///< one line for the user
    };
    /// The result of receive().
    using Verdict = std::variant<NeedMore, Accepted, Rejected>;

    /// Precondition: check_request(request) succeeds.
    explicit ClientHandshake(ClientRequest request, const HandshakeLimits& limits = {});
    ~ClientHandshake();
    /// Takes over the handshake. The source may only be destroyed or assigned to then.
    ClientHandshake(ClientHandshake&&) noexcept;
    /// Same; the handshake that this object had is dropped.
    ClientHandshake& operator=(ClientHandshake&&) noexcept;

    /// The request. Send it first.
    std::string request() const;

    /// Reads bytes from the server, cut anywhere. Precondition: all verdicts so far were NeedMore.
    Verdict receive(Bytes bytes);
    /// How many bytes of the last receive() belonged to the response. The bytes after them are frames.
    std::size_t consumed() const noexcept { return consumed_; }

    /// Ends the handshake when the stream ends or the time is over. The result contains what was received so far.
    /// Precondition: all verdicts so far were NeedMore.
    Rejected receive_eof();

   private:
    struct Refusal;  // a response that refuses, while its body is received

    Verdict judge_head();
    Verdict judge_switch(HttpResponse response) const;
    Verdict read_body(Bytes bytes);
    Rejected reject_with_response();

    ClientRequest request_;
    detail::HeadReader reader_;
    std::size_t consumed_ = 0;
    std::unique_ptr<Refusal> refusal_;
};

}  // namespace wsserver
