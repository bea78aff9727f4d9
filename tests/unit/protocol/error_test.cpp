#include "wsserver/protocol/error.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "support/catch.hpp"
#include "wsserver/protocol/rfc6455.hpp"

using namespace wsserver;

namespace {

constexpr int first = static_cast<int>(Errc::reserved_bits_set);
constexpr int last = static_cast<int>(Errc::unoffered_extension);

}  // namespace

TEST_CASE("every error has its own text, which fits into a Close frame", "[error]") {
    std::set<std::string_view> texts;
    for (int value = first; value <= last; ++value) {
        const auto text = message_of(Errc{static_cast<std::uint8_t>(value)});
        CAPTURE(value, text);
        CHECK(text != "unknown error");
        CHECK(text.size() <= max_close_reason);
        CHECK(text.back() != '.');
        CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; }));
        CHECK(texts.insert(text).second);
    }
}

TEST_CASE("other numbers have the text of an unknown error", "[error]") {
    CHECK(message_of(Errc{0}) == "unknown error");
    for (int value = last + 1; value < 256; ++value) {
        CHECK(message_of(Errc{static_cast<std::uint8_t>(value)}) == "unknown error");
    }
}

TEST_CASE("each rule after the opening handshake has a close code", "[error][rfc6455-7.4.1]") {
    const std::map<Errc, CloseCode> expected{
        {Errc::reserved_bits_set, CloseCode::protocol_error},
        {Errc::reserved_opcode, CloseCode::protocol_error},
        {Errc::control_frame_fragmented, CloseCode::protocol_error},
        {Errc::control_frame_too_long, CloseCode::protocol_error},
        {Errc::length_not_minimal, CloseCode::protocol_error},
        {Errc::length_top_bit_set, CloseCode::protocol_error},
        {Errc::frame_not_masked, CloseCode::protocol_error},
        {Errc::frame_masked, CloseCode::protocol_error},
        {Errc::unexpected_continuation, CloseCode::protocol_error},
        {Errc::expected_continuation, CloseCode::protocol_error},
        {Errc::close_payload_of_one_byte, CloseCode::protocol_error},
        {Errc::invalid_close_code, CloseCode::protocol_error},
        {Errc::invalid_utf8, CloseCode::invalid_payload},
        {Errc::invalid_utf8_in_close_reason, CloseCode::invalid_payload},
        {Errc::message_too_big, CloseCode::message_too_big},
        {Errc::too_many_fragments, CloseCode::message_too_big},
        {Errc::message_timeout, CloseCode::policy_violation},
    };
    for (int value = first; value <= last; ++value) {
        const auto error = Errc{static_cast<std::uint8_t>(value)};
        const auto it = expected.find(error);
        CAPTURE(message_of(error));
        CHECK(close_code_for(error) == (it == expected.end() ? CloseCode::abnormal : it->second));
        if (it != expected.end()) CHECK(may_be_sent(it->second));
    }
}

TEST_CASE("an Errc converts to a std::error_code", "[error]") {
    const std::error_code code = Errc::frame_not_masked;
    CHECK(code == Errc::frame_not_masked);
    CHECK(code != Errc::frame_masked);
    CHECK(code.category() == wsserver_category());
    CHECK(std::string{code.category().name()} == "wsserver");
    CHECK(code.message() == message_of(Errc::frame_not_masked));
    CHECK_FALSE(std::error_code{0, wsserver_category()});
}
