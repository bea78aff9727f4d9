#include "wsserver/protocol/message.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "support/byte_script.hpp"
#include "support/catch.hpp"

using namespace wsserver;
using test::byte_script;

// An opcode is mapped to its type at compile time.
static_assert(std::same_as<MessageType<Opcode::text>::type, Text>);
static_assert(std::same_as<MessageType<Opcode::binary>::type, Binary>);
static_assert(std::same_as<MessageType<Opcode::close>::type, Close>);
static_assert(std::same_as<MessageType<Opcode::ping>::type, Ping>);
static_assert(std::same_as<MessageType<Opcode::pong>::type, Pong>);
static_assert(std::same_as<Message, std::variant<Text, Binary, Close, Ping, Pong>>);

TEST_CASE("an opcode is mapped to its type at run time", "[message]") {
    const auto name_of = [](Opcode opcode) {
        std::string name = "none";
        const bool found = with_message_type(opcode, [&]<class M>() {
            if constexpr (std::same_as<M, Text>) name = "Text";
            if constexpr (std::same_as<M, Binary>) name = "Binary";
            if constexpr (std::same_as<M, Close>) name = "Close";
            if constexpr (std::same_as<M, Ping>) name = "Ping";
            if constexpr (std::same_as<M, Pong>) name = "Pong";
        });
        CHECK(found == (name != "none"));
        return name;
    };
    CHECK(name_of(Opcode::text) == "Text");
    CHECK(name_of(Opcode::binary) == "Binary");
    CHECK(name_of(Opcode::close) == "Close");
    CHECK(name_of(Opcode::ping) == "Ping");
    CHECK(name_of(Opcode::pong) == "Pong");
    for (const int other : {0, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
        CHECK(name_of(Opcode{static_cast<std::uint8_t>(other)}) == "none");
    }
}

TEST_CASE("with_message_type calls its function once, also at compile time", "[message]") {
    int calls = 0;
    CHECK(with_message_type(Opcode::ping, [&]<class M>() { ++calls; }));
    CHECK(calls == 1);
    CHECK_FALSE(with_message_type(Opcode::continuation, [&]<class M>() { ++calls; }));
    CHECK(calls == 1);
    constexpr auto round_trip = [](Opcode opcode) {
        Opcode result = Opcode::continuation;
        with_message_type(opcode, [&]<class M>() { result = M::opcode; });
        return result;
    };
    STATIC_REQUIRE(round_trip(Opcode::close) == Opcode::close);
    STATIC_REQUIRE(round_trip(Opcode::continuation) == Opcode::continuation);
}

TEST_CASE("a message is a view of its payload", "[message]") {
    const auto payload = byte_script("'Hello'");
    const auto text = Text::from_payload(payload);
    CHECK(text.text == "Hello");
    CHECK(text.payload().data() == payload.data());  // a view, no copy
    CHECK(Binary::from_payload(payload).payload().data() == payload.data());
    CHECK(Ping::from_payload(payload).payload.size() == 5);
    CHECK(Pong::from_payload({}).payload.empty());
}

TEST_CASE("a Close has a code and an optional reason, or is empty", "[message][rfc6455-5.5.1]") {
    const auto payload = byte_script("03 e9 'going'");
    const auto close = Close::from_payload(payload);
    CHECK(close.code == CloseCode::going_away);
    CHECK(close.reason == "going");

    const auto only_code = byte_script("0f a0");
    CHECK(Close::from_payload(only_code).code == CloseCode{4000});
    CHECK(Close::from_payload(only_code).reason.empty());

    CHECK(Close::from_payload({}).code == CloseCode::no_status);
    CHECK(Close::from_payload({}).reason.empty());
}

TEST_CASE("std::visit with overloaded calls the lambda of the message's type", "[message]") {
    const auto describe = overloaded{
        [](const Text& m) { return "text of " + std::to_string(m.text.size()); },
        [](const Binary& m) { return "binary of " + std::to_string(m.bytes.size()); },
        [](const Close& m) { return "close " + std::to_string(static_cast<int>(m.code)); },
        [](const Ping&) { return std::string{"ping"}; },
        [](const Pong&) { return std::string{"pong"}; },
    };
    const auto payload = byte_script("03 e8");
    CHECK(std::visit(describe, Message{Text::from_payload(payload)}) == "text of 2");
    CHECK(std::visit(describe, Message{Binary::from_payload(payload)}) == "binary of 2");
    CHECK(std::visit(describe, Message{Close::from_payload(payload)}) == "close 1000");
    CHECK(std::visit(describe, Message{Ping::from_payload(payload)}) == "ping");
    CHECK(std::visit(describe, Message{Pong::from_payload(payload)}) == "pong");
}

namespace {

/// What a function with the parameter of send() receives.
std::string received(const AnyMessage& message) {
    const std::string kind = message.is_text() ? "text " : "binary ";
    CHECK(message.opcode() == (message.is_text() ? Opcode::text : Opcode::binary));
    return kind + std::string{text_of(message.payload())};
}

struct Label {
    operator std::string_view() const { return "label"; }
};

}  // namespace

TEST_CASE("texts convert to a text message", "[message]") {
    const char* const pointer = "pointer";
    const char array[] = "array";
    std::string changeable = "string";
    CHECK(received("literal") == "text literal");
    CHECK(received("") == "text ");
    CHECK(received(pointer) == "text pointer");
    CHECK(received(array) == "text array");
    CHECK(received(changeable) == "text string");
    CHECK(received(changeable + "s") == "text strings");
    CHECK(received(std::string_view{"a\0b", 3}) == std::string{"text a\0b", 8});
    CHECK(received(Label{}) == "text label");
    CHECK(received(Text{"text"}) == "text text");
}

TEST_CASE("adjacent bytes convert to a binary message", "[message]") {
    std::vector<std::byte> bytes{std::byte{'a'}, std::byte{'b'}};
    std::vector<std::uint8_t> numbers{'c', 'd'};
    const std::array<unsigned char, 2> array{'e', 'f'};
    CHECK(received(bytes) == "binary ab");
    CHECK(received(std::span{bytes}) == "binary ab");
    CHECK(received(std::span<const std::byte>{bytes}.first(1)) == "binary a");
    CHECK(received(std::array<std::byte, 0>{}) == "binary ");
    CHECK(received(numbers) == "binary cd");
    CHECK(received(MutableBytes{numbers}) == "binary cd");
    CHECK(received(bytes_of("Bytes")) == "binary Bytes");
    CHECK(received(array) == "binary ef");
    CHECK(received(Binary{numbers}) == "binary cd");
    CHECK(AnyMessage{numbers}.payload().data() == numbers.data());  // a view, no copy
}

TEST_CASE("visit passes the type of the message", "[message]") {
    const auto name = overloaded{[](const Text& m) { return "Text of " + std::to_string(m.text.size()); },
                                 [](const Binary& m) { return "Binary of " + std::to_string(m.bytes.size()); }};
    CHECK(AnyMessage{"abc"}.visit(name) == "Text of 3");
    CHECK(AnyMessage{bytes_of("ab")}.visit(name) == "Binary of 2");
}

TEST_CASE("a received text is known to be valid, and other texts are not", "[message][rfc6455-5.6]") {
    const auto payload = byte_script("'Hello'");
    const Text received = Text::from_payload(payload);
    CHECK(received.is_checked());
    CHECK(AnyMessage{received}.is_checked());
    CHECK(AnyMessage{Binary{payload}}.is_checked());
    CHECK_FALSE(Text{"Hello"}.is_checked());
    CHECK_FALSE(AnyMessage{"Hello"}.is_checked());

    Text changed = received;
    SECTION("shorter at the front") { changed.text.remove_prefix(1); }
    SECTION("shorter at the end") { changed.text.remove_suffix(1); }
    SECTION("another text of the same size") { changed.text = "hello"; }
    CHECK_FALSE(changed.is_checked());
    CHECK_FALSE(AnyMessage{changed}.is_checked());
}

// What is neither text nor bytes is not a message.
static_assert(!std::convertible_to<int, AnyMessage>);
static_assert(!std::convertible_to<char, AnyMessage>);
static_assert(!std::convertible_to<std::vector<char>, AnyMessage>);
static_assert(!std::convertible_to<std::vector<int>, AnyMessage>);
static_assert(!std::convertible_to<Ping, AnyMessage>);
static_assert(!std::is_default_constructible_v<AnyMessage>);
