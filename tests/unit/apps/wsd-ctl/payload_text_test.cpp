#include "wsd-ctl/connect/payload_text.hpp"

#include <string>

#include "support/catch.hpp"

using wsserver::bytes_of;
using namespace std::string_view_literals;

TEST_CASE("bytes are written in hexadecimal", "[payload_text]") {
    CHECK(wsd::ctl::hexadecimal({}).empty());
    CHECK(wsd::ctl::hexadecimal(bytes_of("\0\xFFz"sv)) == "00ff7a");
}

TEST_CASE("a hex dump has the offset, the bytes and ASCII", "[payload_text]") {
    CHECK(wsd::ctl::hex_dump({}).empty());
    CHECK(wsd::ctl::hex_dump(bytes_of("\0\xFFz"sv)) ==
          "00000000  00 ff 7a                                          |..z|\n");
    CHECK(wsd::ctl::hex_dump(bytes_of("01234567 \x7f~\n\x1b[0m!"sv)) ==
          "00000000  30 31 32 33 34 35 36 37  20 7f 7e 0a 1b 5b 30 6d  |01234567 .~..[0m|\n"
          "00000010  21                                                |!|\n");
    const std::string dump = wsd::ctl::hex_dump(bytes_of(std::string(33, 'x')));
    CHECK(dump.substr(dump.rfind('\n', dump.size() - 2) + 1, 8) == "00000020");
}

TEST_CASE("base64 has the values of RFC 4648, section 10", "[payload_text]") {
    const auto base64 = [](std::string_view text) { return wsd::ctl::base64(bytes_of(text)); };
    CHECK(base64("").empty());
    CHECK(base64("f") == "Zg==");
    CHECK(base64("fo") == "Zm8=");
    CHECK(base64("foo") == "Zm9v");
    CHECK(base64("foob") == "Zm9vYg==");
    CHECK(base64("fooba") == "Zm9vYmE=");
    CHECK(base64("foobar") == "Zm9vYmFy");
    CHECK(base64("\xFB\xFF\xFE"sv) == "+//+");
}
