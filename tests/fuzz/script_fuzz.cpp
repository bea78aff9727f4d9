// The frames of a script with any bytes. They are the same wherever they are cut, and a frame that is written again is
// read again.
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "wsserver/handler/script_frame.hpp"

using namespace wsserver;
using fuzz::require;
using namespace std::string_view_literals;

namespace {

constexpr std::string_view pieces[] = {
    "send", "broadcast", "ready", " ", "  ", "0-1-2", "text", "binary", "0", "1", "5",       "65",        "\n",
    "%",    "%20",       "%zz",   "-", "+1", "99999", "\r",   "\0"sv,   "a", "b", "hello\n", "pong 1 0\n"};

struct Outcome {
    std::vector<ScriptFrame> frames{};
    bool is_wrong = false;
};

Outcome frames_of(std::string_view bytes, std::size_t piece) {
    Outcome outcome;
    ScriptFrameReader reader{{.max_line = 60, .max_payload = 70}};
    while (!bytes.empty()) {
        const fuzz::ExactCopy part{bytes_of(bytes.substr(0, piece))};
        bytes.remove_prefix(part.bytes().size());
        reader.feed(text_of(part.bytes()));
        for (;;) {
            auto next = reader.next();
            if (!next) {
                require(!next.error().empty(), "an error has a text");
                outcome.is_wrong = true;
                return outcome;
            }
            if (!*next) break;
            outcome.frames.push_back(**next);
        }
    }
    return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const bool any = input.flag();
    const std::string bytes = any ? std::string{text_of(input.rest())} : fuzz::text_from(input, pieces);
    const Outcome whole = frames_of(bytes, bytes.size());
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
        const Outcome cut = frames_of(bytes, piece);
        require(cut.frames == whole.frames && cut.is_wrong == whole.is_wrong, "cuts change nothing");
    }
    for (const ScriptFrame& frame : whole.frames) {
        require(!frame.words.empty() && frame.payload.size() <= 70, "a frame keeps its limits");
        std::string again;
        append_script_frame(again, frame.words, frame.payload);
        ScriptFrameReader reader;
        reader.feed(again);
        const auto read = reader.next();
        require(read && *read && **read == frame && !reader.is_within_frame(), "a frame is read as it was written");
    }
    return 0;
}
