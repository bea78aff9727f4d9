#include "wsserver/handshake/http_body.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;

namespace {

HttpRequest request_of(std::vector<HttpField> fields, unsigned version = 11) {
    return {.method = "POST", .target = "/", .version = version, .fields = std::move(fields)};
}

/// `none`, `chunked`, the length, or the error and its text.
std::string framing_of(std::vector<HttpField> fields, unsigned version = 11) {
    const auto framing = body_framing(request_of(std::move(fields), version));
    if (!framing) {
        return (framing.error().error == Errc::unknown_transfer_coding ? "501 " : "400 ") +
               std::string{framing.error().text};
    }
    return framing->is_empty() ? "none" : framing->is_chunked ? "chunked" : std::to_string(framing->length);
}

/// What was read of a body, and how it ended.
struct Read {
    std::string body{};
    std::string end = "more";  ///< or `end`, or the text of the error
    std::string rest{};        ///< bytes after the body

    bool operator==(const Read&) const = default;
};

Read read(std::string_view text, BodyFraming framing, const std::vector<std::size_t>& cuts = {},
          const HandshakeLimits& limits = {}) {
    BodyReader reader{framing, limits};
    Read result;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : text.size();
        Bytes input = bytes_of(text.substr(begin, end - begin));
        begin = end;
        for (bool more = true; more;) {
            const auto step = reader.next(input);
            more = std::holds_alternative<BodyReader::Data>(step);
            if (more) result.body += text_of(std::get<BodyReader::Data>(step).bytes);
            if (std::holds_alternative<BodyReader::End>(step)) result.end = "end";
            if (const auto* wrong = std::get_if<BodyReader::Malformed>(&step)) result.end = wrong->text;
        }
        if (result.end == "end") result.rest += text_of(input);
    }
    return result;
}

constexpr BodyFraming chunked{.is_chunked = true};

/// Reads a chunked body, whole, byte by byte and cut once at each place. All of them must agree.
Read read_chunked(std::string_view text) {
    const Read whole = read(text, chunked);
    std::vector<std::size_t> everywhere;
    for (std::size_t at = 1; at < text.size(); ++at) {
        CHECK(read(text, chunked, {at}) == whole);
        everywhere.push_back(at);
    }
    CHECK(read(text, chunked, everywhere) == whole);
    return whole;
}

std::string error_of(std::string_view text) {
    const Read result = read_chunked(text);
    return result.end == "end" || result.end == "more" ? "no error" : result.end;
}

}  // namespace

TEST_CASE("a request's fields tell where its body ends", "[http_body][rfc9112-6.3]") {
    CHECK(framing_of({}) == "none");
    CHECK(framing_of({{"Content-Length", "0"}}) == "none");
    CHECK(framing_of({{"content-length", "5"}}) == "5");
    CHECK(framing_of({{"Content-Length", "18446744073709551615"}}) == "18446744073709551615");
    CHECK(framing_of({{"Content-Length", "5"}}, 10) == "5");
    CHECK(framing_of({{"Transfer-Encoding", "chunked"}}) == "chunked");
    CHECK(framing_of({{"transfer-encoding", "CHUNKED"}}) == "chunked");
    CHECK(framing_of({{"Transfer-Encoding", ", chunked ,"}}) == "chunked");  // RFC 9110 §5.6.1.2: empty elements
}

TEST_CASE("a length that two readers could understand in different ways is refused", "[http_body][rfc9112-11.2]") {
    const auto both = "400 there is a Content-Length with a Transfer-Encoding";
    CHECK(framing_of({{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}) == both);
    CHECK(framing_of({{"Transfer-Encoding", "chunked"}, {"Content-Length", "0"}}) == both);
    CHECK(framing_of({{"Transfer-Encoding", "identity"}, {"Content-Length", "5"}}) == both);
    const auto several = "400 there is more than one Content-Length";
    CHECK(framing_of({{"Content-Length", "5"}, {"Content-Length", "5"}}) == several);
    CHECK(framing_of({{"Content-Length", "5"}, {"content-length", "6"}}) == several);
    for (const auto* text : {"", "5, 5", "5,6", "+5", "-5", "0x5", "5 5", "5a", "٥", "18446744073709551616",
                             "99999999999999999999999", "5;", "5.0", "1e3", "\xb5"}) {
        CAPTURE(text);
        CHECK(framing_of({{"Content-Length", text}}) == "400 Content-Length is not a number");
    }
}

TEST_CASE("only the chunked coding is supported, and only at the end", "[http_body][rfc9112-6.1]") {
    CHECK(framing_of({{"Transfer-Encoding", "gzip, chunked"}}) == "501 only chunked is supported");
    CHECK(framing_of({{"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "chunked"}}) ==
          "501 only chunked is supported");
    const auto not_last = "400 Transfer-Encoding must end with chunked";
    for (const auto* text : {"", "identity", "gzip", "chunked, gzip", "chunked, identity", "chunked;q=1", "xchunked",
                             "chunked\x0b", "\"chunked\"", "chunk ed", "chunkedchunked"}) {
        CAPTURE(text);
        CHECK(framing_of({{"Transfer-Encoding", text}}) == not_last);
    }
    CHECK(framing_of({{"Transfer-Encoding", "chunked, chunked"}}) ==
          "400 Transfer-Encoding names chunked more than once");
    CHECK(framing_of({{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}) ==
          "400 Transfer-Encoding names chunked more than once");
    CHECK(framing_of({{"Transfer-Encoding", "chunked"}}, 10) == "400 Transfer-Encoding in HTTP/1.0");
}

TEST_CASE("a client decides whether its stream is kept", "[http_body][rfc9112-9.3]") {
    CHECK(keeps_alive(request_of({})));
    CHECK(keeps_alive(request_of({{"Connection", "x, Upgrade"}})));
    CHECK_FALSE(keeps_alive(request_of({{"Connection", "close"}})));
    CHECK_FALSE(keeps_alive(request_of({{"Connection", "keep-alive"}, {"connection", "x , CLOSE"}})));
    CHECK_FALSE(keeps_alive(request_of({}, 10)));
    CHECK(keeps_alive(request_of({{"Connection", "Keep-Alive"}}, 10)));
    CHECK_FALSE(keeps_alive(request_of({{"Connection", "keep-alive, close"}}, 10)));
}

TEST_CASE("a client may expect a 100 and nothing else", "[http_body][rfc9110-10.1.1]") {
    CHECK(*expects_continue(request_of({{"Expect", "100-Continue"}})));
    CHECK_FALSE(*expects_continue(request_of({})));
    CHECK_FALSE(*expects_continue(request_of({{"Expect", "100-continue"}}, 10)));
    const auto other = expects_continue(request_of({{"Expect", "100-continue, x=y"}}));
    REQUIRE_FALSE(other);
    CHECK(other.error().error == Errc::unknown_expectation);
}

TEST_CASE("a body of known length ends after its bytes", "[http_body][rfc9112-6.2]") {
    const std::string text =
        "hello"
        "GET";
    for (std::size_t at = 0; at <= text.size(); ++at) {
        CHECK(read(text, {.length = 5}, {at}) == Read{"hello", "end", "GET"});
    }
    CHECK(read("hell", {.length = 5}) == Read{"hell"});
    CHECK(read("GET", {}) == Read{"", "end", "GET"});
}

TEST_CASE("a chunked body is decoded, wherever it is cut", "[http_body][rfc9112-7.1]") {
    CHECK(read_chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET") == Read{"hello world", "end", "GET"});
    CHECK(read_chunked("0\r\n\r\n") == Read{"", "end"});
    CHECK(read_chunked("000\r\n\r\n") == Read{"", "end"});
    CHECK(read_chunked("00A\r\n0123456789\r\n0\r\n\r\n") == Read{"0123456789", "end"});
    CHECK(read_chunked("a;name=value;b=\"c;\xc3\xa4\" \r\n0123456789\r\n0;x\r\n\r\n") == Read{"0123456789", "end"});
    CHECK(read_chunked("1 ; a\r\nx\r\n0\t;\r\n\r\n") == Read{"x", "end"});
    CHECK(read_chunked("2\r\n\r\n\r\n0\r\n\r\n") == Read{"\r\n", "end"});
    CHECK(read_chunked("5\r\nhel") == Read{"hel"});
    CHECK(read_chunked("0\r\n") == Read{});
}

TEST_CASE("trailer fields are checked and dropped", "[http_body][rfc9112-7.1.2]") {
    CHECK(read_chunked("1\r\nx\r\n0\r\nA: b\r\nContent-Length: 5\r\nC:\r\n\r\nGET") == Read{"x", "end", "GET"});
    CHECK(error_of("0\r\nno colon\r\n\r\n") == "a trailer field without a valid name");
    CHECK(error_of("0\r\nA\r\n\r\n") == "a trailer field without a colon");
    CHECK(error_of("0\r\nA : b\r\n\r\n") == "a trailer field without a valid name");
    CHECK(error_of("0\r\nA: b\r\n folded\r\n\r\n") == "a trailer field without a valid name");
    CHECK(error_of("0\r\n: b\r\n\r\n") == "a trailer field without a valid name");
    CHECK(error_of("0\r\nA: b\n\r\n") == "a control character in the trailer");
    CHECK(error_of("0\r\nA: b\rx") == "CR without LF in the trailer");
    CHECK(error_of("0\r\n\rx") == "CR without LF at the end of the body");
    CHECK(error_of("0\r\n\n") == "a trailer field without a valid name");
    CHECK(read("0\r\n"
               "A: " +
                   std::string(96, 'x') + "\r\n\r\n",
               chunked, {}, {.max_header = 100})
              .end == "the chunk extensions and trailer fields are too long");
}

TEST_CASE("a malformed chunk is refused at its first byte", "[http_body][rfc9112-7.1]") {
    CHECK(error_of("\r\n") == "a chunk does not begin with its size");
    CHECK(error_of(" 5\r\n") == "a chunk does not begin with its size");
    CHECK(error_of("-5\r\n") == "a chunk does not begin with its size");
    CHECK(error_of("g\r\n") == "a chunk does not begin with its size");
    CHECK(error_of(";a\r\n") == "a chunk does not begin with its size");
    CHECK(error_of("0x5\r\n") == "a character after the size of a chunk");
    CHECK(error_of("5\n") == "a character after the size of a chunk");
    CHECK(error_of("5 \r\n") == "a character after the size of a chunk");
    CHECK(error_of("5 6\r\n") == "a character after the size of a chunk");
    CHECK(error_of("5;a\n") == "a control character in a chunk extension");
    CHECK(error_of(std::string_view{"5;a\0", 4}) == "a control character in a chunk extension");
    CHECK(error_of("5\rx") == "CR without LF after the size of a chunk");
    CHECK(error_of("5;a\rx") == "CR without LF after the size of a chunk");
    CHECK(error_of("1\r\nxy") == "a chunk is longer than its size");
    CHECK(error_of("1\r\nx\n") == "a chunk is longer than its size");
    CHECK(error_of("1\r\nx\rx") == "CR without LF after a chunk");
    CHECK(error_of("1\r\nx\r\n\r\n") == "a chunk does not begin with its size");
    CHECK(error_of("1234567890abcdef\r\n") == "the size of a chunk has more than 15 digits");
    CHECK(error_of("0000000000000005\r\n") == "the size of a chunk has more than 15 digits");
    // The largest size does not overflow.
    CHECK(read("fffffffffffffff\r\nxx", chunked) == Read{"xx"});
}

TEST_CASE("chunk extensions may not be longer than the body and a header", "[http_body]") {
    constexpr std::string_view too_long = "the chunk extensions and trailer fields are too long";
    const HandshakeLimits limits{.max_header = 100};
    const auto body_of = [](std::size_t chunks, std::size_t size, std::size_t extension) {
        std::string text;
        for (; chunks > 0; --chunks) {
            text += (size == 1 ? "1" : "40") + std::string{";"} + std::string(extension - 1, 'e') + "\r\n" +
                    std::string(size, 'x') + "\r\n";
        }
        return text + "0\r\n\r\n";
    };
    CHECK(read(body_of(1, 1, 100), chunked, {}, limits).end == "end");
    CHECK(read(body_of(1, 1, 101), chunked, {}, limits).end == too_long);
    CHECK(read(body_of(10, 1, 10), chunked, {}, limits).end == "end");
    CHECK(read(body_of(12, 1, 10), chunked, {}, limits).end == too_long);
    CHECK(read(body_of(1000, 64, 64), chunked, {}, limits).end == "end");  // as of uploads that sign each chunk
}
