// The bodies of HTTP messages: where those of requests end (RFC 9112 §6), and a reader that takes bytes cut anywhere.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
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

/// Where the body of a request ends.
struct BodyFraming {
    bool is_chunked = false;   ///< at the last chunk; then `length` is 0
    std::uint64_t length = 0;  ///< otherwise after this many bytes

    /// True if there is no body. A chunked body may turn out to be empty, but has bytes on the wire.
    bool is_empty() const noexcept { return !is_chunked && length == 0; }
    bool operator==(const BodyFraming&) const = default;
};

/// A rule that the fields of a request break.
struct BodyError {
    Errc error;             ///< bad_body_length, unknown_transfer_coding or unknown_expectation
    std::string_view text;  ///< what is wrong; valid forever
};

/// Where the body of `request` ends. Repairs nothing: what two readers can understand in different ways is an error,
/// because it allows request smuggling (RFC 9112 §11.2).
///
/// errors  bad_body_length: Content-Length with Transfer-Encoding, more than one Content-Length or a list, one that is
///         not a number of digits only; Transfer-Encoding in HTTP/1.0, or one that does not end with chunked
///         unknown_transfer_coding: codings besides chunked
/// RFC 9112 §6
Result<BodyFraming, BodyError> body_framing(const HttpRequest& request) noexcept;

/// Whether the stream may carry another request after the response (RFC 9112 §9.3): in HTTP/1.1 unless the client sends
/// `Connection: close`, in HTTP/1.0 only with `Connection: keep-alive`.
bool keeps_alive(const HttpRequest& request) noexcept;

/// Whether the client waits for a 100 before it sends the body. An error is unknown_expectation. False in HTTP/1.0.
/// RFC 9110 §10.1.1
Result<bool, BodyError> expects_continue(const HttpRequest& request) noexcept;

/// Reads one body. A value; it copies nothing.
class BodyReader {
   public:
    /// The body is not complete.
    struct NeedMore {};
    /// The next bytes of the body; at least one. Valid as long as the input.
    struct Data {
        Bytes bytes;  ///< a part of the input
    };
    /// The body is complete. What is left of the input belongs to the next request.
    struct End {};
    /// The body breaks the chunked coding. Nothing after it can be understood.
    struct Malformed {
        std::string_view text;  ///< what is wrong; valid forever
    };
    /// The result of next().
    using Step = std::variant<NeedMore, Data, End, Malformed>;

    /// `limits` are those of all trailer fields together, and of the lines that begin a chunk.
    explicit BodyReader(BodyFraming framing = {}, const HandshakeLimits& limits = {}) noexcept;

    /// Reads from the front of `input`, cut anywhere, and removes what it has read. Trailer fields are checked and
    /// dropped (RFC 9112 §7.1.2). After End and Malformed it returns the same again.
    Step next(Bytes& input) noexcept;
    /// True after End: nothing of the body is still to come.
    bool has_ended() const noexcept { return place_ == Place::ended; }
    /// How many bytes of the body are still to come, as far as is known: the whole rest, or that of this chunk.
    std::uint64_t left() const noexcept { return left_; }

   private:
    enum class Place : std::uint8_t {
        size,          ///< in the digits of a chunk's size
        size_space,    ///< in the blanks after them
        extension,     ///< in the extensions, which follow a semicolon
        size_lf,       ///< after the CR that ends the line
        data,          ///< in a chunk, or in a body of known length
        data_cr,       ///< after a chunk
        data_lf,       ///< after the CR that follows a chunk
        trailer,       ///< at the start of a trailer line
        trailer_name,  ///< in the name of a trailer field
        trailer_text,  ///< in its value
        trailer_lf,    ///< after the CR that ends it
        last_lf,       ///< after the CR of the empty line
        ended,
        malformed
    };

    void take(std::uint8_t byte) noexcept;
    void take_size(std::uint8_t byte) noexcept;
    void take_after_size(std::uint8_t byte) noexcept;
    void take_extension(std::uint8_t byte) noexcept;
    void take_trailer(std::uint8_t byte) noexcept;
    void end_size_line() noexcept;
    void count_overhead() noexcept;
    void fail(std::string_view why) noexcept;

    bool is_chunked_;
    Place place_;
    std::uint8_t digits_ = 0;   ///< of this chunk's size
    std::uint64_t left_;        ///< bytes of this chunk, or of the body
    std::size_t overhead_ = 0;  ///< bytes of extensions and trailers, beyond those of the chunks so far
    std::size_t max_overhead_;
    std::string_view error_text_{};
};

}  // namespace wsserver
