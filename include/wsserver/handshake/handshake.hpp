// The opening handshake of both roles (RFC 6455 §4): bytes in, a verdict and bytes out. No I/O, no clock.
#pragma once

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
#include "wsserver/handshake/limits.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsserver {

namespace detail {

/// Collects the header of an HTTP message up to its empty line, looking once at each byte.
class HeadReader {
   public:
    enum class State : std::uint8_t { reading, complete, malformed, too_large, too_many_fields };

    explicit HeadReader(const HandshakeLimits& limits) noexcept : limits_(limits) {}

    /// Takes bytes until the state is no longer `reading`; returns how many.
    std::size_t take(Bytes bytes);
    State state() const noexcept { return state_; }
    /// Of the first byte that was wrong. Lives for ever.
    std::string_view complaint() const noexcept { return complaint_; }
    /// Complete: all lines and the empty one.
    std::string& head() noexcept { return head_; }
    /// To read another one; the bytes of all count towards the limit.
    void restart() noexcept;

   private:
    enum class Place : std::uint8_t { line_start, in_line, after_cr, after_last_cr };

    void step(std::uint8_t byte) noexcept;
    void complain(std::string_view why) noexcept;
    void end_line() noexcept;

    HandshakeLimits limits_;
    std::size_t before_ = 0;  // bytes of earlier heads
    std::size_t lines_ = 0;
    State state_ = State::reading;
    Place place_ = Place::line_start;
    std::string_view complaint_{};
    std::string head_;
};

}  // namespace detail

// --- the server's side ---

/// What a client asks for.
struct Offer {
    HttpRequest request{};
    std::vector<std::string> subprotocols{};  ///< in the client's order of preference, distinct
    std::string origin{};                     ///< as the browser sent it; empty if there was none
    std::string key{};                        ///< Sec-WebSocket-Key
};

/// Reads the client's request. One for each connection in its opening; afterwards it is not needed any more.
class ServerHandshake {
   public:
    struct NeedMore {};
    /// Send `response`, then close the stream.
    struct Refused {
        Errc error;
        std::string response;
    };
    /// Everything of §4.2.1 holds. Who may come in and which subprotocol it gets is decided above: then
    /// accept_response() or refusal_response() is sent.
    struct Upgrade {
        Offer offer;
    };
    /// A valid GET or HEAD that asks for no WebSocket.
    struct Plain {
        HttpRequest request;
    };
    using Verdict = std::variant<NeedMore, Upgrade, Plain, Refused>;

    /// `server_name` is for the Server field of refusals; empty: none.
    explicit ServerHandshake(const HandshakeLimits& limits, std::string_view server_name = {});

    /// Takes what came from the client, cut anywhere. Precondition: all verdicts so far were NeedMore.
    Verdict receive(Bytes bytes);
    /// How many bytes of the last receive() belonged to the request; those behind it are frames.
    std::size_t consumed() const noexcept { return consumed_; }

   private:
    Refused refuse(Errc error, std::string_view detail = {}, bool head_request = false) const;
    Verdict judge(HttpRequest request) const;
    Verdict judge_upgrade(HttpRequest request) const;

    detail::HeadReader reader_;
    std::size_t consumed_ = 0;
    std::string server_name_;
};

/// The 101 that ends the opening handshake (§4.2.2). `subprotocol`: one of the offer's, or empty for none.
std::string accept_response(const Offer& offer, std::string_view subprotocol, std::string_view server_name);

/// A whole HTTP answer: the status that fits `error`, what the status demands besides, and a line of text: the
/// error's message, and `detail` if there is one. The stream is to be closed behind it.
std::string refusal_response(Errc error, std::string_view server_name, std::string_view detail = {});

/// The status that refusal_response() gives, 400 to 503.
unsigned http_status_for(Errc error) noexcept;

/// A whole HTTP answer with Content-Length and `Connection: close`; to a HEAD request without its body. Bytes
/// that could forge a further field or answer (CR, LF, other control characters) become spaces.
std::string http_response(const HttpResponse& response, const HttpRequest& request, std::string_view server_name);

/// Whether a page of that origin may come in (§10.2): there is no Origin field (it's no browser), it is of the
/// Host that the client asked for, or it is listed. Default ports may stand or not, case doesn't matter, `*` lists
/// all. `null` (a sandboxed page, a local file) is foreign unless listed.
bool origin_allowed(const Offer& offer, std::span<const std::string> allowed_origins);

/// Whether `text` can stand in a list of allowed origins: `*`, `null`, or `SCHEME://HOST[:PORT]` and nothing more.
bool is_origin(std::string_view text) noexcept;

/// §4.2.2 (5.4): base64 of SHA-1 of key and the RFC's GUID.
std::string sec_websocket_accept(std::string_view key);

// --- the client's side ---

struct ClientRequest {
    std::string host{};                       ///< as in Host: `example.com`, `[::1]:8080`; without the default port
    std::string target = "/";                 ///< path and query
    std::vector<std::string> subprotocols{};  ///< in order of preference, distinct tokens
    std::string origin{};                     ///< empty: none
    std::vector<HttpField> fields{};          ///< further ones, none of the handshake's own
    std::array<std::uint8_t, 16> nonce{};     ///< fresh and unpredictable for each connection (§4.1)
};

/// What is wrong with it, in words for the user, if anything is.
Result<void, std::string> check_request(const ClientRequest& request);

/// Asks, and reads the server's answer.
class ClientHandshake {
   public:
    struct NeedMore {};
    /// Everything of §4.1 holds; frames may follow.
    struct Accepted {
        std::string subprotocol;  ///< empty: none
        HttpResponse response;
    };
    /// Close the stream. `response` has what came: status 0 if there was no HTTP answer, the body cut at 64 KiB.
    struct Rejected {
        Errc error;
        HttpResponse response;
        std::string text;  ///< one line for the user
    };
    using Verdict = std::variant<NeedMore, Accepted, Rejected>;

    /// Precondition: check_request(request) has found nothing.
    explicit ClientHandshake(ClientRequest request, const HandshakeLimits& limits = {});
    ~ClientHandshake();
    ClientHandshake(ClientHandshake&&) noexcept;
    ClientHandshake& operator=(ClientHandshake&&) noexcept;

    /// To be sent first.
    std::string request() const;

    /// Takes what came from the server, cut anywhere. Precondition: all verdicts so far were NeedMore.
    Verdict receive(Bytes bytes);
    /// How many bytes of the last receive() belonged to the answer; those behind it are frames.
    std::size_t consumed() const noexcept { return consumed_; }

    /// Nothing more will come (the end of the stream, or patience's end): what can be said by now.
    /// Precondition: as receive().
    Rejected receive_eof();

   private:
    struct Refusal;  // a refusing answer whose body is still coming

    Verdict judge_head();
    Verdict judge_switch(HttpResponse response) const;
    Verdict read_body(Bytes bytes);
    Rejected refused_with_what_came();

    ClientRequest request_;
    detail::HeadReader reader_;
    std::size_t consumed_ = 0;
    std::unique_ptr<Refusal> refusal_;
};

}  // namespace wsserver
