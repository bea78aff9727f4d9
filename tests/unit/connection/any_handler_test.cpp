#include "wsserver/connection/any_handler.hpp"

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/byte_script.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using wsserver::test::Strings;

namespace {

/// Calls each reaction of `handler` once, in the order in which a connection calls them.
std::vector<std::string> live_with(AnyHandler& handler) {
    RecordingConnection connection;
    const auto payload = test::byte_script("01 02");
    handler.on_open(connection);
    handler.on_message(connection, Text{"hi"});
    handler.on_message(connection, Binary{payload});
    handler.on_ping(connection, Ping{payload});
    handler.on_pong(connection, Pong{payload});
    handler.on_drained(connection);
    handler.on_close(connection, Close{CloseCode::going_away, "bye"});
    return connection.calls;
}

const std::string declined = "close 1003 the handler takes no messages of this type";

struct EchoesAll {
    void on_message(AnyConnection& c, const Text& m) { c.send(m); }
    void on_message(AnyConnection& c, const Binary& m) { c.send(m); }
};

struct TextOnly {
    void on_message(AnyConnection& c, const Text& m) { c.send(m); }
};

struct BinaryOnly {
    static constexpr Runs runs = Runs::pooled;
    void on_message(AnyConnection& c, const Binary& m) { c.send(m); }
};

struct Anything {
    void on_message(AnyConnection& c, const Message& m) {
        std::visit(overloaded{[&](const Text& text) { c.send(text); }, [&](const Binary& binary) { c.send(binary); },
                              [](const auto&) { FAIL("a control frame is not a message"); }},
                   m);
    }
};

struct Generic {
    template <class M>
    void on_message(AnyConnection& c, const M& m) {
        c.send(m);
    }
};

struct GenericTextOnly {  // one template is not a set of overloads
    void on_message(auto& c, const Text& m) { c.send(m); }
};

struct Helped {  // an overload that the class itself calls
    void on_message(AnyConnection& c, const Text& m) { on_message(c, m.text); }
    void on_message(AnyConnection& c, const Binary& m) { on_message(c, text_of(m.bytes)); }
    void on_message(AnyConnection& c, std::string_view m) { c.send(bytes_of(m)); }
};

struct OpenAndClose {
    void on_open(AnyConnection& c) { c.send(Text{"welcome"}); }
    void on_close(AnyConnection& c, const Close& close) { c.send(Text{close.reason}); }
};

struct PingAndPong {
    void on_ping(AnyConnection& c, const Ping& ping) { c.ping(ping.payload); }
    void on_pong(AnyConnection& c, const Pong& pong) { c.ping(pong.payload); }
};

struct Drained {
    void on_open(AnyConnection&) {}
    void on_drained(AnyConnection& c) { c.send("more"); }
};

struct Counter {
    CommandAnswer on_command(std::span<const std::string> words, Bytes payload) {
        if (words.empty()) return {false, "count what?"};
        return {true, words[0] + " " + std::to_string(payload.size())};
    }
};

struct SharedCounts {
    static constexpr Runs runs = Runs::pooled;
    std::mutex mutex{};
    int messages = 0;
    void on_message(AnyConnection&, const Text&) {
        const std::lock_guard lock(mutex);
        ++messages;
    }
    CommandAnswer on_command(std::span<const std::string>, Bytes) { return {true, "counts"}; }
};

}  // namespace

TEST_CASE("reactions are called with the types that they accept", "[any_handler]") {
    CHECK(live_with(*make_handler("echo", EchoesAll{})) == Strings{"text hi", "binary 01 02"});
    CHECK(live_with(*make_handler("any", Anything{})) == Strings{"text hi", "binary 01 02"});
    CHECK(live_with(*make_handler("generic", Generic{})) == Strings{"text hi", "binary 01 02"});
    CHECK(live_with(*make_handler("open", OpenAndClose{})) == Strings{"text welcome", "text bye"});
    CHECK(live_with(*make_handler("ping", PingAndPong{})) == Strings{"ping 01 02", "ping 01 02"});
    CHECK(live_with(*make_handler("drained", Drained{})) == Strings{"text more"});
    CHECK(make_handler("drained", Drained{})->wants_drained());
    CHECK_FALSE(make_handler("echo", EchoesAll{})->wants_drained());
}

TEST_CASE("a message of a type that the handler does not take closes with 1003", "[any_handler][rfc6455-7.4.1]") {
    CHECK(live_with(*make_handler("text", TextOnly{})) == Strings{"text hi", declined});
    CHECK(live_with(*make_handler("binary", BinaryOnly{})) == Strings{declined, "binary 01 02"});
}

TEST_CASE("a handler takes messages in parts or whole", "[any_handler]") {
    struct Parts {
        std::string bytes{};
        void on_part(AnyConnection& c, const Part& part) {
            bytes += text_of(part.bytes);
            if (part.last) c.send(Text{bytes});
        }
    };
    CHECK_FALSE(make_handler("echo", EchoesAll{})->takes_parts());
    const auto handler = make_handler("parts", Parts{});
    CHECK(handler->takes_parts());
    RecordingConnection connection;
    handler->on_part(connection, {Opcode::text, bytes_of("a"), true, false});
    handler->on_part(connection, {Opcode::text, bytes_of("b"), false, true});
    CHECK(connection.calls == Strings{"text ab"});
}

TEST_CASE("a handler without on_message ignores messages", "[any_handler]") {
    CHECK(live_with(*make_handler("count", Counter{})).empty());
}

TEST_CASE("a handler has a name, a thread and commands", "[any_handler]") {
    CHECK(make_handler("echo", EchoesAll{})->name() == "echo");
    CHECK(make_handler("echo", EchoesAll{})->runs() == Runs::inline_);
    CHECK(make_handler("binary", BinaryOnly{})->runs() == Runs::pooled);

    const std::vector<std::string> words{"apples"};
    const auto payload = test::byte_script("01 02 03");
    const auto counted = make_handler("count", Counter{})->on_command(words, payload);
    CHECK(counted.ok);
    CHECK(counted.output == "apples 3");
    CHECK_FALSE(make_handler("count", Counter{})->on_command({}, {}).ok);
    CHECK_FALSE(make_handler("echo", EchoesAll{})->on_command(words, payload).ok);
}

TEST_CASE("a handler keeps its state, and its exceptions are passed on", "[any_handler]") {
    struct Sums {
        std::size_t sum = 0;
        void on_message(AnyConnection& c, const Text& m) {
            if (m.text.empty()) throw std::runtime_error{"empty"};
            sum += m.text.size();
            c.send(Text{std::to_string(sum)});
        }
    };
    const auto handler = make_handler("sums", Sums{});
    RecordingConnection connection;
    handler->on_message(connection, Text{"abc"});
    handler->on_message(connection, Text{"de"});
    CHECK(connection.calls == Strings{"text 3", "text 5"});
    CHECK_THROWS_AS(handler->on_message(connection, Text{}), std::runtime_error);
}

TEST_CASE("a final class may be a handler", "[any_handler]") {
    struct Final final {
        void on_message(AnyConnection& connection, const Text& message) { connection.send(message); }
    };
    const auto handler = make_handler("final", Final{});
    RecordingConnection connection;
    handler->on_message(connection, Text{"x"});
    handler->on_message(connection, Binary{});
    CHECK(connection.calls == Strings{"text x", declined});
}

TEST_CASE("a template or a helper with the name of a reaction is accepted", "[any_handler]") {
    CHECK(live_with(*make_handler("generic", GenericTextOnly{})) == Strings{"text hi", declined});
    CHECK(live_with(*make_handler("helped", Helped{})) == Strings{"binary hi", "binary 01 02"});
}

TEST_CASE("a shared object of the program is called and kept", "[any_handler]") {
    auto counts = std::make_shared<SharedCounts>();
    auto handler = make_handler("counts", counts);
    CHECK(handler->runs() == Runs::pooled);
    CHECK(live_with(*handler) == Strings{declined});
    CHECK(handler->on_command({}, {}).output == "counts");
    CHECK(counts->messages == 1);
    const std::weak_ptr<SharedCounts> watched = counts;
    counts.reset();
    CHECK_FALSE(watched.expired());
    handler.reset();
    CHECK(watched.expired());
}

TEST_CASE("a handler of the program's own that is an AnyHandler stays what it is", "[any_handler]") {
    struct Own final : AnyHandler {
        std::string_view name() const noexcept override { return "own"; }
        void on_message(AnyConnection& connection, const Text& message) override { connection.send(message); }
    };
    const auto own = std::make_shared<Own>();
    const auto handler = make_handler("another name", own);
    CHECK(handler == own);
    CHECK(handler->name() == "own");
    CHECK_FALSE(handler->takes_parts());
}
