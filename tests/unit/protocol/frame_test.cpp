#include "wsserver/protocol/frame.hpp"

#include <string>

#include "support/byte_script.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using test::byte_script;
using test::ByteVector;
using test::hex;
using test::joined;

namespace {

FrameHeader header_of(bool fin, int rsv, Opcode opcode, std::uint64_t length, std::optional<MaskingKey> key = {}) {
    return {fin, static_cast<std::uint8_t>(rsv), opcode, key, length, header_size(length, key.has_value())};
}

bool same(const FrameHeader& a, const FrameHeader& b) {
    return a.fin == b.fin && a.rsv == b.rsv && a.opcode == b.opcode && a.masking_key == b.masking_key &&
           a.payload_length == b.payload_length && a.size == b.size;
}

ByteVector encoded(const FrameHeader& header) {
    ByteVector result(header_size(header.payload_length, header.masking_key.has_value()));
    CHECK(encode_header(result, header) == result.size());
    return result;
}

std::optional<Errc> error_of(const ByteVector& input) {
    const auto result = decode_header(input);
    const auto* error = std::get_if<Errc>(&result);
    return error ? std::optional{*error} : std::nullopt;
}

constexpr MaskingKey key{0x37, 0xfa, 0x21, 0x3d};

}  // namespace

TEST_CASE("headers are decoded and encoded", "[frame][rfc6455-5.2][rfc6455-5.7]") {
    struct Case {
        const char* script;
        FrameHeader header;
    };
    const auto c = GENERATE(
        // §5.7
        Case{"81 05", header_of(true, 0, Opcode::text, 5)},                   // an unmasked text in one frame
        Case{"81 85 37 fa 21 3d", header_of(true, 0, Opcode::text, 5, key)},  // ... and masked
        Case{"01 03", header_of(false, 0, Opcode::text, 3)},                  // "Hel"
        Case{"80 02", header_of(true, 0, Opcode::continuation, 2)},           // "lo"
        Case{"89 05", header_of(true, 0, Opcode::ping, 5)},                   //
        Case{"8a 85 37 fa 21 3d", header_of(true, 0, Opcode::pong, 5, key)},  //
        Case{"82 7e 01 00", header_of(true, 0, Opcode::binary, 256)},         // 256 bytes
        Case{"82 7f 00 00 00 00 00 01 00 00", header_of(true, 0, Opcode::binary, 65536)},  // 64 KiB
        // the smallest and largest of each form of the length
        Case{"82 00", header_of(true, 0, Opcode::binary, 0)},            //
        Case{"82 7d", header_of(true, 0, Opcode::binary, 125)},          //
        Case{"82 7e 00 7e", header_of(true, 0, Opcode::binary, 126)},    //
        Case{"82 7e 00 7f", header_of(true, 0, Opcode::binary, 127)},    //
        Case{"82 7e ff ff", header_of(true, 0, Opcode::binary, 65535)},  //
        Case{"82 ff 00 00 00 01 00 00 00 00 37 fa 21 3d", header_of(true, 0, Opcode::binary, 1ull << 32, key)},
        Case{"82 7f 7f ff ff ff ff ff ff ff", header_of(true, 0, Opcode::binary, (1ull << 63) - 1)},
        // other bits and opcodes
        Case{"88 7d", header_of(true, 0, Opcode::close, 125)},                         //
        Case{"c1 00", header_of(true, 4, Opcode::text, 0)},                            // RSV1
        Case{"21 00", header_of(false, 2, Opcode::text, 0)},                           // RSV2
        Case{"9a 80 00 00 00 00", header_of(true, 1, Opcode::pong, 0, MaskingKey{})},  // RSV3; a masking key of zeros
        Case{"00 fe 12 34 37 fa 21 3d", header_of(false, 0, Opcode::continuation, 0x1234, key)});
    const auto script = byte_script(c.script);
    CAPTURE(c.script);

    const auto decoded = decode_header(script);
    REQUIRE(std::holds_alternative<FrameHeader>(decoded));
    CHECK(same(std::get<FrameHeader>(decoded), c.header));
    CHECK(hex(encoded(c.header)) == hex(script));

    // Bytes after the header are ignored.
    const auto followed = decode_header(joined(script, byte_script("ff*20")));
    REQUIRE(std::holds_alternative<FrameHeader>(followed));
    CHECK(same(std::get<FrameHeader>(followed), c.header));
}

TEST_CASE("an incomplete header returns the least number of bytes that it needs", "[frame]") {
    const auto* const script = GENERATE("81 05", "81 85 37 fa 21 3d", "82 7e 01 00", "82 fe 01 00 37 fa 21 3d",
                                        "82 7f 00 00 00 00 00 01 00 00", "82 ff 00 00 00 00 00 01 00 00 37 fa 21 3d");
    const auto whole = byte_script(script);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto result = decode_header(Bytes{whole}.first(size));
        CAPTURE(script, size);
        REQUIRE(std::holds_alternative<NeedMore>(result));
        const auto at_least = std::get<NeedMore>(result).at_least;
        CHECK(at_least > 0);
        CHECK(size + at_least <= whole.size());
        if (size >= 2) CHECK(size + at_least == whole.size());
    }
}

TEST_CASE("all 256 first bytes are decoded or refused", "[frame][rfc6455-5.2][rfc6455-5.5]") {
    for (unsigned byte = 0; byte < 256; ++byte) {
        const auto first = static_cast<std::uint8_t>(byte);
        const unsigned opcode = byte & 0xF;
        const bool fin = byte >= 0x80;
        CAPTURE(byte);
        std::optional<Errc> expected;
        if ((opcode >= 3 && opcode <= 7) || opcode >= 0xB) {
            expected = Errc::reserved_opcode;
        } else if (opcode >= 8 && !fin) {
            expected = Errc::control_frame_fragmented;
        }
        CHECK(error_of({first}) == expected);  // without the second byte
        CHECK(error_of({first, 0x00}) == expected);
        if (expected) continue;
        const auto result = decode_header(ByteVector{first, 0x00});
        REQUIRE(std::holds_alternative<FrameHeader>(result));
        const auto& header = std::get<FrameHeader>(result);
        CHECK(header.fin == fin);
        CHECK(header.rsv == ((byte >> 4) & 7));
        CHECK(static_cast<unsigned>(header.opcode) == opcode);
        CHECK(header.size == 2);
    }
}

TEST_CASE("reserved opcodes are refused", "[frame][rfc6455-5.2]") {
    const auto script = GENERATE(as<std::string>{}, "83 00", "87 00", "8b 00", "8f 00", "03", "0f 80 00 00 00 00");
    CAPTURE(script);
    CHECK(error_of(byte_script(script)) == Errc::reserved_opcode);
}

TEST_CASE("fragmented control frames are refused", "[frame][rfc6455-5.5]") {
    CHECK(error_of(byte_script("08 00")) == Errc::control_frame_fragmented);
    CHECK(error_of(byte_script("09 00")) == Errc::control_frame_fragmented);
    CHECK(error_of(byte_script("0a 00")) == Errc::control_frame_fragmented);
}

TEST_CASE("control frames over 125 bytes are refused", "[frame][rfc6455-5.5]") {
    CHECK(error_of(byte_script("89 7d")) == std::nullopt);
    CHECK(error_of(byte_script("89 7e")) == Errc::control_frame_too_long);  // before the length has arrived
    CHECK(error_of(byte_script("89 7e 00 7e")) == Errc::control_frame_too_long);
    CHECK(error_of(byte_script("8a ff 00 00 00 00 00 01 00 00 00 00 00 00")) == Errc::control_frame_too_long);
    CHECK(error_of(byte_script("88 fe 00 05 00 00 00 00")) == Errc::control_frame_too_long);
}

TEST_CASE("lengths that are not in their shortest form are refused", "[frame][rfc6455-5.2]") {
    CHECK(error_of(byte_script("82 7e 00 00")) == Errc::length_not_minimal);
    CHECK(error_of(byte_script("82 7e 00 7d")) == Errc::length_not_minimal);
    CHECK(error_of(byte_script("82 7e 00 7e")) == std::nullopt);
    CHECK(error_of(byte_script("82 7f 00 00 00 00 00 00 00 05")) == Errc::length_not_minimal);
    CHECK(error_of(byte_script("82 7f 00 00 00 00 00 00 ff ff")) == Errc::length_not_minimal);
    CHECK(error_of(byte_script("82 7f 00 00 00 00 00 01 00 00")) == std::nullopt);
    CHECK(error_of(byte_script("81 fe 00 01 00 00 00 00")) == Errc::length_not_minimal);
}

TEST_CASE("lengths with the most significant bit set are refused", "[frame][rfc6455-5.2]") {
    CHECK(error_of(byte_script("82 7f 80 00 00 00 00 00 00 00")) == Errc::length_top_bit_set);
    CHECK(error_of(byte_script("82 7f ff ff ff ff ff ff ff ff")) == Errc::length_top_bit_set);
    CHECK(error_of(byte_script("82 7f 80 00 00 00 00 00 00 05")) == Errc::length_top_bit_set);
    CHECK(error_of(byte_script("82 7f 80")) == Errc::length_top_bit_set);  // at the first byte of the length
}

TEST_CASE("an invalid header has the same error wherever it is cut", "[frame]") {
    // Each prefix is incomplete or has the same error.
    const auto script = GENERATE(as<std::string>{}, "83 00", "09 00", "89 7e 00 7e", "82 7e 00 7d",
                                 "82 7f 00 00 00 00 00 00 ff ff", "82 7f 80 00 00 00 00 00 00 00",
                                 "81 fe 00 01 00 00 00 00", "7f ff ff ff ff ff ff ff ff ff ff ff ff ff");
    const auto whole = byte_script(script);
    const auto error = error_of(whole);
    REQUIRE(error);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto result = decode_header(Bytes{whole}.first(size));
        CAPTURE(script, size);
        CHECK_FALSE(std::holds_alternative<FrameHeader>(result));
        if (const auto* early = std::get_if<Errc>(&result)) CHECK(*early == *error);
    }
}

TEST_CASE("frames are appended, masked or not", "[frame][rfc6455-5.7]") {
    OutputBuffer output;
    append_frame(output, header_of(true, 0, Opcode::text, 5), bytes_of("Hello"));
    append_frame(output, header_of(true, 0, Opcode::text, 5, key), bytes_of("Hello"));
    append_frame(output, header_of(true, 0, Opcode::ping, 0), {});
    CHECK(hex(output.bytes()) == hex(byte_script("81 05 48 65 6c 6c 6f                 # unmasked\n"
                                                 "81 85 37 fa 21 3d 7f 9f 4d 51 58     # masked\n"
                                                 "89 00")));
}

TEST_CASE("lengths next to powers of two are the same after encode and decode", "[frame][rfc6455-5.2]") {
    for (int power = 0; power < 63; ++power) {
        for (int offset = -3; offset <= 3; ++offset) {
            const auto length = (std::uint64_t{1} << power) + static_cast<std::uint64_t>(offset);
            if (length >> 63) continue;
            const auto header =
                header_of(true, 0, Opcode::binary, length, power % 2 ? std::optional{key} : std::nullopt);
            const auto decoded = decode_header(encoded(header));
            CAPTURE(length);
            REQUIRE(std::holds_alternative<FrameHeader>(decoded));
            CHECK(same(std::get<FrameHeader>(decoded), header));
        }
    }
}

TEST_CASE("a buffer of encoded frames can be split into frames", "[frame]") {
    // A send queue does this.
    OutputBuffer output;
    for (const std::size_t size : {0u, 125u, 126u, 65535u, 65536u, 3u}) {
        const ByteVector payload(size, 0xAB);
        append_frame(output, header_of(true, 0, Opcode::binary, size), payload);
    }
    std::vector<std::uint64_t> lengths;
    for (Bytes rest = output.bytes(); !rest.empty();) {
        const auto header = std::get<FrameHeader>(decode_header(rest));
        lengths.push_back(header.payload_length);
        rest = rest.subspan(header.size + static_cast<std::size_t>(header.payload_length));
    }
    CHECK(lengths == std::vector<std::uint64_t>{0, 125, 126, 65535, 65536, 3});
}
