// Received messages that a handler moves to send() or publish().
#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "support/transcript.hpp"
#include "wsserver/connection/default_owner.hpp"
#include "wsserver/connection/server_handlers.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

constexpr std::size_t large = std::size_t{1} << 20;
/// More than the memory of a message may exceed its size, and less than a copy of it.
constexpr std::size_t slack = std::size_t{192} << 10;

std::string numbers(std::size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + ' ';
    text.resize(size);
    return text;
}

/// What happened in a reaction.
struct Seen {
    std::size_t bytes = 0;      ///< that were allocated and not freed by the call
    std::size_t queued = 0;     ///< after it
    std::size_t accounted = 0;  ///< after it
    bool is_empty = false;      ///< the message after it
    bool had_memory = false;    ///< the message before it
    std::vector<SendStatus> statuses{};
};

struct Mover {
    Seen* seen;
    std::function<std::size_t()> accounted = [] { return std::size_t{0}; };

    template <class M>
    void on_message(AnyConnection& connection, M message) {
        const std::size_t before = bytes_in_use;
        const AnyMessage moved{std::move(message)};
        seen->had_memory |= moved.has_memory();
        const SendStatus status = connection.send(moved);
        seen->bytes = bytes_in_use - before;
        seen->queued = connection.queued();
        seen->accounted = accounted();
        seen->is_empty = message.payload().empty();
        seen->statuses.push_back(status);
    }
};

struct Copier {
    Seen* seen;
    void on_message(AnyConnection& connection, const Text& message) {
        const std::size_t before = bytes_in_use;
        connection.send(std::move(message));  // NOLINT(performance-move-const-arg): it is const, so it is copied
        seen->bytes = bytes_in_use - before;
        seen->is_empty = message.text.empty();
    }
};

/// All are members of a room, to which each publishes.
struct Publisher {
    Seen* seen;
    void on_open(AnyConnection& connection) { connection.join("room"); }
    void on_message(AnyConnection& connection, Text message) {
        const std::size_t before = bytes_in_use;
        seen->statuses.push_back(connection.publish("room", std::move(message)));
        seen->bytes = bytes_in_use - before;
    }
};

/// Runs `f` on a thread that has kept no buffers yet, which would hide allocations.
template <class F>
void on_new_thread(F f) {
    std::thread{f}.join();
}

/// A message as a client sends it, in `count` frames.
void write(WireClient& client, std::uint8_t opcode, const std::string& payload, std::size_t count) {
    const std::size_t most = payload.size() / count + 1;
    for (std::size_t begin = 0, i = 0; i < count; ++i, begin += most) {
        const auto fin = static_cast<std::uint8_t>(i + 1 == count ? 0x80 : 0);
        const std::string part = begin < payload.size() ? payload.substr(begin, most) : "";
        client.wire().write(frame_to<Role::server>(static_cast<std::uint8_t>(fin | (i == 0 ? opcode : 0)), part));
    }
}

ConnectionOptions with_queue(std::size_t high_mark, std::size_t hard_limit, SlowConsumer policy) {
    ConnectionOptions options;
    options.send_queue = {.high_mark = high_mark, .hard_limit = hard_limit, .policy = policy};
    return options;
}

}  // namespace

TEST_CASE("a message that is moved arrives whole, whatever its size, frames and type", "[moved_message]") {
    const auto size = GENERATE(std::size_t{0}, std::size_t{5}, std::size_t{40'000}, std::size_t{300'000}, large);
    const auto frames = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{30});
    const std::string payload = numbers(size);
    Seen seen;
    MemoryServer server;
    server.handle("", Mover{&seen});
    WireClient client = server.open();
    for (int i = 0; i < 3; ++i) {
        write(client, 1, payload, frames);
        write(client, 2, payload, frames);
        client.send("short");
    }
    server.run();
    const Strings events = client.read();
    REQUIRE(events.size() == 9);
    for (std::size_t i = 0; i < 9; i += 3) {
        CHECK((events[i] == "text " + payload || (size == 0 && events[i] == "text")));
        CHECK(events[i + 1].starts_with("binary"));
        CHECK(events[i + 2] == "text short");
    }
    CHECK(events[1] == events[4]);
    CHECK(seen.is_empty);
    CHECK(seen.statuses == std::vector<SendStatus>(9, SendStatus::queued));
    CHECK(server.reactor().memory().read() == 0);
    CHECK(server.reactor().counters().messages_out.read() == 9);
}

TEST_CASE("a long message that is moved is not copied, and counts once until it is sent", "[moved_message]") {
    const auto frames = GENERATE(std::size_t{1}, std::size_t{40});
    const std::string payload = numbers(large);
    Seen moved, copied;
    std::size_t held = 0, waiting = 0, left = 1;
    std::string answer, first_frame;
    on_new_thread([&] {
        MemoryServer server;
        server.handle("", Mover{&moved, [&] { return server.reactor().memory().read(); }});
        server.handle("copy", Copier{&copied});
        WireClient client = server.open(), other = server.open("copy");
        server.transport().hold_sends();
        write(client, 1, payload, frames);
        server.run();
        held = server.reactor().memory().read();
        waiting = server.reactor().list().at(0).queued;
        server.transport().release_sends();
        server.run();
        left = server.reactor().memory().read();
        first_frame = text_of(client.wire().unread().first(2));
        answer = client.read().at(0);
        write(other, 1, payload, frames);
        server.run();
    });
    CHECK(moved.bytes < 16'000);
    CHECK(moved.is_empty);
    CHECK(moved.queued == large + 16 * 10);  // 16 frames
    CHECK(waiting == moved.queued);
    CHECK(moved.accounted >= large);
    CHECK(moved.accounted < large + large / 2 + slack);
    CHECK(held >= large);
    CHECK(held < large + large / 2 + slack);
    CHECK(left == 0);
    CHECK(answer == "text " + payload);
    CHECK(copied.bytes >= large);
    CHECK_FALSE(copied.is_empty);
}

TEST_CASE("the members of a room share a message that is moved, also when one ends meanwhile", "[moved_message]") {
    const std::string payload = numbers(large);
    Seen seen;
    std::size_t waiting = 0, after_one = 0, left = 1, counted = 1, held = 0;
    std::vector<Strings> heard;
    on_new_thread([&] {
        MemoryServer server{ConnectionOptions{}, 2};
        server.handle("", Publisher{&seen});
        std::vector<WireClient> clients;
        for (int i = 0; i < 4; ++i) clients.push_back(server.open());
        for (std::size_t i = 0; i < 2; ++i) server.transport(i).hold_sends();
        write(clients[0], 1, payload, 1);
        server.run();
        waiting = server.shared.waiting_broadcasts()->load();
        for (std::size_t i = 0; i < 2; ++i) held += server.reactor(i).memory().read();
        clients[2].wire().reset();
        server.run();
        after_one = server.shared.waiting_broadcasts()->load();
        for (std::size_t i = 0; i < 2; ++i) server.transport(i).release_sends();
        server.run();
        for (std::size_t i = 0; i < 4; ++i) heard.push_back(i == 2 ? Strings{} : clients[i].read());
        left = server.shared.waiting_broadcasts()->load();
        counted = server.reactor(0).memory().read() + server.reactor(1).memory().read();
    });
    CHECK(seen.statuses == std::vector<SendStatus>{SendStatus::queued});
    CHECK(seen.bytes < 16'000);
    CHECK(waiting >= large);
    CHECK(waiting < large + slack);
    CHECK(held < 16'000);
    CHECK(after_one == waiting);
    CHECK(heard == std::vector<Strings>{{}, {"text " + payload}, {}, {"text " + payload}});
    CHECK(left == 0);
    CHECK(counted == 0);
}

TEST_CASE("a client masks a long message that it moves where it is", "[moved_message]") {
    struct Greeter {
        const std::string* greeting;
        std::string* answer;
        void on_open(AnyConnection& connection) { connection.send(*greeting); }
        void on_message(AnyConnection&, const Text& message) { *answer = message.text; }
    };
    const std::string payload = numbers(large);
    Seen seen;
    std::string answer;
    std::size_t left = 1;
    on_new_thread([&] {
        const wsserver::Endpoint place{"server", 80, {}};
        MemoryNetwork network;
        ServerOn<MemoryTransport> server{network};
        ClientOn<MemoryTransport> client{network};
        server.handle(Greeter{&payload, &answer});
        server.listen(std::move(network.open_listeners(place).front()));
        client.connect(*network.connect(place), {.host = "server"}, Mover{&seen, [&] { return client.memory(); }});
        network.run_until_idle();
        left = client.memory() + server.memory();
    });
    CHECK(answer == payload);
    CHECK(seen.statuses == std::vector<SendStatus>{SendStatus::queued});
    CHECK(seen.bytes < 16'000);
    CHECK(seen.queued == large + 16 * 14);
    CHECK(seen.accounted >= large);
    CHECK(seen.accounted < 3 * large);
    CHECK(left == 0);
}

TEST_CASE("long and short broadcasts of one turn stay in order", "[moved_message]") {
    Seen seen;
    MemoryServer server;
    server.handle("", Publisher{&seen});
    WireClient sender = server.open(), receiver = server.open();
    const std::string payload = numbers(100'000);
    sender.send("1");
    write(sender, 1, payload, 3);
    sender.send("2");
    sender.send("3");
    write(sender, 1, payload, 3);
    write(sender, 1, payload, 2);
    server.run();
    CHECK(receiver.read() ==
          Strings{"text 1", "text " + payload, "text 2", "text 3", "text " + payload, "text " + payload});
}

TEST_CASE("the limits of the send queue apply to messages that are moved", "[moved_message]") {
    const auto policy = GENERATE(SlowConsumer::drop_newest, SlowConsumer::close);
    Seen seen;
    MemoryServer server{with_queue(100'000'000, 150'000, policy)};
    server.handle("", Mover{&seen});
    WireClient client = server.open();
    server.transport().hold_sends();
    const std::string payload = numbers(100'000);
    for (int i = 0; i < 3; ++i) {
        write(client, 1, payload, 1);
        server.run();
    }
    const bool closes = policy == SlowConsumer::close;
    CHECK(seen.statuses == std::vector<SendStatus>{SendStatus::queued, SendStatus::queued,
                                                   closes ? SendStatus::closed : SendStatus::dropped});
    CHECK(server.reactor().counters().slow_consumers.read() == (closes ? 1 : 0));
    server.transport().release_sends();
    server.run();
    const Strings events = client.read();
    REQUIRE_FALSE(events.empty());
    CHECK(events.front() == "text " + payload);
    CHECK(events.back() == (closes ? "close 1013 slow consumer" : "text " + payload));
    server.run();
    CHECK(server.reactor().memory().read() == 0);
}

TEST_CASE("a part that a handler cut off from a message is not sent", "[moved_message]") {
    /// Messages are `ROOM:TEXT`.
    struct Rooms {
        void on_open(AnyConnection& connection) { connection.join("room"); }
        void on_message(AnyConnection& connection, Text message) {
            const std::string room{message.text.substr(0, message.text.find(':'))};
            message.text.remove_prefix(room.size() + 1);
            connection.publish(room, std::move(message));
        }
        void on_message(AnyConnection& connection, Binary message) {
            const std::string answer = "got it";
            message.bytes = bytes_of(answer);
            connection.send(std::move(message));
        }
    };
    const auto size = GENERATE(std::size_t{10}, std::size_t{100'000});
    MemoryServer server;
    server.handle("", Rooms{});
    WireClient sender = server.open(), receiver = server.open();
    const std::string payload = numbers(size);
    write(sender, 1, "room:" + payload, 2);
    write(sender, 2, payload, 2);
    server.run();
    CHECK(receiver.read() == Strings{"text " + payload});
    CHECK(sender.read() == Strings{"binary got it"});
}

TEST_CASE("a message that was moved once is refused the second time", "[moved_message]") {
    static std::vector<SendStatus> statuses;
    statuses.clear();
    struct Twice {
        static void both(AnyConnection& connection, const AnyMessage& message) {
            statuses.push_back(connection.send(message));
            statuses.push_back(connection.send(message));
            statuses.push_back(connection.publish(message));
            statuses.push_back(connection.hub()->send(connection.id(), message));
        }
        void on_message(AnyConnection& connection, Text message) {
            both(connection, std::move(message));
            statuses.push_back(connection.send(message));
        }
    };
    struct AnyTwice {
        void on_message(AnyConnection& connection, const AnyMessage& message) { Twice::both(connection, message); }
    };
    MemoryServer server;
    server.handle("", Twice{});
    server.handle("any", AnyTwice{});
    WireClient client = server.open(), other = server.open("any");
    const std::string payload = numbers(100'000);
    write(client, 1, payload, 1);
    server.run();
    using enum SendStatus;
    CHECK(statuses == std::vector<SendStatus>{queued, refused, refused, refused, queued});
    CHECK(client.read() == Strings{"text " + payload, "text"});
    statuses.clear();
    write(other, 1, payload, 1);
    server.run();
    CHECK(statuses == std::vector<SendStatus>{queued, queued, queued, queued});
    CHECK(other.read() == Strings{"text " + payload, "text " + payload, "text " + payload});
}

TEST_CASE("a function may move its message, too, unless it takes any message", "[moved_message]") {
    std::vector<bool> has_memory;
    std::size_t sent = 0;
    const auto mover = [&](AnyConnection& connection, Text message) {
        const AnyMessage moved{std::move(message)};
        has_memory.push_back(moved.has_memory());
        if (connection.send(moved) == SendStatus::queued) ++sent;
    };
    const auto viewer = [&](AnyConnection& connection, const AnyMessage& message) {
        has_memory.push_back(message.has_memory());
        for (int i = 0; i < 2; ++i) sent += connection.send(message) == SendStatus::queued ? 1 : 0;
    };
    MemoryServer server;
    server.handle("", detail::MessageFunction<decltype(mover), Runs::inline_>{mover});
    server.handle("any", detail::MessageFunction<decltype(viewer), Runs::inline_>{viewer});
    WireClient client = server.open(), other = server.open("any");
    const std::string payload = numbers(100'000);
    write(client, 1, payload, 1);
    server.run();
    write(other, 1, payload, 1);
    server.run();
    CHECK(has_memory == std::vector<bool>{true, false});
    CHECK(sent == 3);
    CHECK(client.read() == Strings{"text " + payload});
    CHECK(other.read() == Strings{"text " + payload, "text " + payload});
}

TEST_CASE("a handler that passes a message on to two others gives its memory to neither", "[moved_message]") {
    struct Both final : AnyHandler {
        std::string_view name() const noexcept override { return "both"; }
        void on_message(AnyConnection& connection, const Text& message) override {
            first.on_message(connection, message);
            second.on_message(connection, message);
            left = message.text;
        }

        HandlerOf<Mover> first, second;
        std::string left{};
        Both(Seen& of_first, Seen& of_second) : first("first", Mover{&of_first}), second("second", Mover{&of_second}) {}
    };
    Seen first, second;
    const auto both = std::make_shared<Both>(first, second);
    MemoryServer server;
    server.shared.handlers[""] = both;
    WireClient client = server.open();
    const std::string payload = numbers(100'000);
    write(client, 1, payload, 2);
    server.run();
    CHECK(client.read() == Strings{"text " + payload, "text " + payload});
    CHECK(both->left == payload);
    CHECK_FALSE(first.had_memory);
    CHECK_FALSE(second.had_memory);
    CHECK(first.statuses == std::vector<SendStatus>{SendStatus::queued});
    CHECK(second.statuses == std::vector<SendStatus>{SendStatus::queued});
}

namespace {

/// By Room::send_twice().
struct {
    std::size_t sent;
    bool had_memory;
} sends;

struct Room {
    static void send_twice(AnyConnection& connection, const AnyMessage& message) {
        sends.had_memory |= message.has_memory();
        for (int i = 0; i < 2; ++i) sends.sent += connection.send(message) == SendStatus::queued ? 1 : 0;
    }
    void receive(AnyConnection& connection, const AnyMessage& message) { send_twice(connection, message); }
    void receive_value(AnyConnection& connection, AnyMessage message) { send_twice(connection, message); }
};

struct Overloads {
    void on_message(AnyConnection& connection, const Text& message) { Room::send_twice(connection, message); }
    void on_message(AnyConnection& connection, const AnyMessage& message) { Room::send_twice(connection, message); }
};

struct ByReference {
    void on_message(AnyConnection& connection, auto& message) { Room::send_twice(connection, message); }
};

struct ByRvalue {
    void on_message(AnyConnection& connection, Text&& message) { Room::send_twice(connection, std::move(message)); }
    void on_message(AnyConnection& connection, Binary&& message) { Room::send_twice(connection, std::move(message)); }
};

}  // namespace

TEST_CASE("a message that is sent several times without a move is sent each time", "[moved_message]") {
    sends = {};
    Room room;
    const auto by_reference = [](auto& connection, auto& message) { Room::send_twice(connection, message); };
    const auto bound = std::bind_front(&Room::receive, &room);
    const auto bound_value = std::bind_front(&Room::receive_value, &room);
    MemoryServer server;
    server.handle("overloads", Overloads{});
    server.handle("reference", ByReference{});
    server.handle("rvalue", ByRvalue{});
    server.handle("function", detail::MessageFunction<decltype(by_reference), Runs::inline_>{by_reference});
    server.handle("bound", detail::MessageFunction<decltype(bound), Runs::inline_>{bound});
    server.handle("bound_value", detail::MessageFunction<decltype(bound_value), Runs::inline_>{bound_value});
    const auto* const name = GENERATE("overloads", "reference", "rvalue", "function", "bound", "bound_value");
    WireClient client = server.open(name);
    const std::string payload = numbers(100'000);
    write(client, 1, payload, 2);
    write(client, 2, payload, 2);
    server.run();
    CHECK(sends.sent == 4);
    CHECK_FALSE(sends.had_memory);
    CHECK(client.read() == Strings{"text " + payload, "text " + payload, "binary " + payload, "binary " + payload});
}
