#include "wsserver/protocol/message_frames.hpp"

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "support/allocations.hpp"
#include "support/byte_script.hpp"
#include "support/transcript.hpp"
#include "wsserver/protocol/protocol.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

/// An endpoint that has received a message in fragments.
template <Role role>
struct Received {
    explicit Received(const std::string& payload, std::uint8_t opcode = 1) {
        options.keys = &keys;
        options.memory = &account;
        const std::size_t half = payload.size() / 2;
        bytes = joined(frame_to<role>(opcode, payload.substr(0, half)), frame_to<role>(0x80, payload.substr(half)));
        MutableBytes received{bytes};
        OutputBuffer output;
        event = protocol.next_event(received, output);
    }
    Text& text() { return *std::get_if<Text>(&*event); }

    CountingKeys keys;
    MemoryAccount account;
    ProtocolOptions options;
    Protocol<role> protocol{options};
    std::vector<std::uint8_t> bytes;
    std::optional<Event> event;
};

std::string bytes_of_all(const MessageFrames& message) {
    std::string all;
    for (const auto& frame : message.frames()) all.append(text_of(frame.header())).append(text_of(frame.payload));
    return all;
}

std::string numbers(std::size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + ' ';
    text.resize(size);
    return text;
}

}  // namespace

FOR_BOTH_ROLES("a message that is moved has the same frames as one that is copied", "[message_frames]") {
    const auto fragment_size = GENERATE(std::size_t{0}, std::size_t{1000}, std::size_t{20'000}, std::size_t{64} << 10);
    const auto opcode = GENERATE(std::uint8_t{1}, std::uint8_t{2});
    const std::string payload = numbers(100'000);
    Received<role> received{payload, opcode};
    received.options.fragment_size = fragment_size;
    OutputBuffer copied;
    std::visit(
        [&](auto& message) {
            using M = std::remove_reference_t<decltype(message)>;
            if constexpr (std::is_same_v<M, Text> || std::is_same_v<M, Binary>) {
                const CountingKeys before = received.keys;
                REQUIRE(received.protocol.send(message, copied));
                received.keys = before;
                const std::uint8_t* const place = message.payload().data();
                const AnyMessage moved{std::move(message)};
                CHECK(message.payload().empty());
                REQUIRE(moved.has_memory());
                CHECK(moved.is_checked());
                CHECK(received.account.read() == payload.size());
                const auto frames = received.protocol.take_frames(moved);
                REQUIRE(frames);
                REQUIRE(*frames);
                CHECK((*frames)->frames().front().payload.data() == place);
                CHECK((*frames)->size() == copied.size());
                CHECK((*frames)->memory() >= payload.size());
                CHECK(bytes_of_all(**frames) == text_of(copied.bytes()));
                CHECK(received.account.read() == 0);
                CHECK(*received.protocol.take_frames(moved) == nullptr);
            }
        },
        *received.event);
    MutableBytes none{};
    OutputBuffer output;
    CHECK_FALSE(received.protocol.next_event(none, output));
    CHECK(received.account.read() == 0);
}

TEST_CASE("only the message itself can be moved, and only if it is long", "[message_frames]") {
    Received<Role::server> received{numbers(MessageReassembly::least_taken)};
    Text& text = received.text();
    const Text copy = text;
    Text assigned;
    assigned = text;
    CHECK(copy.memory.holder() == nullptr);
    CHECK(assigned.memory.holder() == nullptr);
    CHECK_FALSE(AnyMessage{text}.has_memory());
    CHECK_FALSE(AnyMessage{std::as_const(text)}.has_memory());
    CHECK_FALSE(AnyMessage{Text{text}}.has_memory());
    assigned = std::move(text);
    CHECK(assigned.memory.holder() != nullptr);
    CHECK(text.memory.holder() == nullptr);
    CHECK(AnyMessage{std::move(assigned)}.has_memory());
    CHECK(assigned.text.empty());

    Received<Role::server> shorter{numbers(MessageReassembly::least_taken - 1)};
    CHECK_FALSE(AnyMessage{std::move(shorter.text())}.has_memory());
}

FOR_BOTH_ROLES("a message whose view was changed is sent as it is viewed", "[message_frames]") {
    struct Change {
        std::size_t begin, size;
        bool is_taken;
    };
    const std::size_t whole = 100'000;
    const auto change = GENERATE_COPY(
        Change{4, whole - 4, true}, Change{0, whole - 5, true}, Change{7, whole - 11, true}, Change{0, whole / 2, true},
        Change{0, whole / 2 - 1, false}, Change{whole - 3, 3, false}, Change{whole, 0, false});
    const std::string payload = numbers(whole);
    const std::string part = payload.substr(change.begin, change.size);
    const bool is_text = GENERATE(true, false);
    Received<role> received{payload, static_cast<std::uint8_t>(is_text ? 1 : 2)};
    auto moved = [&] {
        if (is_text) {
            received.text().text = received.text().text.substr(change.begin, change.size);
            return AnyMessage{std::move(received.text())};
        }
        Binary& binary = *std::get_if<Binary>(&*received.event);
        binary.bytes = binary.bytes.subspan(change.begin, change.size);
        return AnyMessage{std::move(binary)};
    }();
    CHECK(text_of(moved.payload()) == part);
    CHECK(may_be_sent(moved));
    CHECK(moved.is_checked() == !is_text);
    REQUIRE(moved.has_memory() == change.is_taken);
    if (!change.is_taken) return;
    OutputBuffer copied;
    const CountingKeys before = received.keys;
    REQUIRE(received.protocol.send(Text{part}, copied));
    received.keys = before;
    if (is_text) {
        const auto frames = received.protocol.take_frames(moved);
        REQUIRE(frames);
        REQUIRE(*frames);
        CHECK(bytes_of_all(**frames) == text_of(copied.bytes()));
    } else {
        const OwnedPayload taken = moved.take();
        CHECK(taken.memory.data() != nullptr);
        CHECK(text_of(taken.bytes) == part);
    }
    CHECK(moved.is_taken());
    CHECK(moved.payload().empty());
    CHECK_FALSE(may_be_sent(moved));
    CHECK(moved.take().memory.data() == nullptr);
}

TEST_CASE("a message that views other bytes is sent without its memory", "[message_frames]") {
    const std::string payload = numbers(100'000), other = payload + "!", invalid = "\xff" + payload;
    Received<Role::server> received{payload}, second{payload}, binary{payload, 2};
    received.text().text = other;
    const AnyMessage moved{std::move(received.text())};
    CHECK_FALSE(moved.has_memory());
    CHECK(text_of(moved.payload()) == other);
    second.text().text = invalid;
    CHECK_FALSE(may_be_sent(AnyMessage{std::move(second.text())}));
    // A text in the memory of binary data is checked.
    Binary& bytes = *std::get_if<Binary>(&*binary.event);
    const AnyMessage text{Text{text_of(bytes.bytes), {}, std::move(bytes.memory)}};
    CHECK(text.has_memory());
    CHECK_FALSE(text.is_checked());
}

TEST_CASE("a message is not taken after a Close frame, or without memory", "[message_frames]") {
    const std::string payload = numbers(100'000);
    Received<Role::server> received{payload};
    const AnyMessage moved{std::move(received.text())};
    for (std::size_t first = 1;; ++first) {
        std::shared_ptr<const MessageFrames> frames;
        AllocationFailures::from(first, 1);
        try {
            const AllocationsMayFail within;
            frames = *received.protocol.take_frames(moved);
        } catch (const std::bad_alloc&) {
        }
        const bool failed = AllocationFailures::happened() > 0;
        AllocationFailures::none();
        CHECK((frames != nullptr) == !failed);
        if (!failed) {
            CHECK(first == 3);
            CHECK(frames->size() == payload.size() + 14);
            break;
        }
        CHECK(text_of(moved.payload()) == payload);
        CHECK(received.account.read() == payload.size());
    }
    Received<Role::server> closing{payload};
    OutputBuffer output;
    REQUIRE(closing.protocol.close(CloseCode::normal, {}, output));
    CHECK(closing.protocol.take_frames(AnyMessage{std::move(closing.text())}).error() == Errc::connection_closed);
}
