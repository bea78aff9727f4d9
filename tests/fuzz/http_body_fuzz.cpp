// Bodies of requests with any bytes, and valid ones. Cuts do not change the result, and nothing after a broken body is
// read.
#include <array>
#include <cstdio>
#include <string>

#include "fuzz_input.hpp"
#include "wsserver/handshake/http_body.hpp"

using namespace wsserver;
using fuzz::FuzzInput;
using fuzz::require;

namespace {

struct Decoded {
    std::string body{};
    std::string_view error{};
    bool ended = false;
    std::size_t used = 0;  ///< bytes of the input
    bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view text, BodyFraming framing, FuzzInput cuts) {
    BodyReader reader{framing, HandshakeLimits{.max_header = 64}};
    Decoded decoded;
    while (decoded.error.empty() && !decoded.ended && decoded.used < text.size()) {
        const auto size = cuts.empty() ? text.size() : 1 + cuts.below(12);
        const fuzz::ExactCopy piece{bytes_of(text.substr(decoded.used, size))};
        Bytes input = piece.bytes();
        for (bool more = true; more;) {
            const auto step = reader.next(input);
            more = std::holds_alternative<BodyReader::Data>(step);
            if (more) {
                require(!std::get<BodyReader::Data>(step).bytes.empty(), "a piece is not empty");
                decoded.body += text_of(std::get<BodyReader::Data>(step).bytes);
            }
            decoded.ended = std::holds_alternative<BodyReader::End>(step);
            if (const auto* wrong = std::get_if<BodyReader::Malformed>(&step)) decoded.error = wrong->text;
        }
        require(input.empty() || decoded.ended || !decoded.error.empty(), "all input is read");
        decoded.used += piece.bytes().size() - input.size();
    }
    return decoded;
}

/// A valid body and its coding.
struct Body {
    std::string plain{};
    std::string coded{};
};

Body body_from(FuzzInput& input) {
    Body body;
    while (!input.empty()) {
        const auto chunk = input.take(1 + input.byte());
        if (chunk.empty()) break;
        std::array<char, 16> size{};
        std::snprintf(size.data(), size.size(), input.flag() ? "%zx" : "%04zX", chunk.size());
        body.coded += size.data();
        if (input.flag()) body.coded += ";n";
        body.coded += "\r\n";
        body.coded += text_of(chunk);
        body.coded += "\r\n";
        body.plain += text_of(chunk);
    }
    body.coded += input.flag() ? "0\r\nT: u\r\n\r\n" : "0\r\n\r\n";
    return body;
}

/// Any fields: at most one framing, which the strictest reader would agree with.
void check_framing(FuzzInput input) {
    constexpr std::string_view names[] = {"Content-Length", "Transfer-Encoding", "content-length", "Host",
                                          "Expect",         "Connection"};
    constexpr std::string_view values[] = {"5", "chunked", "0", "gzip, chunked", "5, 5", "100-continue", "close", ""};
    HttpRequest request{.method = "POST", .target = "/", .version = input.flag() ? 11U : 10U};
    for (auto count = input.below(5); count > 0; --count) {
        const auto name = names[input.below(std::size(names))];
        const auto value = input.flag() ? values[input.below(std::size(values))] : text_of(input.take(input.below(8)));
        request.fields.push_back({std::string{name}, std::string{value}});
    }
    const bool has_length = find_field(request.fields, "Content-Length") != nullptr;
    const bool has_coding = find_field(request.fields, "Transfer-Encoding") != nullptr;
    const auto framing = body_framing(request);
    require(!framing || !(has_length && has_coding), "two framings are refused");
    if (framing) require(framing->is_chunked == has_coding, "a coding is chunked");
    if (framing && !has_length) require(framing->length == 0, "no length, no body");
    (void)keeps_alive(request);
    (void)expects_continue(request).has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    const BodyFraming length{.length = input.below(200)};
    const BodyFraming chunked{.is_chunked = true};
    const FuzzInput cuts{input.take(30)};
    FuzzInput raw = input;
    check_framing(raw);
    const auto text = text_of(raw.rest());
    const auto whole = decode(text, chunked, FuzzInput{{}});
    require(decode(text, chunked, cuts) == whole, "cuts do not change a chunked body");
    require(whole.body.size() <= text.size(), "a body is not longer than its coding");
    const auto plain = decode(text, length, cuts);
    require(plain.body == text.substr(0, static_cast<std::size_t>(length.length)), "a body has its length");

    const auto body = body_from(input);
    const auto coded = body.coded + "GET / HTTP/1.1";
    const Decoded expected{body.plain, {}, true, body.coded.size()};
    require(decode(coded, chunked, FuzzInput{{}}) == expected, "a coded body is decoded");
    require(decode(coded, chunked, cuts) == expected, "a coded body is decoded from pieces");
    return 0;
}
