// Messages that are sent in pieces: the order of what is sent meanwhile, the limits, and what the peer gets if one
// cannot end.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/frames.hpp"
#include "support/handlers.hpp"
#include "support/memory_server.hpp"
#include "support/strings.hpp"
#include "wsserver/connection/default_owner.hpp"
#include "wsserver/connection/send_queue.hpp"
#include "wsserver/protocol/frame.hpp"
#include "wsserver/transport/memory.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

std::string frame(Opcode opcode, bool fin, std::string_view payload) {
    OutputBuffer output;
    append_frame(output, {.fin = fin, .opcode = opcode, .payload_length = payload.size()}, bytes_of(payload));
    return std::string{text_of(output.bytes())};
}
std::string whole(std::string_view payload) { return frame(Opcode::text, true, payload); }
std::string first(std::string_view payload) { return frame(Opcode::text, false, payload); }
std::string next(std::string_view payload) { return frame(Opcode::continuation, false, payload); }
std::string final_frame() { return frame(Opcode::continuation, true, {}); }

struct Queue {
    SendQueueLimits limits{};
    SendQueue queue{limits};

    PushResult push(std::string_view frames, SendKind kind = SendKind::reply) {
        return queue.push(bytes_of(frames), kind);
    }
    Strings take(std::size_t max_bytes = everything) {
        std::vector<SendPiece> batch;
        (void)queue.take(max_bytes, batch);
        std::string bytes;
        for (const SendPiece& piece : batch) bytes += text_of(piece.bytes);
        queue.batch_sent();
        return bytes.empty() ? Strings{} : frames_in(bytes);
    }
};

}  // namespace

// --- The queue ---

TEST_CASE("messages wait for the end of an open message, and controls do not", "[send_parts][rfc6455-5.4]") {
    Queue q;
    q.push(whole("before"));
    CHECK(q.queue.open_message(Opcode::text).status == SendStatus::queued);
    q.push(first("one"), SendKind::part);
    q.push(whole("after"));
    q.push(next("two"), SendKind::part);
    q.push(whole("too"));
    q.push(frame(Opcode::ping, true, "p"), SendKind::control);
    CHECK(q.take() == Strings{"89 70", "81 before", "01 one", "00 two"});
    CHECK(q.take().empty());
    CHECK_FALSE(q.queue.idle());
    CHECK(q.queue.messages() == 2);
    CHECK(q.queue.bytes() == whole("after").size() + whole("too").size());
    q.push(next("three"), SendKind::part);
    CHECK(q.take() == Strings{"00 three"});
    q.push(final_frame(), SendKind::last_part);
    CHECK(q.queue.open_message() == nullptr);
    CHECK(q.take() == Strings{"80", "81 after", "81 too"});
    CHECK(q.queue.idle());
    CHECK(q.queue.memory() == 0);
}

TEST_CASE("a queue with an open message is not idle", "[send_parts]") {
    Queue q;
    q.queue.open_message(Opcode::binary);
    CHECK_FALSE(q.queue.idle());
    CHECK(q.queue.is_free_for_part());
    CHECK(q.queue.bytes() == 0);
    q.queue.end_message();  // its last part has left without the queue
    CHECK(q.queue.idle());
    CHECK_FALSE(q.queue.is_free_for_part());
}

TEST_CASE("a Close frame follows the parts so far, and drops what is after them", "[send_parts][rfc6455-5.5.1]") {
    Queue q;
    q.push(whole("before"));
    q.queue.open_message(Opcode::text);
    q.push(first("one"), SendKind::part);
    q.push(whole("after"));
    q.push(frame(Opcode::close, true, "\x03\xE8"), SendKind::close);
    CHECK(q.queue.abandon_message() == 2);
    CHECK(q.queue.abandon_message() == 0);
    CHECK(q.push(whole("late"), SendKind::reply).status == SendStatus::closed);
    CHECK(q.take() == Strings{"81 before", "01 one", close_frame(CloseCode::normal, "")});
    CHECK(q.queue.idle());
}

TEST_CASE("the policies drop whole messages, before or after an open one, and never its parts", "[send_parts]") {
    const auto policy = GENERATE(SlowConsumer::drop_oldest, SlowConsumer::keep_latest);
    Queue q;
    q.limits = {.high_mark = 1'000, .hard_limit = 1'000, .policy = policy};
    q.push(whole(std::string(500, 'b')));
    q.queue.open_message(Opcode::text);
    q.push(first(std::string(600, 'o')), SendKind::part);
    q.push(whole("after"));
    q.push(whole(std::string(900, 'x')));
    CHECK(q.push(whole(std::string(100, 'c'))).dropped == 0);
    const PushResult pushed = q.push(whole("last"));
    CHECK(pushed.status == SendStatus::queued);
    CHECK(pushed.dropped == (policy == SlowConsumer::drop_oldest ? 2 : 3));  // after the open message
    const PushResult part = q.push(next("p"), SendKind::part);
    CHECK(part.status == SendStatus::queued);
    CHECK(part.dropped == 1);  // before it
    q.push(final_frame(), SendKind::last_part);
    Strings frames{"01 " + std::string(600, 'o'), "00 p", "80"};
    if (policy == SlowConsumer::drop_oldest) frames.push_back("81 " + std::string(100, 'c'));
    frames.emplace_back("81 last");
    CHECK(q.take() == frames);
    CHECK(q.queue.idle());
    CHECK(q.queue.memory() == 0);
}

TEST_CASE("parts, Pings and Pongs pass whatever waits for the end of an open message", "[send_parts][rfc6455-5.4]") {
    const auto policy =
        GENERATE(SlowConsumer::close, SlowConsumer::drop_oldest, SlowConsumer::drop_newest, SlowConsumer::keep_latest);
    Queue q;
    q.limits = {.high_mark = 500, .hard_limit = 1'000, .policy = policy};
    q.queue.open_message(Opcode::text);
    q.push(first(std::string(600, 'o')), SendKind::part);
    for (int i = 0; i < 2; ++i) {  // also broadcasts, although the parts are over the high mark
        CHECK(q.push(whole(std::string(600, 'a')), SendKind::message).status == SendStatus::queued);
    }
    CHECK(q.queue.delays_too_much());
    CHECK(q.push(frame(Opcode::pong, true, "p"), SendKind::control).status == SendStatus::queued);
    CHECK(q.push(next("two"), SendKind::part).status == SendStatus::queued);
    CHECK(q.take() == Strings{"8a 70", "01 " + std::string(600, 'o'), "00 two"});
    const PushResult over = q.push(whole("more"), SendKind::reply);
    CHECK(over.must_close == (policy == SlowConsumer::close));
    CHECK((over.status == SendStatus::dropped) == (policy == SlowConsumer::drop_newest));
}

TEST_CASE("messages that were after another count for no limit from its end until they have left", "[send_parts]") {
    Queue q;
    q.limits = {.high_mark = 500, .hard_limit = 1'000, .policy = SlowConsumer::close};
    q.queue.open_message(Opcode::text);
    for (int i = 0; i < 2; ++i) q.push(whole(std::string(400, 'a')), SendKind::message);
    q.push(final_frame(), SendKind::last_part);
    CHECK(q.push(whole(std::string(300, 'b')), SendKind::message).status == SendStatus::queued);
    CHECK(q.push(whole(std::string(300, 'c')), SendKind::message).status == SendStatus::queued);
    CHECK(q.push(whole("d"), SendKind::message).must_close);  // these count
    q.take();
    CHECK(q.queue.idle());
    for (int i = 0; i < 2; ++i)
        CHECK(q.push(whole(std::string(300, 'e')), SendKind::message).status == SendStatus::queued);
    CHECK(q.push(whole("f"), SendKind::message).must_close);
}

TEST_CASE("parts over the hard limit close the connection under every policy", "[send_parts]") {
    const auto policy =
        GENERATE(SlowConsumer::close, SlowConsumer::drop_oldest, SlowConsumer::drop_newest, SlowConsumer::keep_latest);
    Queue q;
    q.limits = {.high_mark = 500, .hard_limit = 1'000, .policy = policy};
    q.queue.open_message(Opcode::text);
    q.push(first(std::string(1'200, 'x')), SendKind::part);
    const PushResult pushed = q.push(next("y"), SendKind::part);
    CHECK(pushed.must_close);
    CHECK(pushed.status == SendStatus::closed);
    CHECK(q.queue.discard() == 1);
    CHECK(q.queue.idle());
}

TEST_CASE("a message that the policy drops is not opened", "[send_parts]") {
    Queue q;
    q.limits = {.high_mark = 10, .hard_limit = 10, .policy = SlowConsumer::drop_newest};
    q.push(whole(std::string(600, 'x')));
    const PushResult opened = q.queue.open_message(Opcode::text);
    CHECK(opened.status == SendStatus::dropped);
    CHECK(opened.dropped == 1);
    CHECK(q.queue.open_message() == nullptr);
}

TEST_CASE("messages after an open one do not count for the marks until its end", "[send_parts]") {
    Queue q;
    q.limits = {.high_mark = 1'000, .hard_limit = 10'000, .policy = SlowConsumer::close};
    q.queue.open_message(Opcode::text);
    q.push(whole(std::string(3'000, 'x')));
    CHECK_FALSE(q.queue.holds_reading());
    CHECK(q.queue.is_low());
    CHECK_FALSE(q.queue.is_over_high_mark());
    q.push(final_frame(), SendKind::last_part);
    CHECK(q.queue.is_over_high_mark());
    CHECK(q.queue.holds_reading());
    CHECK(q.queue.wants_drained());
    CHECK_FALSE(q.queue.is_low());
}

TEST_CASE("any order of pushes and takes leaves each message whole and in order", "[send_parts]") {
    for (unsigned seed = 1; seed <= 300; ++seed) {
        std::minstd_rand random{seed};
        const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
        Queue q;
        std::string sent;
        Strings wanted, later;  // later: after the open message
        std::string open;
        const auto take = [&] {
            std::vector<SendPiece> batch;
            (void)q.queue.take(below(200) + 1, batch);
            for (const SendPiece& piece : batch) sent += text_of(piece.bytes);
            q.queue.batch_sent();
        };
        for (int step = 0; step < 60; ++step) {
            const std::string text(below(300), static_cast<char>('a' + step % 26));
            const bool is_open = q.queue.open_message() != nullptr;
            switch (below(4)) {
                case 0:
                    q.push(whole(text));
                    (is_open ? later : wanted).push_back(text);
                    break;
                case 1:
                    if (!is_open) q.queue.open_message(Opcode::text);
                    if (!is_open) open.clear();
                    if (!is_open) q.push(first(text), SendKind::part);
                    if (is_open) q.push(next(text), SendKind::part);
                    open += text;
                    break;
                case 2:
                    if (!is_open) break;
                    q.push(final_frame(), SendKind::last_part);
                    wanted.push_back(open);
                    wanted.insert(wanted.end(), later.begin(), later.end());
                    later.clear();
                    break;
                default:
                    take();
            }
        }
        if (q.queue.open_message() != nullptr) {
            q.push(final_frame(), SendKind::last_part);
            wanted.push_back(open);
            wanted.insert(wanted.end(), later.begin(), later.end());
        }
        while (!q.queue.idle()) take();
        CAPTURE(seed);
        Strings arrived;
        std::string message;
        bool within = false;
        Bytes rest = bytes_of(sent);
        while (!rest.empty()) {
            const auto decoded = decode_header(rest);
            const auto& header = std::get<FrameHeader>(decoded);
            REQUIRE((header.opcode == Opcode::continuation) == within);
            within = !header.fin;
            const auto length = static_cast<std::size_t>(header.payload_length);
            message += text_of(rest.subspan(header.size, length));
            rest = rest.subspan(header.size + length);
            if (header.fin) arrived.push_back(std::exchange(message, {}));
        }
        REQUIRE(arrived == wanted);
        REQUIRE(q.queue.memory() == 0);
    }
}

// --- The connection ---

namespace {

/// Lets the test send on its connection, within reactions to the text `go`.
struct Puppet {
    std::function<void(AnyConnection&)>* act;
    Strings* events;
    void on_message(AnyConnection& connection, const Text& message) {
        if (message.text == "go") (*act)(connection);
    }
    void on_close(AnyConnection&, const Close& close) { events->push_back(to_string(Event{close})); }
};

struct Stage {
    explicit Stage(const ConnectionOptions& options = {}) : server(options) {
        server.handle("", Puppet{&act, &events});
        client.emplace(server.open());
        id = server.reactor().list().at(0).id;
    }
    void go(std::function<void(AnyConnection&)> what) {
        act = std::move(what);
        client->send("go");
        server.run();
    }
    Strings frames() { return frames_in(client->wire().read()); }

    std::function<void(AnyConnection&)> act;
    Strings events;
    MemoryServer server;
    std::optional<WireClient> client;
    ConnectionId id;
};

}  // namespace

TEST_CASE("the pieces of a message are frames of it as they are sent", "[send_parts][rfc6455-5.4]") {
    Stage stage;
    stage.go([](AnyConnection& c) {
        CHECK(c.begin_message(Opcode::text) == SendStatus::queued);
        CHECK(c.append("Hel") == SendStatus::queued);
        CHECK(c.append("") == SendStatus::queued);
    });
    CHECK(stage.frames() == Strings{"01 Hel"});
    stage.go([](AnyConnection& c) {
        CHECK(c.append(bytes_of("lo")) == SendStatus::queued);
        CHECK(c.end_message() == SendStatus::queued);
        CHECK(c.send("next") == SendStatus::queued);
        CHECK(c.begin_message(Opcode::binary) == SendStatus::queued);
        CHECK(c.end_message() == SendStatus::queued);
    });
    CHECK(stage.frames() == Strings{"00 lo", "80", "81 next", "82"});
    CHECK(stage.server.reactor().list().at(0).messages_out == 3);
    CHECK(stage.server.reactor().list().at(0).queued == 0);
    CHECK(stage.server.reactor().memory().read() == 0);
}

TEST_CASE("other messages wait for the end of an open message, and Pongs do not", "[send_parts][rfc6455-5.4]") {
    Stage stage;
    Hub& hub = stage.server.hub();
    stage.go([](AnyConnection& c) {
        (void)c.begin_message(Opcode::text);
        (void)c.append("a");
        (void)c.join("room");
    });
    CHECK(hub.broadcast({}, "to all") == SendStatus::queued);
    CHECK(hub.broadcast({.room = "room"}, std::string(500, 'r')) == SendStatus::queued);
    CHECK(hub.send(stage.id, "by id") == SendStatus::queued);
    stage.client->ping("p");
    stage.go([](AnyConnection& c) {
        (void)c.append("b");
        (void)c.send("own");
        CHECK(c.queued() > 500);
    });
    CHECK(stage.frames() == Strings{"01 a", "8a 70", "00 b"});
    CHECK(stage.server.reactor().list().at(0).queued > 500);
    stage.go([](AnyConnection& c) { (void)c.end_message(); });
    CHECK(stage.frames() == Strings{"80", "81 to all", "81 " + std::string(500, 'r'), "81 by id", "81 own"});
    CHECK(stage.server.reactor().list().at(0).queued == 0);
}

TEST_CASE("calls in the wrong order are refused and send nothing", "[send_parts]") {
    Stage stage;
    stage.go([](AnyConnection& c) {
        CHECK(c.append("x") == SendStatus::refused);
        CHECK(c.end_message() == SendStatus::refused);
        CHECK(c.begin_message(Opcode::continuation) == SendStatus::refused);
        CHECK(c.begin_message(Opcode::ping) == SendStatus::refused);
        CHECK(c.begin_message(Opcode::text) == SendStatus::queued);
        CHECK(c.begin_message(Opcode::text) == SendStatus::refused);
        CHECK(c.end_message() == SendStatus::queued);
        CHECK(c.close() == SendStatus::queued);
        CHECK(c.begin_message(Opcode::text) == SendStatus::closed);
        CHECK(c.append("x") == SendStatus::closed);
        CHECK(c.end_message() == SendStatus::closed);
    });
    CHECK(stage.frames() == Strings{"81", close_frame(CloseCode::normal, "")});
}

TEST_CASE("characters may be cut between the pieces of a text", "[send_parts][rfc6455-5.6]") {
    const std::string text = "a\xc2\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    Stage stage;
    for (std::size_t one = 0; one <= text.size(); ++one) {
        for (std::size_t two = one; two <= text.size(); ++two) {
            stage.go([&](AnyConnection& c) {
                (void)c.begin_message(Opcode::text);
                REQUIRE(c.append(text.substr(0, one)) == SendStatus::queued);
                REQUIRE(c.append(text.substr(one, two - one)) == SendStatus::queued);
                REQUIRE(c.append(text.substr(two)) == SendStatus::queued);
                REQUIRE(c.end_message() == SendStatus::queued);
            });
            REQUIRE(stage.client->read() == Strings{"text " + text});
        }
    }
}

TEST_CASE("a text in pieces that is not UTF-8 never looks whole", "[send_parts][rfc6455-5.6]") {
    Stage stage;
    SECTION("in the first piece: nothing is sent, and the connection goes on") {
        stage.go([](AnyConnection& c) {
            (void)c.begin_message(Opcode::text);
            CHECK(c.append("\xff") == SendStatus::refused);
            CHECK(c.append("more") == SendStatus::refused);
            CHECK(c.end_message() == SendStatus::refused);
            CHECK(c.send("hello") == SendStatus::queued);
        });
        CHECK(stage.frames() == Strings{"81 hello"});
    }
    SECTION("in a later piece: the connection closes within the message") {
        stage.go([](AnyConnection& c) {
            (void)c.begin_message(Opcode::text);
            CHECK(c.append("good") == SendStatus::queued);
            (void)c.send("after");
            CHECK(c.append("\xff") == SendStatus::refused);
            CHECK(c.append("more") == SendStatus::closed);
            CHECK(c.end_message() == SendStatus::closed);
        });
        CHECK(stage.frames() ==
              Strings{"01 good", close_frame(CloseCode::internal_error, "a message could not be completed")});
        CHECK(stage.server.reactor().counters().messages_dropped.read() == 2);
    }
    SECTION("at the end within a character") {
        stage.go([](AnyConnection& c) {
            (void)c.begin_message(Opcode::text);
            CHECK(c.append("\xe2\x82") == SendStatus::queued);
            CHECK(c.end_message() == SendStatus::refused);
        });
        CHECK(stage.frames() ==
              Strings{"01 \xe2\x82", close_frame(CloseCode::internal_error, "a message could not be completed")});
    }
}

TEST_CASE("a message that is open at the end of its connection is lost", "[send_parts][rfc6455-7.1.1]") {
    Stage stage;
    stage.go([](AnyConnection& c) {
        (void)c.begin_message(Opcode::text);
        (void)c.append("a");
        (void)c.send("after");
    });
    SECTION("by close()") {
        stage.go([](AnyConnection& c) { CHECK(c.close(CloseCode::normal, "bye") == SendStatus::queued); });
        CHECK(stage.client->read() == Strings{"close 1000 bye"});
    }
    SECTION("by the peer's Close frame") {
        stage.client->close(CloseCode::normal);
        stage.server.run();
        CHECK(stage.client->read() == Strings{"close 1000"});
    }
    SECTION("by the end of the stream") {
        stage.client->wire().close();
        stage.server.run();
        CHECK(stage.events.back().starts_with("close 1006"));
    }
    SECTION("by an exception") {
        stage.go([](AnyConnection&) { throw std::runtime_error{"no"}; });
        CHECK(stage.client->read() == Strings{"close 1011 the handler failed"});
    }
    stage.client->wire().close();
    stage.server.run();
    CHECK(stage.server.reactor().list().empty());
    CHECK(stage.server.reactor().counters().messages_dropped.read() == 2);
    CHECK(stage.server.shared.ends.at(0).info.dropped == 2);
}

TEST_CASE("a peer that takes everything gets parts and Pongs while much waits for the end", "[send_parts]") {
    const auto policy = GENERATE(SlowConsumer::drop_oldest, SlowConsumer::drop_newest, SlowConsumer::keep_latest);
    ConnectionOptions options;
    options.send_queue = {.high_mark = 1'000, .hard_limit = 2'000, .policy = policy};
    Stage stage{options};
    stage.go([](AnyConnection& c) {
        (void)c.begin_message(Opcode::text);
        (void)c.append("a");
        for (int i = 0; i < 10; ++i) (void)c.send(std::string(900, 'x'));
    });
    stage.client->ping("p");
    stage.go([](AnyConnection& c) {
        CHECK(c.has_space());
        CHECK(c.append("b") == SendStatus::queued);
        CHECK(c.end_message() == SendStatus::queued);
        CHECK(c.send("last") == SendStatus::queued);
    });
    const Strings frames = stage.frames();
    REQUIRE(frames.size() > 5);
    CHECK(Strings(frames.begin(), frames.begin() + 4) == Strings{"01 a", "8a 70", "00 b", "80"});
    CHECK(frames.back() == "81 last");
    CHECK(stage.server.reactor().counters().slow_consumers.read() == 0);
}

TEST_CASE("too much that waits for the end of a message closes the connection, and the cause says so", "[send_parts]") {
    ConnectionOptions options;
    options.send_queue = {.high_mark = 1'000, .hard_limit = 2'000, .policy = SlowConsumer::close};
    Stage stage{options};
    stage.go([](AnyConnection& c) {
        (void)c.begin_message(Opcode::text);
        (void)c.append("a");
        for (int i = 0; i < 3; ++i) CHECK(c.send(std::string(900, 'x')) == SendStatus::queued);
        CHECK(c.send("x") == SendStatus::closed);
    });
    CHECK(stage.client->read() == Strings{"close 1013 too much waited for the end of a message"});
    stage.client->wire().close();
    stage.server.run();
    CHECK(stage.server.shared.ends.at(0).cause == "too much waited for the end of a message in pieces");
    CHECK(stage.server.reactor().counters().slow_consumers.read() == 1);
}

TEST_CASE("publishers do not wait for a member with an open message", "[send_parts]") {
    ConnectionOptions options;
    options.send_queue.high_mark = 8'000;
    Stage stage{options};
    stage.go([](AnyConnection& c) {
        (void)c.join("room");
        (void)c.begin_message(Opcode::text);
        (void)c.append("a");
    });
    WireClient publisher = stage.server.open();
    stage.act = [](AnyConnection& c) { (void)c.publish("room", std::string(1'000, 'p')); };
    for (int i = 0; i < 100; ++i) {
        publisher.send("go");
        stage.server.run();  // what is read at once is handled at once
    }
    CHECK(stage.server.reactor().counters().messages_in.read() == 101);
    CHECK(stage.frames() == Strings{"01 a"});
    stage.go([](AnyConnection& c) { (void)c.end_message(); });
    CHECK(stage.frames().size() == 101);
    CHECK(stage.server.reactor().counters().slow_consumers.read() == 0);
}

TEST_CASE("an open message that gets no piece in time while others wait is an error of the program", "[send_parts]") {
    ConnectionOptions options;
    options.message_timeout = 10s;
    options.ping_interval = 0s;
    options.send_queue.high_mark = 50'000;
    Stage stage{options};
    const auto is_open = [&] { return stage.server.reactor().list().at(0).state == "open"; };
    stage.go([](AnyConnection& c) {
        (void)c.begin_message(Opcode::text);
        (void)c.append("a");
    });
    stage.server.advance(1min);  // nothing waits
    REQUIRE(is_open());
    (void)stage.server.hub().send(stage.id, "waits");
    stage.server.advance(9s);
    REQUIRE(is_open());
    SECTION("after the first that waits") {}
    SECTION("after the last piece") {
        stage.go([](AnyConnection& c) { (void)c.append("b"); });
        stage.server.advance(9s);
        REQUIRE(is_open());
    }
    SECTION("after the peer has taken what was sent") {
        stage.client->wire().set_window(0);
        stage.go([](AnyConnection& c) { (void)c.append(std::string(100'000, 'c')); });
        stage.server.advance(1min);
        REQUIRE(is_open());
        stage.client->wire().set_window(1'000'000);
        stage.server.advance(9s);
        REQUIRE(is_open());
    }
    stage.server.advance(2s);
    CHECK_FALSE(is_open());
    CHECK(stage.server.reactor().counters().message_timeouts.read() == 1);
    CHECK(stage.server.reactor().counters().messages_dropped.read() == 2);
    CHECK(stage.frames().back() == close_frame(CloseCode::internal_error, "a message could not be completed"));
    stage.client->wire().close();
    stage.server.run();
    CHECK(stage.server.shared.ends.at(0).cause ==
          "a message in pieces got no piece in time, and others waited for its end");
}

TEST_CASE("a message that ends in time, or delays no other, has no time limit", "[send_parts]") {
    ConnectionOptions options;
    options.message_timeout = 10s;
    Stage stage{options};
    stage.go([](AnyConnection& c) {
        (void)c.begin_message(Opcode::text);
        (void)c.append("a");
        (void)c.send("after");
    });
    stage.server.advance(9s);
    stage.go([](AnyConnection& c) {
        (void)c.end_message();
        (void)c.begin_message(Opcode::text);
        (void)c.append("b");
    });
    stage.server.advance(20s);
    stage.go([](AnyConnection& c) { CHECK(c.end_message() == SendStatus::queued); });
    CHECK(stage.client->read() == Strings{"text a", "text after", "text b"});
}

TEST_CASE("64 MiB in one message with has_space() need little memory, while another waits", "[send_parts]") {
    struct Sending {
        std::size_t left = 1'024;
        std::size_t most_held = 0;
        MemoryServer* server = nullptr;
        void go_on(AnyConnection& c) {
            const std::string piece(std::size_t{64} << 10, 'x');
            for (; left > 0 && c.has_space(); --left) {
                REQUIRE(c.append(piece) == SendStatus::queued);
                most_held = std::max(most_held, server->reactor().memory().read());
            }
            if (left == 0) (void)c.end_message();
        }
    };
    struct Sender {
        Sending* sending;
        void on_open(AnyConnection& c) {
            (void)c.begin_message(Opcode::binary);
            (void)c.send(std::string(900'000, 'b'));
            sending->go_on(c);
        }
        void on_drained(AnyConnection& c) { sending->go_on(c); }
    };
    Sending sending;
    MemoryServer server;
    sending.server = &server;
    server.handle("", Sender{&sending});
    WireClient client = server.connect();
    client.wire().set_window(100'000);
    client.wire().write(upgrade_request());
    server.run();
    std::string rest = client.wire().read();
    rest.erase(0, rest.find("\r\n\r\n") + 4);
    std::size_t bytes = 0, frames = 0;
    bool ended = false;
    while (!ended) {
        const auto decoded = decode_header(bytes_of(rest));
        const auto* header = std::get_if<FrameHeader>(&decoded);
        if (header == nullptr || rest.size() < header->size + header->payload_length) {
            const std::size_t before = rest.size();
            server.run();
            rest += client.wire().read();
            REQUIRE(rest.size() > before);
            continue;
        }
        REQUIRE(header->opcode == (frames == 0 ? Opcode::binary : Opcode::continuation));
        ++frames;
        bytes += static_cast<std::size_t>(header->payload_length);
        ended = header->fin;
        rest.erase(0, header->size + static_cast<std::size_t>(header->payload_length));
    }
    CHECK(bytes == std::size_t{64} << 20);
    CHECK(sending.most_held < (std::size_t{4} << 20));
    server.run();
    CHECK(frames == 1'025);
}

TEST_CASE("a client sends in pieces, masked", "[send_parts][rfc6455-5.3]") {
    struct Sender {
        void on_open(AnyConnection& c) {
            CHECK(c.begin_message(Opcode::text) == SendStatus::queued);
            for (int i = 0; i < 1'000; ++i) CHECK(c.append(std::string(1'000, 'x')) == SendStatus::queued);
            CHECK(c.end_message() == SendStatus::queued);
            CHECK(c.send("after") == SendStatus::queued);
        }
    };
    struct Sizes {
        std::vector<std::size_t>* sizes;
        void on_message(AnyConnection&, const Text& message) { sizes->push_back(message.text.size()); }
    };
    std::vector<std::size_t> sizes;
    const Endpoint place{"server.example", 80, {}};
    MemoryNetwork network;
    ServerOn<MemoryTransport> server{network};
    server.handle(Sizes{&sizes});
    server.listen(std::move(network.open_listeners(place).front()));
    ClientOn<MemoryTransport> client{network};
    client.connect(*network.connect(place), {.host = place.host}, Sender{});
    network.run_until_idle();
    CHECK(sizes == std::vector<std::size_t>{1'000'000, 5});
}

TEST_CASE("a client that forgets to end a message is closed after a minute, too", "[send_parts]") {
    struct Forgetful {
        void on_open(AnyConnection& c) {
            (void)c.begin_message(Opcode::text);
            (void)c.append("a");
            (void)c.send("after");
        }
    };
    struct Closes {
        Strings* closes;
        void on_close(AnyConnection&, const Close& close) { closes->push_back(to_string(Event{close})); }
    };
    Strings closes;
    const Endpoint place{"server.example", 80, {}};
    MemoryNetwork network;
    ServerOn<MemoryTransport> server{network};
    server.set_options({.message_timeout = 1h});
    server.handle(Closes{&closes});
    server.listen(std::move(network.open_listeners(place).front()));
    ClientOn<MemoryTransport> client{network};
    client.connect(*network.connect(place), {.host = place.host}, Forgetful{});
    network.advance(59s);
    CHECK(closes.empty());
    network.advance(2s);
    CHECK(closes == Strings{"close 1011 a message could not be completed"});
}

TEST_CASE("received parts are sent on as parts, whatever their sizes", "[send_parts]") {
    struct Echo {
        void on_part(AnyConnection& c, const Part& part) {
            if (part.first) CHECK(c.begin_message(part.opcode) == SendStatus::queued);
            CHECK(c.append(part.bytes) == SendStatus::queued);
            if (part.last) CHECK(c.end_message() == SendStatus::queued);
        }
    };
    MemoryServer server;
    server.handle("", Echo{});
    WireClient client = server.open();
    const std::string large(300'000, 'x');
    client.send("short");
    client.send(large);
    client.send("");
    server.run();
    CHECK(client.read() == Strings{"text short", "text " + large, "text"});
}

TEST_CASE("memory that runs out while a message is open ends only that connection", "[send_parts]") {
    std::size_t failing = 1;
    const std::string one(300, 'a'), two(300, 'b');
    for (bool failed = true; failed; ++failing) {
        Stage stage;
        stage.client->wire().set_window(20);
        stage.act = [&](AnyConnection& c) {
            (void)c.begin_message(Opcode::text);
            (void)c.append(one);
            (void)c.send("after");
            (void)c.append(two);
            (void)c.end_message();
        };
        stage.client->send("go");
        {
            const AllocationsMayFail here;
            AllocationFailures::from(failing, 1);
            stage.server.run();
            failed = AllocationFailures::happened() > 0;
            AllocationFailures::none();
        }
        std::string arrived = stage.client->wire().read();
        for (int i = 0; i < 100; ++i) {
            stage.server.run();
            arrived += stage.client->wire().read();
        }
        CAPTURE(failing);
        const bool is_open = !stage.server.reactor().list().empty();
        if (!failed) CHECK(frames_in(arrived).size() == 4);
        CHECK((is_open || failed));
        if (is_open) CHECK(frames_in(arrived).back() == "81 after");
        CHECK(stage.server.reactor().memory().read() == 0);
    }
    CHECK(failing > 3);
}
