#include "wsserver/protocol/encode.hpp"

#include <string>

#include "support/byte_script.hpp"
#include "support/transcript.hpp"

using namespace wsserver;
using namespace wsserver::test;

TEST_CASE("the RFC's fragmented Hello is encoded", "[encode][rfc6455-5.7]") {
    OutputBuffer output;
    encode_message(Text{"Hello"}, 3, output);
    CHECK(hex(output.bytes()) == "01 03 48 65 6c 80 02 6c 6f");
}

TEST_CASE("the payload of a Close is its code and its reason", "[encode][rfc6455-5.5.1]") {
    CHECK(hex(ClosePayload{CloseCode::normal, ""}.bytes()) == "03 e8");
    CHECK(hex(ClosePayload{CloseCode::going_away, "bye"}.bytes()) == "03 e9 62 79 65");
    CHECK(ClosePayload{CloseCode::no_status, ""}.bytes().empty());
    CHECK(ClosePayload{CloseCode::normal, std::string(123, 'x')}.bytes().size() == max_control_payload);
}

TEST_CASE("control frames are encoded", "[encode][rfc6455-5.5]") {
    OutputBuffer output;
    encode_control(Opcode::ping, {}, output);
    encode_control(Opcode::pong, bytes_of("p"), output);
    encode_control(Opcode::close, ClosePayload{CloseCode::normal, ""}.bytes(), output);
    CHECK(hex(output.bytes()) == "89 00 8a 01 70 88 02 03 e8");
}

TEST_CASE("encode_message writes the same frames as a server", "[encode]") {
    const auto size = GENERATE(as<std::size_t>{}, 0, 1, 125, 126, 999, 1000, 1001, 2000, 70'000);
    const auto fragment_size = GENERATE(as<std::size_t>{}, 0, 1000, 65'536);
    const std::string text(size, 't');
    ProtocolOptions options;
    options.fragment_size = fragment_size;
    Protocol<Role::server> server{options};
    OutputBuffer sent, encoded;
    REQUIRE(server.send(Text{text}, sent));
    REQUIRE(server.send(Binary{bytes_of(text)}, sent));
    REQUIRE(server.ping(bytes_of("p"), sent));
    encode_message(Text{text}, fragment_size, encoded);
    encode_message(Binary{bytes_of(text)}, fragment_size, encoded);
    encode_control(Opcode::ping, bytes_of("p"), encoded);
    CHECK(std::equal(sent.bytes().begin(), sent.bytes().end(), encoded.bytes().begin(), encoded.bytes().end()));
}

TEST_CASE("text that is not UTF-8 may not be sent", "[encode][rfc6455-5.6]") {
    CHECK(may_be_sent("text"));
    CHECK(may_be_sent(""));
    CHECK(may_be_sent(Text{"\u00fc"}));
    CHECK_FALSE(may_be_sent("\xFF"));
    CHECK_FALSE(may_be_sent(std::string(100, 'a') + "\xC3"));  // ends within a character
    CHECK_FALSE(may_be_sent("\xED\xA0\x80"));                  // a surrogate
    CHECK(may_be_sent(bytes_of("\xFF")));
}
