#include "wsserver/handler/script_frame.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/strings.hpp"

using namespace wsserver;
using wsserver::test::Strings;

namespace {

/// All frames of `bytes`, which arrive in pieces of at most `piece` bytes. An error ends the list.
Strings frames_of(std::string_view bytes, std::size_t piece, const ScriptFrameLimits& limits = {}) {
    ScriptFrameReader reader{limits};
    Strings seen;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        reader.feed(bytes.substr(at, piece));
        for (;;) {
            auto next = reader.next();
            if (!next) {
                seen.push_back("error: " + next.error());
                return seen;
            }
            if (!*next) break;
            std::string line;
            for (const auto& word : (*next)->words) line += word + '|';
            seen.push_back(line + (*next)->payload);
        }
    }
    if (reader.is_within_frame()) seen.push_back("more");
    return seen;
}

std::string error_of(std::string_view bytes, const ScriptFrameLimits& limits = {}) {
    const auto seen = frames_of(bytes, bytes.size(), limits);
    return seen.empty() ? std::string{} : seen.back();
}

}  // namespace

TEST_CASE("frames arrive whole wherever they are cut", "[script_frame]") {
    std::string bytes;
    append_script_frame(bytes, {"text", "0-1-2"}, "hello\nworld");
    append_script_frame(bytes, {"ping"});
    append_script_frame(bytes, {"publish", "a room", "", "100%"}, std::string(300, 'x'));
    append_script_frame(bytes, std::vector<std::string>{"binary", "0-1-2"}, std::string{"\0\n\xFF", 3});
    CHECK(bytes.starts_with("text 0-1-2 11\nhello\nworldping 0\npublish a%20room % 100%25 300\nxxx"));
    const auto whole = frames_of(bytes, bytes.size());
    CHECK(whole == Strings{"text|0-1-2|hello\nworld", "ping|", "publish|a room||100%|" + std::string(300, 'x'),
                           std::string{"binary|0-1-2|\0\n\xFF", 16}});
    for (std::size_t piece = 1; piece < 40; ++piece) CHECK(frames_of(bytes, piece) == whole);
    for (std::size_t size = 1; size < 18; ++size) CHECK(frames_of(bytes.substr(0, size), 7).back() == "more");
}

TEST_CASE("each malformed frame has its error", "[script_frame]") {
    CHECK(error_of("hello\n") ==
          "error: header line 'hello': it must end with the length of the payload: WORD ... LENGTH");
    CHECK(error_of("\n").starts_with("error: header line '': it must end"));
    CHECK(error_of("12\n").starts_with("error: header line '12': it must end"));
    CHECK(error_of("a -1\n").starts_with("error: header line 'a -1': it must end"));
    CHECK(error_of("a 1x\n").starts_with("error: header line 'a 1x': it must end"));
    CHECK(error_of("a 5 \n").starts_with("error: header line 'a 5 ': it must end"));
    CHECK(error_of("a 99999999999999999999999\n").ends_with("the payload has more than 16777216 bytes"));
    CHECK(error_of("a 101\n", {.max_payload = 100}).ends_with("the payload has more than 100 bytes"));
    CHECK(error_of("a  5\n").ends_with("its words are separated by one blank each"));
    CHECK(error_of(" 5\n").ends_with("its words are separated by one blank each"));
    CHECK(error_of("a%2 5\n").ends_with("a % must be followed by two hexadecimal digits"));
    CHECK(error_of("a%zz 5\n").ends_with("a % must be followed by two hexadecimal digits"));
    CHECK(error_of(std::string(8193, 'a')).starts_with("error: a header line has more than 8192 bytes: aaa"));
    CHECK(error_of(std::string(8193, 'a') + " 0\n").starts_with("error: a header line has more than 8192 bytes"));
    CHECK(error_of("\x1B[2J 0").find('\x1B') == std::string::npos);
    CHECK(error_of("a 5\nhello") == "a|hello");
}

TEST_CASE("a reader keeps little memory after a long frame, and no more than it must", "[script_frame]") {
    ScriptFrameReader reader;
    std::string bytes;
    append_script_frame(bytes, {"a"}, std::string(1'000'000, 'x'));
    append_script_frame(bytes, {"b"}, "y");
    reader.feed(bytes);
    CHECK((*reader.next())->payload.size() == 1'000'000);
    CHECK((*reader.next())->payload == "y");
    CHECK_FALSE(*reader.next());
    CHECK_FALSE(reader.is_within_frame());
}
