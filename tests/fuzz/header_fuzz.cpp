// decode_header() with any bytes. It reads nothing beyond them, and encode_header() writes the same bytes.
#include <vector>

#include "fuzz_input.hpp"
#include "wsserver/protocol/frame.hpp"

using namespace wsserver;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::ExactCopy copy{{data, size}};
    const Bytes input = copy.bytes();
    const auto result = decode_header(input);
    if (const auto* header = std::get_if<FrameHeader>(&result)) {
        require(header->size >= 2 && header->size <= max_frame_header, "a header has 2 to 14 bytes");
        require(header->size <= input.size(), "a header is within its input");
        require(header->payload_length >> 63 == 0, "a length has 63 bits");
        std::vector<std::uint8_t> again(header_size(header->payload_length, header->masking_key.has_value()));
        require(encode_header(again, *header) == header->size, "a header is in its shortest form");
        require(std::equal(again.begin(), again.end(), input.begin()), "encoded as it was decoded");
    }
    // Each prefix is incomplete or has the same result. An error may be found early, but not another one.
    for (std::size_t length = 0; length < std::min(input.size(), max_frame_header); ++length) {
        const fuzz::ExactCopy prefix{input.first(length)};
        const auto early = decode_header(prefix.bytes());
        if (const auto* more = std::get_if<NeedMore>(&early)) {
            require(more->at_least > 0, "at least one byte is needed");
            require(length + more->at_least <= max_frame_header, "at most a header's bytes are needed");
        } else {
            require(early.index() == result.index(), "the same result as for the complete input");
            if (const auto* error = std::get_if<Errc>(&early)) {
                require(*error == *std::get_if<Errc>(&result), "the same error");
            } else {
                require(length >= std::get_if<FrameHeader>(&result)->size,
                        "a header is not decoded from fewer bytes than its size");
            }
        }
    }
    return 0;
}
