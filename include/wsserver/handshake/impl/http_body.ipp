// The framing of requests, and the reader of their bodies.
#pragma once

#include "wsserver/handshake/http_body.hpp"

#include <algorithm>
#include <limits>

#include "wsserver/handshake/detail/http_text.hpp"

namespace wsserver {

namespace {

/// Calls f(element) for each element of all fields with this name, trimmed and not empty (RFC 9110 §5.6.1.2). Returns
/// the number of fields.
template <class F>
std::size_t for_each_element(const HttpRequest& request, std::string_view name, F&& f) {
    std::size_t fields = 0;
    for (const HttpField& field : request.fields) {
        if (!http_text::equal_without_case(field.name, name)) continue;
        ++fields;
        std::string_view rest{field.value};
        while (!rest.empty()) {
            const auto comma = std::min(rest.find(','), rest.size());
            const auto element = http_text::trimmed(rest.substr(0, comma));
            if (!element.empty()) f(element);
            rest.remove_prefix(std::min(comma + 1, rest.size()));
        }
    }
    return fields;
}

bool names(const HttpRequest& request, std::string_view field, std::string_view word) {
    bool found = false;
    (void)for_each_element(request, field, [&](std::string_view element) {
        found = found || http_text::equal_without_case(element, word);
    });
    return found;
}

/// RFC 9110 §8.6: "Content-Length = 1*DIGIT". Nothing if it is anything else, or too large.
std::optional<std::uint64_t> parse_length(std::string_view digits) noexcept {
    if (digits.empty()) return std::nullopt;
    std::uint64_t length = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return std::nullopt;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (length > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) return std::nullopt;
        length = length * 10 + digit;
    }
    return length;
}

Unexpected<BodyError> bad_length(std::string_view text) { return Unexpected{BodyError{Errc::bad_body_length, text}}; }

/// RFC 9112 §6.1. Precondition: there is a Transfer-Encoding field.
Result<BodyFraming, BodyError> chunked_framing(const HttpRequest& request) noexcept {
    std::size_t codings = 0, chunked = 0;
    bool is_last = false;
    (void)for_each_element(request, "Transfer-Encoding", [&](std::string_view coding) {
        is_last = http_text::equal_without_case(coding, "chunked");
        ++codings;
        if (is_last) ++chunked;
    });
    // "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the
    // message as if the framing is faulty".
    if (request.version < 11) return bad_length("Transfer-Encoding in HTTP/1.0");
    // §6.3: "If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the
    // final encoding, the message body length cannot be determined reliably; the server MUST respond with the 400".
    if (!is_last) return bad_length("Transfer-Encoding must end with chunked");
    if (chunked > 1) return bad_length("Transfer-Encoding names chunked more than once");
    if (codings > 1) {
        return Unexpected{BodyError{Errc::unknown_transfer_coding, "only chunked is supported"}};
    }
    return BodyFraming{.is_chunked = true};
}

}  // namespace

Result<BodyFraming, BodyError> body_framing(const HttpRequest& request) noexcept {
    const HttpField* length = nullptr;
    std::size_t lengths = 0;
    bool has_coding = false;
    for (const HttpField& field : request.fields) {
        if (http_text::equal_without_case(field.name, "Content-Length")) {
            length = &field;
            ++lengths;
        } else if (http_text::equal_without_case(field.name, "Transfer-Encoding")) {
            has_coding = true;
        }
    }
    // §6.1: such a message "might indicate an attempt to perform request smuggling".
    if (has_coding && lengths > 0) return bad_length("there is a Content-Length with a Transfer-Encoding");
    if (has_coding) return chunked_framing(request);
    if (lengths == 0) return BodyFraming{};
    if (lengths > 1) return bad_length("there is more than one Content-Length");
    const auto parsed = parse_length(length->value);
    if (!parsed) return bad_length("Content-Length is not a number");
    return BodyFraming{.length = *parsed};
}

bool keeps_alive(const HttpRequest& request) noexcept {
    if (request.version < 11)
        return names(request, "Connection", "keep-alive") && !names(request, "Connection", "close");
    return !names(request, "Connection", "close");
}

Result<bool, BodyError> expects_continue(const HttpRequest& request) noexcept {
    bool expected = false, unknown = false;
    const auto look = [&](std::string_view expectation) {
        http_text::equal_without_case(expectation, "100-continue") ? expected = true : unknown = true;
    };
    (void)for_each_element(request, "Expect", look);
    // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation."
    if (request.version < 11) return false;
    if (unknown) return Unexpected{BodyError{Errc::unknown_expectation, "only 100-continue is supported"}};
    return expected;
}

// --- Reader ---

BodyReader::BodyReader(BodyFraming framing, const HandshakeLimits& limits) noexcept
    : is_chunked_(framing.is_chunked),
      place_(framing.is_chunked   ? Place::size
             : framing.length > 0 ? Place::data
                                  : Place::ended),
      left_(framing.length),
      max_overhead_(limits.max_header) {}

BodyReader::Step BodyReader::next(Bytes& input) noexcept {
    while (place_ != Place::ended && place_ != Place::malformed) {
        if (input.empty()) return NeedMore{};
        if (place_ == Place::data) {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
            const Bytes data = input.first(size);
            input = input.subspan(size);
            left_ -= size;
            if (left_ == 0) place_ = is_chunked_ ? Place::data_cr : Place::ended;
            return Data{data};
        }
        const std::uint8_t byte = input.front();
        take(byte);
        if (place_ != Place::malformed) input = input.subspan(1);
    }
    if (place_ == Place::malformed) return Malformed{error_text_};
    return End{};
}

// RFC 9112 §7.1. As strict as HeadReader, for the same reason: a bare LF or CR, which others may take for a line end,
// is an error.
void BodyReader::take(std::uint8_t byte) noexcept {
    switch (place_) {
        case Place::size:
            return take_size(byte);
        case Place::size_space:
            return take_after_size(byte);
        case Place::extension:
            return take_extension(byte);
        case Place::size_lf:
            return byte == '\n' ? end_size_line() : fail("CR without LF after the size of a chunk");
        case Place::data_cr:
            return byte == '\r' ? void(place_ = Place::data_lf) : fail("a chunk is longer than its size");
        case Place::data_lf:
            if (byte != '\n') return fail("CR without LF after a chunk");
            digits_ = 0;
            place_ = Place::size;
            return;
        case Place::trailer:
        case Place::trailer_name:
        case Place::trailer_text:
            return take_trailer(byte);
        case Place::trailer_lf:
            return byte == '\n' ? void(place_ = Place::trailer) : fail("CR without LF in the trailer");
        case Place::last_lf:
            return byte == '\n' ? void(place_ = Place::ended) : fail("CR without LF at the end of the body");
        case Place::data:
        case Place::ended:
        case Place::malformed:
            return;
    }
}

namespace {

/// 0 to 15, or 16 if `byte` is not a hex digit.
constexpr unsigned chunk_digit(std::uint8_t byte) noexcept {
    if (byte >= '0' && byte <= '9') return static_cast<unsigned>(byte - '0');
    const auto lower = static_cast<std::uint8_t>(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? static_cast<unsigned>(lower - 'a' + 10) : 16;
}

/// RFC 9110 §5.5: a byte that a field value or a quoted text may have.
constexpr bool is_text_byte(std::uint8_t byte) noexcept { return (byte >= 0x20 && byte != 0x7F) || byte == '\t'; }

}  // namespace

void BodyReader::take_size(std::uint8_t byte) noexcept {
    const unsigned digit = chunk_digit(byte);
    if (digit < 16) {
        // 16^15 is below 2^64, so that no size overflows, whatever its digits are.
        if (digits_ == 15) return fail("the size of a chunk has more than 15 digits");
        left_ = left_ * 16 + digit;
        ++digits_;
        return;
    }
    if (digits_ == 0) return fail("a chunk does not begin with its size");
    byte == '\r' ? void(place_ = Place::size_lf) : take_after_size(byte);
}

/// "chunk-ext = *( BWS ";" BWS chunk-ext-name [...] )": blanks alone do not make an extension.
void BodyReader::take_after_size(std::uint8_t byte) noexcept {
    if (byte == ';') {
        place_ = Place::extension;
    } else if (byte == ' ' || byte == '\t') {
        place_ = Place::size_space;
    } else {
        return fail("a character after the size of a chunk");
    }
    count_overhead();
}

void BodyReader::take_extension(std::uint8_t byte) noexcept {
    if (byte == '\r') {
        place_ = Place::size_lf;
    } else if (!is_text_byte(byte)) {
        fail("a control character in a chunk extension");
    } else {
        count_overhead();
    }
}

void BodyReader::end_size_line() noexcept {
    overhead_ -= static_cast<std::size_t>(std::min<std::uint64_t>(overhead_, left_));
    place_ = left_ > 0 ? Place::data : Place::trailer;
}

void BodyReader::take_trailer(std::uint8_t byte) noexcept {
    count_overhead();
    if (place_ == Place::malformed) return;
    if (byte == '\r') {
        if (place_ == Place::trailer_name) return fail("a trailer field without a colon");
        place_ = place_ == Place::trailer ? Place::last_lf : Place::trailer_lf;
    } else if (place_ == Place::trailer_text) {
        if (!is_text_byte(byte)) fail("a control character in the trailer");
    } else if (byte == ':' && place_ == Place::trailer_name) {
        place_ = Place::trailer_text;
    } else {
        const auto name = static_cast<char>(byte);
        if (!http_text::is_token({&name, 1})) return fail("a trailer field without a valid name");
        place_ = Place::trailer_name;
    }
}

/// Extensions and trailers mean nothing to us. A peer could otherwise send them without end, or a byte of body with
/// each long extension.
void BodyReader::count_overhead() noexcept {
    if (++overhead_ > max_overhead_) fail("the chunk extensions and trailer fields are too long");
}

void BodyReader::fail(std::string_view why) noexcept {
    place_ = Place::malformed;
    error_text_ = why;
}

}  // namespace wsserver
