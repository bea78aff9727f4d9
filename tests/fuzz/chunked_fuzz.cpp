// The chunked coding with any bytes and with valid bodies. Cuts do not change the result.
#include <array>
#include <cstdio>
#include <string>

#include "fuzz_input.hpp"
#include "wsserver/handshake/detail/chunked_body.hpp"

using namespace wsserver;
using fuzz::FuzzInput;
using fuzz::require;

namespace {

struct Decoded {
    std::string body{};
    bool ended = false;
    bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view text, std::size_t max, FuzzInput cuts) {
    ChunkedBody chunked;
    Decoded decoded;
    while (!text.empty()) {
        const auto size = cuts.empty() ? text.size() : 1 + cuts.below(12);
        const fuzz::ExactCopy piece{bytes_of(text.substr(0, size))};
        text.remove_prefix(piece.bytes().size());
        chunked.take(piece.bytes(), decoded.body, max);
        require(decoded.body.size() <= max, "a body is within its limit");
    }
    decoded.ended = chunked.ended();
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
        if (input.flag()) body.coded += ";name=value";
        body.coded += input.flag() ? "\r\n" : "\n";
        body.coded += text_of(chunk);
        body.coded += "\r\n";
        body.plain += text_of(chunk);
    }
    body.coded += "0\r\n\r\n";
    return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    const std::size_t max = input.flag() ? 10 : 5000;
    const FuzzInput cuts{input.take(30)};
    FuzzInput raw = input;
    const auto text = text_of(raw.rest());
    const auto whole = decode(text, max, FuzzInput{{}});
    require(decode(text, max, cuts) == whole, "cuts do not change the body");

    const auto body = body_from(input);
    const Decoded expected{body.plain.substr(0, max), true};
    require(decode(body.coded, max, FuzzInput{{}}) == expected, "a coded body is decoded");
    require(decode(body.coded, max, cuts) == expected, "a coded body is decoded from pieces");
    return 0;
}
