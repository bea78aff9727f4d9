// Compares Utf8Validator with a slow and simple decoder, with cuts anywhere.
#include "fuzz_input.hpp"
#include "wsserver/base/utf8.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

/// Decodes as in RFC 3629 §3: the first byte gives the length, and the code point must need that length.
bool decodes(Bytes text) {
    while (!text.empty()) {
        const std::uint8_t lead = text[0];
        const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        if (length == 0 || length > text.size()) return false;
        std::uint32_t c = length == 1 ? lead : lead & (0x7Fu >> length);
        for (std::size_t i = 1; i < length; ++i) {
            if (text[i] >> 6 != 2) return false;
            c = c << 6 | (text[i] & 0x3Fu);
        }
        static constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        if (c < smallest[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return false;
        text = text.subspan(length);
    }
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const std::size_t largest_piece = 1 + input.byte();
    const Bytes text = input.rest();
    const fuzz::ExactCopy copy{text};
    const bool valid = is_valid_utf8(copy.bytes());
    require(valid == decodes(text), "a text is valid if it decodes");

    Utf8Validator validator;
    bool good = true;
    std::size_t at = 0;
    while (at < text.size()) {
        const fuzz::ExactCopy piece{text.subspan(at, std::min(text.size() - at, 1 + (at * 7 + size) % largest_piece))};
        const bool still_good = validator.append(piece.bytes());
        require(good || !still_good, "an invalid text stays invalid");
        good = still_good;
        at += piece.bytes().size();
    }
    require((good && validator.complete()) == valid, "cuts do not change the result");
    return 0;
}
